//! The table of rights: what each table holds of whom, and what the application's login may do with it. Policies, grants
//! and functions are made of it, and compared with it at each start. A table that a step adds gets one line here.

use postgres::{Fence, Fences, Function};

/// Where everything is.
pub(super) const SCHEMA: &str = "nilometer";
/// What the worker's login may read: the number of the schema.
const STEPS_TABLE: &str = "schema_step";

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

/// A table of the catalog.
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
    table(STEPS_TABLE, Fence::Open, Reads::Own, READ),
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

/// The whole schema as the logins are to find it.
pub(super) fn fences() -> Fences {
    let table = |table: &Table| {
        let Table { name, fence, rights, .. } = *table;
        let worker: &[&str] = if name == STEPS_TABLE { READ } else { &[] };
        postgres::Table { name, fence, is_partitioned: false, app: rights, worker }
    };
    Fences {
        schema: SCHEMA,
        tables: TABLES.iter().map(table).collect(),
        functions: functions(),
        worker_bypasses: false,
    }
}

/// All functions.
fn functions() -> Vec<Function> {
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
