//! What a failure of PostgreSQL means to the caller. Nothing is ever poisoned: what is durable is the server's to know,
//! and after a lost connection the next one asks it again.

use ports::ErrorKind;
use sea_orm::sqlx;
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

fn kind_of_client(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(said) => kind_of_code(said.code().as_deref().unwrap_or_default()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        sqlx::Error::Configuration(_) => ErrorKind::Unacceptable,
        sqlx::Error::PoolClosed => ErrorKind::Closed,
        _ => ErrorKind::Unavailable,
    }
}

/// By SQLSTATE, <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn kind_of_code(code: &str) -> ErrorKind {
    match (code.get(..2).unwrap_or_default(), code) {
        ("23", _) => ErrorKind::Conflict,
        (_, "53100") => ErrorKind::Full,
        // Data that no column takes, as a text with U+0000; a wrong password; a database, schema, table or right that is
        // missing; a row that row-level security refuses.
        ("22" | "28" | "3D" | "3F" | "42", _) => ErrorKind::Unacceptable,
        ("XX", "XX001" | "XX002") => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use ports::ErrorKind;

    use super::kind_of_code;

    #[test]
    fn a_code_says_what_the_caller_can_do() {
        for (code, kind) in [
            ("23505", ErrorKind::Conflict),
            ("23514", ErrorKind::Conflict),
            ("40001", ErrorKind::Unavailable),
            ("40P01", ErrorKind::Unavailable),
            ("55P03", ErrorKind::Unavailable),
            ("57014", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("53300", ErrorKind::Unavailable),
            ("53100", ErrorKind::Full),
            ("22021", ErrorKind::Unacceptable),
            ("28P01", ErrorKind::Unacceptable),
            ("42501", ErrorKind::Unacceptable),
            ("XX001", ErrorKind::Corrupt),
            ("XX000", ErrorKind::Unavailable),
            ("", ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }
}
