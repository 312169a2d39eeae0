//! Compares what is in the database with the table of rights, word for word: what a login may do, and what the policies
//! and functions say. What is missing would fail a request, what is there besides would open what is to be closed.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use crate::fences::{Fence, Fences, Function, SEARCH_PATH};

/// Differences that are told at once.
const TOLD_MAX: usize = 8;
/// What the worker's login may, or must, be.
const BYPASSES: &str = "is BYPASSRLS";

/// Which of the logins one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// It serves the requests.
    App,
    /// It applies events.
    Worker,
}

/// What a login may do, a line for each right; partitions are told as those of their table. Attributes that every login
/// has are left out.
const HAS: &str = "\
WITH me AS (SELECT * FROM pg_roles WHERE rolname = $1),
     tables AS (SELECT c.oid, c.relowner, CASE WHEN c.relispartition THEN 'leaf of ' || p.relname ELSE c.relname::text
                END AS relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
                WHERE n.nspname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
SELECT 'no login' AS has WHERE NOT EXISTS (SELECT 1 FROM me WHERE rolcanlogin)
UNION ALL SELECT 'is ' || name FROM me, LATERAL (VALUES ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls),
    ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)) a (name, has) WHERE has
UNION ALL SELECT 'is member of ' || g.rolname FROM me JOIN pg_auth_members m ON m.member = me.oid
    JOIN pg_roles g ON g.oid = m.roleid
UNION ALL SELECT 'CREATE on the database' FROM me WHERE has_database_privilege(me.oid, current_database(), 'CREATE')
UNION ALL SELECT p || ' on the schema' FROM me, pg_namespace n, unnest(ARRAY['USAGE', 'CREATE']) p
    WHERE n.nspname = $2 AND has_schema_privilege(me.oid, n.oid, p)
UNION ALL SELECT 'owner of ' || relname FROM me JOIN tables ON relowner = me.oid
UNION ALL SELECT p || ' on ' || relname FROM me, tables,
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
    WHERE has_table_privilege(me.oid, tables.oid, p)
UNION ALL SELECT p || ' (' || attname || ') on ' || relname FROM me, tables JOIN pg_attribute a ON attrelid = tables.oid,
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
    WHERE attnum > 0 AND NOT attisdropped AND has_column_privilege(me.oid, tables.oid, attnum, p)
    AND NOT has_table_privilege(me.oid, tables.oid, p)
UNION ALL SELECT p || ' on ' || relname FROM me, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
    WHERE n.nspname = $2 AND c.relkind = 'S' AND has_sequence_privilege(me.oid, c.oid, p)
UNION ALL SELECT 'EXECUTE on ' || proname || '(' || pg_get_function_identity_arguments(f.oid) || ')'
    FROM me, pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE n.nspname = $2 AND has_function_privilege(me.oid, f.oid, 'EXECUTE')";

/// What the fences are, a line for each table, policy and function.
const STANDS: &str = "\
SELECT 'table ' || CASE WHEN c.relispartition THEN 'leaf of ' || p.relname ELSE c.relname::text END
    || ' enabled ' || c.relrowsecurity::text || ' forced ' || c.relforcerowsecurity::text AS has
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL SELECT 'policy ' || polname || ' on ' || relname || ' permissive ' || polpermissive::text || ' for ' || polcmd::text
    || ' to ' || CASE WHEN polroles = '{0}' THEN 'all' WHEN polroles = ARRAY[relowner] THEN 'owner' ELSE 'others' END
    || ' using ' || coalesce(pg_get_expr(polqual, polrelid), '')
    || ' check ' || coalesce(pg_get_expr(polwithcheck, polrelid), '')
    FROM pg_policy p JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE n.nspname = $1
UNION ALL SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(f.oid) || ') definer ' || prosecdef::text
    || ' of owner ' || (proowner = nspowner)::text || ' with ' || coalesce(proconfig::text, '') || ' as ' || prosrc
    FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = $1";

impl Fences {
    /// What is other than in the table of rights, for a login and for all; empty if nothing is.
    pub(crate) async fn differences(
        &self,
        on: &mut PgConnection,
        name: &str,
        login: Login,
    ) -> Result<Vec<String>, sqlx::Error> {
        let has: Vec<String> = sqlx::query_scalar(HAS).bind(name).bind(self.schema).fetch_all(&mut *on).await?;
        let mut has: BTreeSet<_> = has.into_iter().collect();
        if login == Login::Worker && !self.worker_bypasses {
            // It takes the events of all tenants at once, and may be given that; nothing here is its own.
            has.remove(BYPASSES);
        }
        let mut found = compared(&self.expected_rights(login), &has);
        let stands: Vec<String> = sqlx::query_scalar(STANDS).bind(self.schema).fetch_all(on).await?;
        let stands = stands.iter().map(|line| plain(line)).collect();
        found.extend(compared(&self.expected_fences(), &stands));
        Ok(found)
    }

    fn expected_rights(&self, login: Login) -> BTreeSet<String> {
        let mut rights = BTreeSet::from(["USAGE on the schema".to_owned()]);
        match login {
            Login::Worker => {
                if self.worker_bypasses {
                    rights.insert(BYPASSES.to_owned());
                }
                for table in &self.tables {
                    for right in table.worker {
                        rights.insert(format!("{right} on {}", table.name));
                        if table.is_partitioned {
                            rights.insert(format!("{right} on leaf of {}", table.name));
                        }
                    }
                }
            }
            Login::App => {
                for table in &self.tables {
                    rights.extend(table.app.iter().map(|right| format!("{right} on {}", table.name)));
                }
                let calls = |Function { name, takes, .. }: &Function| format!("EXECUTE on {name}({takes})");
                rights.extend(self.functions.iter().map(calls));
            }
        }
        rights
    }

    fn expected_fences(&self) -> BTreeSet<String> {
        let mut fences = BTreeSet::new();
        for table in &self.tables {
            let (name, is_fenced) = (table.name, table.fence != Fence::Open);
            fences.insert(plain(&format!("table {name} enabled {is_fenced} forced {is_fenced}")));
            if table.is_partitioned {
                fences.insert(plain(&format!("table leaf of {name} enabled {is_fenced} forced {is_fenced}")));
            }
            if let Some(condition) = table.fence.condition() {
                let own =
                    format!("policy own on {name} permissive true for * to all using {condition} check {condition}");
                fences.insert(plain(&own));
                let reads = format!("policy owner_reads on {name} permissive true for r to owner using true check ");
                fences.insert(plain(&reads));
            }
        }
        for Function { name, takes, body, .. } in &self.functions {
            let config = format!("{{\"search_path={SEARCH_PATH}\"}}");
            fences
                .insert(plain(&format!("function {name}({takes}) definer true of owner true with {config} as {body}")));
        }
        fences
    }
}

/// One line of what is different.
pub(crate) fn told(found: &[String]) -> String {
    let more = found.len().saturating_sub(TOLD_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", found.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; "))
}

fn compared(expected: &BTreeSet<String>, has: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(has).map(|line| format!("missing: {line}"));
    let mut found: Vec<_> =
        missing.chain(has.difference(expected).map(|line| format!("not to be there: {line}"))).collect();
    // What a login is explains what it may do.
    found.sort_by_key(|line| !line.contains(": is "));
    found
}

/// A text without what PostgreSQL adds when it writes an expression down again.
fn plain(text: &str) -> String {
    text.replace("::text", "").chars().filter(|c| !matches!(c, '(' | ')' | ' ' | '\n')).collect()
}
