//! The functions that read across tenants, as they are called. A statement names its columns: what is prepared stays good
//! when a step adds one.

use std::collections::BTreeMap;

use domain::access::ids::KeyId;
use domain::tenant::TenantId;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, IdenStatic, Iterable, QueryResult, Statement, Value};
use sqlite::Failure;

use super::scoped::Scoped;
use crate::entities::columns::workspace;

/// The rows of a table of the register that have come after a revision, of all tenants.
pub(super) fn since<E: EntityTrait>(after: i64) -> Statement {
    let sql = format!("SELECT {} FROM since_{}($1)", columns::<E>(), E::default().table_name());
    Statement::from_sql_and_values(DbBackend::Postgres, sql, [after.into()])
}

/// All rows of a table, of all tenants.
pub(super) async fn whole<E: EntityTrait>(reader: &impl ConnectionTrait) -> Result<Vec<E::Model>, Failure> {
    let sql = format!("SELECT {} FROM all_{}()", columns::<E>(), E::default().table_name());
    Ok(E::find().from_raw_sql(Statement::from_string(DbBackend::Postgres, sql)).all(reader).await?)
}

fn columns<E: EntityTrait>() -> String {
    E::Column::iter().map(|column| format!("\"{}\"", column.as_str())).collect::<Vec<_>>().join(", ")
}

/// Whose a row of a table is that is named without its tenant, if there is one.
pub(super) async fn tenant_of<E: EntityTrait>(
    change: &Scoped,
    name: Value,
) -> Result<Option<Option<TenantId>>, Failure> {
    let sql = format!("SELECT tenant_of_{}($1) AS tenant", E::default().table_name());
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [name]);
    let row = change.functions().query_one_raw(statement).await?;
    let tenant: Option<Option<String>> = row.map(|row| row.try_get_by("tenant")).transpose()?;
    tenant.flatten().map(|tenant| workspace(&tenant)).transpose()
}

/// Whose keys are, of those that are there.
pub(super) async fn tenants_of(change: &Scoped, keys: &[KeyId]) -> Result<BTreeMap<String, Option<TenantId>>, Failure> {
    let ids: Vec<_> = keys.iter().map(KeyId::as_str).collect();
    let sql = "SELECT id, tenant FROM tenants_of_api_keys($1)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [ids.join(",").into()]);
    let rows = change.functions().query_all_raw(statement).await?;
    let tenant = |row: &QueryResult| {
        let (id, tenant): (String, String) = (row.try_get_by("id")?, row.try_get_by("tenant")?);
        Ok((id, workspace(&tenant)?))
    };
    rows.iter().map(tenant).collect()
}
