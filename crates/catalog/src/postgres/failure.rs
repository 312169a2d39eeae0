//! What a failure of PostgreSQL means to the catalog's caller.

use ports::ErrorKind;
use postgres::kind_of_client;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use sqlite::Failure;

/// What the caller can do. `Unavailable` of a change may be one that counts: its `COMMIT` was sent and not answered.
pub(super) fn kind(failure: &Failure) -> ErrorKind {
    match failure {
        Failure::Refused { kind, .. } => *kind,
        Failure::Corrupt(_) => ErrorKind::Corrupt,
        Failure::Files(_) => ErrorKind::Unavailable,
        Failure::Database(error) => kind_of_database(error),
    }
}

/// A failure below the statements of the catalog.
pub(super) fn of_server(failure: postgres::Failure) -> Failure {
    match failure {
        postgres::Failure::Refused { kind, reason } => Failure::Refused { kind, reason },
        postgres::Failure::Client(error) => error.into(),
    }
}

fn kind_of_database(error: &DbErr) -> ErrorKind {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => ErrorKind::Closed,
        DbErr::Type(_) | DbErr::TryIntoErr { .. } => ErrorKind::Corrupt,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => kind_of_client(cause),
        _ => ErrorKind::Unavailable,
    }
}
