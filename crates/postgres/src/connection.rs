//! Connections with settings of their own, whatever the server's and the login's are, and the refusal of a server whose
//! commits may be lost.

use std::str::FromStr;
use std::time::Duration;

use domain::limits::{
    POSTGRES_CONNECTIONS_MAX, POSTGRES_IDLE_MAX, POSTGRES_LOCK_MAX, POSTGRES_STATEMENT_MAX, POSTGRES_WAIT_MAX,
};
use ports::ErrorKind;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::failure::Failure;

/// The oldest version that the tests have run on.
const VERSION_MIN: i32 = 150_000;

/// Which database of which cluster one is connected to: the same on a server and those that follow it.
const DATABASE: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid::text \
                        FROM pg_database WHERE datname = current_database()";

/// What one pool may take of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresLimits {
    /// Connections at once.
    pub connections: u32,
    /// The longest wait for one of them, and for the server to take one.
    pub wait: Duration,
    /// The longest statement.
    pub statement: Duration,
    /// The longest wait for a lock.
    pub lock: Duration,
    /// How long a transaction may stand still before the server ends it.
    pub idle: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            connections: POSTGRES_CONNECTIONS_MAX,
            wait: POSTGRES_WAIT_MAX,
            statement: POSTGRES_STATEMENT_MAX,
            lock: POSTGRES_LOCK_MAX,
            idle: POSTGRES_IDLE_MAX,
        }
    }
}

/// Opens a pool whose statements find their names in `schema`, with further `settings`, and looks at the server first.
///
/// # Errors
/// `Unacceptable` when the address cannot be read, the server may lose what it has committed, cannot be written or cannot
/// hold every text. Otherwise when it cannot be reached.
pub async fn connect(
    url: &str,
    limits: &PostgresLimits,
    schema: &str,
    settings: &[(&'static str, &'static str)],
) -> Result<PgPool, Failure> {
    let options = options(url, limits, schema)?.options(settings.iter().copied());
    let looked = tokio::time::timeout(limits.wait, look(&options)).await;
    let timed_out = "the server did not answer in time".to_owned();
    looked.map_err(|_| Failure::Refused { kind: ErrorKind::Unavailable, reason: timed_out })??;
    // Looked at again for each connection: what a login is set to holds from its next one on.
    let pool = PgPoolOptions::new()
        .max_connections(limits.connections)
        .acquire_timeout(limits.wait)
        .after_connect(|connection, _| Box::pin(async move { refuse_unsafe(connection).await }));
    Ok(pool.connect_lazy_with(options))
}

/// Opens a pool of connections to a server that follows the one of `primary`, for reading alone, as [`connect`] does
/// otherwise. Nothing is connected to yet: one that does not answer, or follows another server, fails when it is asked for.
///
/// # Errors
/// `Unacceptable` when the address cannot be read. Otherwise when `primary` cannot be reached.
pub async fn connect_standby(
    url: &str,
    limits: &PostgresLimits,
    schema: &str,
    settings: &[(&'static str, &'static str)],
    primary: &PgPool,
) -> Result<PgPool, Failure> {
    let options = options(url, limits, schema)?.options(settings.iter().copied());
    let followed: String = sqlx::query_scalar(DATABASE).fetch_one(primary).await?;
    let pool = PgPoolOptions::new().max_connections(limits.connections).acquire_timeout(limits.wait).after_connect(
        move |connection, _| {
            let followed = followed.clone();
            Box::pin(async move {
                let found: String = sqlx::query_scalar(DATABASE).fetch_one(connection).await?;
                if found == followed {
                    return Ok(());
                }
                let reason = "the replica has another database than the server it is to follow";
                Err(sqlx::Error::Configuration(reason.into()))
            })
        },
    );
    Ok(pool.connect_lazy_with(options))
}

async fn look(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let looked = refuse_unsafe(&mut connection).await;
    // Nothing was changed, so nothing depends on how it ends.
    let _ = connection.close().await;
    looked
}

/// The address never becomes part of an error: it has a password in it.
fn options(url: &str, limits: &PostgresLimits, schema: &str) -> Result<PgConnectOptions, Failure> {
    let options = PgConnectOptions::from_str(url);
    let options = options.map_err(|_| Failure::unacceptable("the address of PostgreSQL cannot be read"))?;
    let ms = |limit: Duration| format!("{}ms", limit.as_millis());
    Ok(options.application_name("nilometer").disable_statement_logging().options([
        // Names that are not found in the schema are looked for among temporary tables last of all.
        ("search_path", format!("{schema},pg_temp")),
        ("row_security", "on".to_owned()),
        ("default_transaction_isolation", "read committed".to_owned()),
        ("default_transaction_read_only", "off".to_owned()),
        // Compiling a statement takes longer than most take. Plans that avoid what is forbidden to them cost so much that the
        // server would compile every one.
        ("jit", "off".to_owned()),
        ("statement_timeout", ms(limits.statement)),
        ("lock_timeout", ms(limits.lock)),
        ("idle_in_transaction_session_timeout", ms(limits.idle)),
    ]))
}

/// Refuses a server that may lose what it has committed, that cannot be written, or cannot hold every text.
async fn refuse_unsafe(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    const LOOK: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
                        current_setting('synchronous_commit'), current_setting('data_sync_retry'), \
                        current_setting('server_encoding'), current_setting('server_version_num')::int, \
                        pg_is_in_recovery()";
    type Found = (String, String, String, String, String, i32, bool);
    let found: Found = sqlx::query_as(LOOK).fetch_one(connection).await?;
    match unsafe_because(&found) {
        None => Ok(()),
        Some(reason) => Err(sqlx::Error::Configuration(reason.into())),
    }
}

fn unsafe_because(found: &(String, String, String, String, String, i32, bool)) -> Option<String> {
    let (fsync, full_page_writes, synchronous_commit, data_sync_retry, encoding, version, is_standby) = found;
    if *version < VERSION_MIN {
        return Some(format!("the server's version is {version}, and {VERSION_MIN} is the oldest that is known to do"));
    }
    if *is_standby {
        return Some("the server is a standby, which takes no changes; give the address of the primary".to_owned());
    }
    if encoding != "UTF8" {
        return Some(format!("the database's encoding is {encoding}, which cannot hold every text; make one in UTF8"));
    }
    let refused = [
        ("fsync", fsync, "off", "a crash of the machine loses commits and destroys tables"),
        ("full_page_writes", full_page_writes, "off", "a crash of the machine leaves pages half written"),
        ("synchronous_commit", synchronous_commit, "off", "a crash loses commits that were answered"),
        ("data_sync_retry", data_sync_retry, "on", "a failed sync is taken for one that succeeded"),
    ];
    let (name, value, _, harm) = refused.into_iter().find(|(_, value, refused, _)| value == refused)?;
    Some(format!("{name} is {value}: {harm}"))
}
