//! The catalog's connections: those of crate `postgres`, in the catalog's schema.

use postgres::{Login, PostgresLimits};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlite::Failure;

use super::failure::of_server;
use super::fences::SCHEMA;
use super::schema::schema;

/// Opens a pool as one of the logins, and looks at the server, the schema and the login first.
pub(super) async fn connect(url: &str, limits: &PostgresLimits, login: Login) -> Result<DatabaseConnection, Failure> {
    let pool = postgres::connect(url, limits, SCHEMA, &[]).await.map_err(of_server)?;
    if let Err(failure) = postgres::check(&pool, &schema(), login).await {
        pool.close().await;
        return Err(of_server(failure));
    }
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}
