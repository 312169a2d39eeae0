//! The table of rights: what each table holds of whom, and what the application's login may do with it. Policies, grants
//! and functions are made of it, and compared with it at each start. A table that a step adds gets one line here.

/// Where everything is.
pub(super) const SCHEMA: &str = "nilometer";

/// Whose rows a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    /// Each row is of the tenant that this column names.
    Tenant(&'static str),
    /// Each row is of the tenant that this column names, or of the server if that is empty.
    TenantOrServer(&'static str),
    /// All rows are the server's.
    Server,
    /// No rows that are anybody's; it cannot be written.
    Open,
}

/// Which rows of all tenants the application reads at once, through a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// None.
    Own,
    /// All rows.
    Whole,
    /// Those that have come after a revision, in this order.
    Since(&'static str),
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) fence: Fence,
    pub(super) reads: Reads,
    /// What the application's login may do with rows that its scope has.
    pub(super) rights: &'static [&'static str],
}

/// Rows that are added and changed.
const KEPT: &[&str] = &["SELECT", "INSERT", "UPDATE"];
/// Rows that end as well.
const ENDING: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];
/// Entries of the log stay as they were written, but for what took their detail.
const LOGGED: &[&str] = &["SELECT", "INSERT", "UPDATE (erased_by)"];
/// Rows that stay as they were written, until they are erased.
const ERASED: &[&str] = &["SELECT", "INSERT", "DELETE"];
/// What only the owner writes.
const READ: &[&str] = &["SELECT"];

const fn table(name: &'static str, fence: Fence, reads: Reads, rights: &'static [&'static str]) -> Table {
    Table { name, fence, reads, rights }
}

/// All tables.
pub(super) const TABLES: [Table; 24] = [
    table("schema_step", Fence::Open, Reads::Own, READ),
    table("tenant", Fence::Tenant("id"), Reads::Since("id"), KEPT),
    table("tenant_settings", Fence::Tenant("tenant"), Reads::Whole, ENDING),
    table("wanted_zone", Fence::Tenant("tenant"), Reads::Whole, ENDING),
    table("quota", Fence::Tenant("tenant"), Reads::Whole, ENDING),
    table("quota_calendar", Fence::Tenant("tenant"), Reads::Whole, ENDING),
    table("reference_table", Fence::Tenant("tenant"), Reads::Whole, ENDING),
    table("project", Fence::Tenant("tenant"), Reads::Since("tenant, id"), ENDING),
    table("membership", Fence::Tenant("tenant"), Reads::Since("tenant, user_id"), ENDING),
    table("api_key", Fence::TenantOrServer("tenant"), Reads::Since("tenant, id"), ENDING),
    table("signing_secret", Fence::Tenant("tenant"), Reads::Since("tenant, id"), ENDING),
    table("invitation", Fence::Tenant("tenant"), Reads::Since("tenant, id"), ENDING),
    table("encryption_rules", Fence::Tenant("tenant"), Reads::Since("tenant"), ENDING),
    table("data_key", Fence::Tenant("tenant"), Reads::Since("tenant, number"), ENDING),
    table("creation", Fence::TenantOrServer("tenant"), Reads::Since("key_hash"), ENDING),
    table("customer_profile", Fence::Tenant("tenant"), Reads::Own, ENDING),
    table("app_user", Fence::Server, Reads::Since("id"), KEPT),
    table("password_reset", Fence::Server, Reads::Since("user_id"), ENDING),
    table("session", Fence::Server, Reads::Since("id"), ENDING),
    table("token_key", Fence::Server, Reads::Since("kid"), ENDING),
    table("register_revision", Fence::Server, Reads::Own, KEPT),
    table("audit_entry", Fence::TenantOrServer("chain"), Reads::Own, LOGGED),
    table("audit_detail", Fence::TenantOrServer("chain"), Reads::Own, ERASED),
    table("audit_head", Fence::TenantOrServer("chain"), Reads::Whole, KEPT),
];

/// A function that reads across tenants with the owner's rights, and that the application alone may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The types of its arguments.
    pub(super) takes: &'static str,
    pub(super) gives: String,
    pub(super) body: String,
}

/// What functions find names in: nothing that a caller could put in the way.
pub(super) const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// All functions.
pub(super) fn functions() -> Vec<Function> {
    let read = |table: &Table| {
        let (takes, prefix, rest) = match table.reads {
            Reads::Own => return None,
            Reads::Whole => ("", "all", String::new()),
            Reads::Since(order) => ("bigint", "since", format!(" WHERE revision > $1 ORDER BY revision, {order}")),
        };
        let name = table.name;
        Some(Function {
            name: format!("{prefix}_{name}"),
            takes,
            gives: format!("SETOF {SCHEMA}.{name}"),
            body: format!("SELECT * FROM {SCHEMA}.{name}{rest}"),
        })
    };
    let mut functions: Vec<_> = TABLES.iter().filter_map(read).collect();
    // Of whom something is that is named by an id alone.
    for (table, key, takes) in
        [("signing_secret", "id", "text"), ("invitation", "id", "text"), ("creation", "key_hash", "bytea")]
    {
        functions.push(Function {
            name: format!("tenant_of_{table}"),
            takes,
            gives: "text".to_owned(),
            body: format!("SELECT tenant FROM {SCHEMA}.{table} WHERE {key} = $1"),
        });
    }
    functions.push(Function {
        name: "tenants_of_api_keys".to_owned(),
        takes: "text",
        gives: "TABLE(id text, tenant text)".to_owned(),
        body: format!("SELECT k.id, k.tenant FROM {SCHEMA}.api_key k WHERE k.id = ANY (string_to_array($1, ','))"),
    });
    functions.push(audit_chains());
    functions
}

/// The names of the chains, each found behind the one before: a log of a million entries is not read whole for them.
fn audit_chains() -> Function {
    let body = format!(
        "WITH RECURSIVE found(chain) AS ((SELECT chain FROM {SCHEMA}.audit_entry ORDER BY chain LIMIT 1) UNION ALL \
         SELECT (SELECT e.chain FROM {SCHEMA}.audit_entry e WHERE e.chain > f.chain ORDER BY e.chain LIMIT 1) \
         FROM found f WHERE f.chain IS NOT NULL) SELECT chain FROM found WHERE chain IS NOT NULL"
    );
    Function { name: "audit_chains".to_owned(), takes: "", gives: "SETOF text".to_owned(), body }
}

impl Fence {
    /// Which rows a transaction sees, and may write.
    pub(super) fn condition(self) -> Option<String> {
        const SERVER: &str = "current_setting('nilometer.server', true) = 'on'";
        // Empty is what a setting of a transaction reads as when that has ended.
        let tenant = |column| format!("{column} = NULLIF(current_setting('nilometer.tenant', true), '')");
        match self {
            Self::Tenant(column) => Some(tenant(column)),
            Self::TenantOrServer(column) => Some(format!("{} OR ({column} = '' AND {SERVER})", tenant(column))),
            Self::Server => Some(SERVER.to_owned()),
            Self::Open => None,
        }
    }
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Opens a table to its owner, whom the fences stop as well: else a step that changes rows would change none.
pub(super) fn lower(table: &str) -> String {
    format!("ALTER TABLE {SCHEMA}.{} NO FORCE ROW LEVEL SECURITY", quoted(table))
}

/// The statements that put fences around those tables that are there, in place of all policies.
pub(super) fn raise(there: &[String]) -> Vec<String> {
    let mut sql = vec![drop_policies()];
    for table in TABLES.iter().filter(|table| there.iter().any(|there| there == table.name)) {
        if let Some(condition) = table.fence.condition() {
            sql.extend(fence(table.name, &condition));
        }
    }
    sql
}

/// The statements that make functions and grants what they are to be, whatever they were.
pub(super) fn grant(app: &str, worker: &str) -> Vec<String> {
    let (app, worker) = (quoted(app), quoted(worker));
    let mut sql = vec![drop_functions()];
    for Function { name, takes, gives, body } in functions() {
        sql.push(format!(
            "CREATE FUNCTION {SCHEMA}.{name}({takes}) RETURNS {gives} LANGUAGE sql STABLE SECURITY DEFINER \
             SET search_path = {SEARCH_PATH} AS $body${body}$body$"
        ));
    }
    for every in ["TABLES", "SEQUENCES", "FUNCTIONS"] {
        sql.push(format!("REVOKE ALL ON ALL {every} IN SCHEMA {SCHEMA} FROM PUBLIC, {app}, {worker}"));
    }
    sql.push(format!("REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {app}, {worker}"));
    sql.push(format!("GRANT USAGE ON SCHEMA {SCHEMA} TO {app}, {worker}"));
    sql.push(format!("GRANT SELECT ON {SCHEMA}.schema_step TO {worker}"));
    for table in TABLES {
        sql.push(format!("GRANT {} ON {SCHEMA}.{} TO {app}", table.rights.join(", "), table.name));
    }
    sql.push(format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {app}"));
    sql
}

fn fence(table: &str, condition: &str) -> [String; 4] {
    [
        format!("ALTER TABLE {SCHEMA}.{table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {SCHEMA}.{table} FORCE ROW LEVEL SECURITY"),
        format!("CREATE POLICY own ON {SCHEMA}.{table} USING ({condition}) WITH CHECK ({condition})"),
        format!("CREATE POLICY owner_reads ON {SCHEMA}.{table} FOR SELECT TO CURRENT_USER USING (true)"),
    ]
}

/// Policies that somebody has added, or an earlier version had, go as well.
fn drop_policies() -> String {
    format!(
        "DO $do$ DECLARE p record; BEGIN FOR p IN SELECT * FROM pg_policies WHERE schemaname = '{SCHEMA}' LOOP \
         EXECUTE format('DROP POLICY %I ON %I.%I', p.policyname, p.schemaname, p.tablename); END LOOP; END $do$"
    )
}

/// Functions that an earlier version had go as well.
fn drop_functions() -> String {
    format!(
        "DO $do$ DECLARE f regprocedure; BEGIN FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_namespace n \
         ON n.oid = p.pronamespace WHERE n.nspname = '{SCHEMA}' LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $do$"
    )
}
