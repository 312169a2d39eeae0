//! What a failure of PostgreSQL means to the caller. Nothing is ever poisoned: what is durable is the server's to know,
//! and after a lost connection the next one asks it again.

use ports::{ErrorKind, PortError};

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for does not fit what is there. Nothing has changed.
    #[error("{reason}")]
    Refused {
        /// What the caller can do.
        kind: ErrorKind,
        /// Why.
        reason: String,
    },
    /// The server or the connection failed.
    #[error(transparent)]
    Client(#[from] sqlx::Error),
}

impl Failure {
    /// What can never succeed as it is.
    pub fn unacceptable(reason: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::Unacceptable, reason: reason.into() }
    }

    /// What the caller can do. `Unavailable` of a change may be one that counts: its `COMMIT` was sent and not answered.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { kind, .. } => *kind,
            Self::Client(error) => kind_of_client(error),
        }
    }

    /// The error of a port that has failed to do `what` because of this.
    pub fn during(self, what: impl Into<String>) -> PortError {
        PortError::new(self.kind(), what).because(self)
    }

    /// The SQLSTATE that the server has refused a statement with, if it did.
    pub fn code(&self) -> Option<String> {
        let Self::Client(sqlx::Error::Database(said)) = self else { return None };
        said.code().map(std::borrow::Cow::into_owned)
    }
}

/// What the caller can do about an error of the client.
pub fn kind_of_client(error: &sqlx::Error) -> ErrorKind {
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
