//! The table of rights of a schema: what each table holds of whom, and what each login may do with it. Policies, grants
//! and functions are made of it, and compared with it at each start.

/// What functions find names in: nothing that a caller could put in the way.
pub const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// Whose rows a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Each row is of the tenant that this column names.
    Tenant(&'static str),
    /// Each row is of the tenant that this column names, or of the server if that is empty.
    TenantOrServer(&'static str),
    /// Each row is of the tenant whose number this column has; of nobody if it has none.
    Numbered(&'static str),
    /// All rows are the server's.
    Server,
    /// No rows that are anybody's.
    Open,
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Whose rows it holds.
    pub fence: Fence,
    /// Whether its rows are in partitions: these are fenced as well, have no policy, and no rights for the application.
    pub is_partitioned: bool,
    /// What the application's login may do with rows that its scope has.
    pub app: &'static [&'static str],
    /// What the worker's login may do with all rows.
    pub worker: &'static [&'static str],
}

/// A function that reads across tenants with the owner's rights, and that the application alone may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The types of its arguments.
    pub takes: &'static str,
    /// The type of its answer.
    pub gives: String,
    /// Its SQL.
    pub body: String,
}

/// All tables and functions of a schema.
#[derive(Debug, Clone)]
pub struct Fences {
    /// Its name.
    pub schema: &'static str,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Whether the worker's login has to pass row-level security by; otherwise it may.
    pub worker_bypasses: bool,
}

impl Fence {
    /// Which rows a transaction sees, and may write.
    pub fn condition(self) -> Option<String> {
        const SERVER: &str = "current_setting('nilometer.server', true) = 'on'";
        // Empty is what a setting of a transaction reads as when that has ended.
        let tenant = |column| format!("{column} = NULLIF(current_setting('nilometer.tenant', true), '')");
        match self {
            Self::Tenant(column) => Some(tenant(column)),
            Self::TenantOrServer(column) => Some(format!("{} OR ({column} = '' AND {SERVER})", tenant(column))),
            Self::Numbered(column) => {
                Some(format!("{column} = (NULLIF(current_setting('nilometer.tenant_no', true), ''))::integer"))
            }
            Self::Server => Some(SERVER.to_owned()),
            Self::Open => None,
        }
    }
}

impl Fences {
    /// Opens a table to its owner, whom the fences stop as well: else a step that changes rows would change none.
    pub fn lower(&self, table: &str) -> String {
        format!("ALTER TABLE {}.{} NO FORCE ROW LEVEL SECURITY", self.schema, quoted(table))
    }

    /// The statements that put fences around those tables that are there, in place of all policies.
    pub fn raise(&self, there: &[String]) -> Vec<String> {
        let mut sql = vec![self.drop_policies()];
        for table in self.tables.iter().filter(|table| there.iter().any(|there| there == table.name)) {
            if let Some(condition) = table.fence.condition() {
                sql.extend(self.fence(table.name, &condition));
                if table.is_partitioned {
                    let fences = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
                    sql.push(self.of_each_leaf(table.name, &format!("ALTER TABLE %s {fences}")));
                }
            }
        }
        sql
    }

    /// The statements that make functions and grants what they are to be, whatever they were.
    pub fn grant(&self, app: &str, worker: &str) -> Vec<String> {
        let (schema, app, worker) = (self.schema, quoted(app), quoted(worker));
        let mut sql = vec![self.drop_functions()];
        for Function { name, takes, gives, body } in &self.functions {
            sql.push(format!(
                "CREATE FUNCTION {schema}.{name}({takes}) RETURNS {gives} LANGUAGE sql STABLE SECURITY DEFINER \
                 SET search_path = {SEARCH_PATH} AS $body${body}$body$"
            ));
        }
        for every in ["TABLES", "SEQUENCES", "FUNCTIONS"] {
            sql.push(format!("REVOKE ALL ON ALL {every} IN SCHEMA {schema} FROM PUBLIC, {app}, {worker}"));
        }
        sql.push(format!("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {app}, {worker}"));
        sql.push(format!("GRANT USAGE ON SCHEMA {schema} TO {app}, {worker}"));
        for table in self.tables.iter().filter(|table| !table.worker.is_empty()) {
            let rights = table.worker.join(", ");
            sql.push(format!("GRANT {rights} ON {schema}.{} TO {worker}", table.name));
            if table.is_partitioned {
                sql.push(self.of_each_leaf(table.name, &format!("GRANT {rights} ON %s TO {worker}")));
            }
        }
        for table in self.tables.iter().filter(|table| !table.app.is_empty()) {
            sql.push(format!("GRANT {} ON {schema}.{} TO {app}", table.app.join(", "), table.name));
        }
        sql.push(format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {app}"));
        sql
    }

    fn fence(&self, table: &str, condition: &str) -> [String; 4] {
        let schema = self.schema;
        [
            format!("ALTER TABLE {schema}.{table} ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {schema}.{table} FORCE ROW LEVEL SECURITY"),
            format!("CREATE POLICY own ON {schema}.{table} USING ({condition}) WITH CHECK ({condition})"),
            format!("CREATE POLICY owner_reads ON {schema}.{table} FOR SELECT TO CURRENT_USER USING (true)"),
        ]
    }

    /// A statement for each partition of a table, whose name stands for `%s` in it.
    fn of_each_leaf(&self, table: &str, statement: &str) -> String {
        format!(
            "DO $do$ DECLARE leaf regclass; BEGIN FOR leaf IN SELECT inhrelid FROM pg_inherits \
             WHERE inhparent = '{}.{table}'::regclass LOOP EXECUTE format('{}', leaf); END LOOP; END $do$",
            self.schema,
            statement.replace('\'', "''")
        )
    }

    /// Policies that somebody has added, or an earlier version had, go as well.
    fn drop_policies(&self) -> String {
        format!(
            "DO $do$ DECLARE p record; BEGIN FOR p IN SELECT * FROM pg_policies WHERE schemaname = '{}' LOOP \
             EXECUTE format('DROP POLICY %I ON %I.%I', p.policyname, p.schemaname, p.tablename); END LOOP; END $do$",
            self.schema
        )
    }

    /// Functions that an earlier version had go as well.
    fn drop_functions(&self) -> String {
        format!(
            "DO $do$ DECLARE f regprocedure; BEGIN FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_namespace n \
             ON n.oid = p.pronamespace WHERE n.nspname = '{}' LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $do$",
            self.schema
        )
    }
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
