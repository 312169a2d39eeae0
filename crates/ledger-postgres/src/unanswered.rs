//! Why a question about a tenant has no answer, and what its port says then.

use domain::series::TooLarge;
use domain::time::Timestamp;
use ports::{ErrorKind, PortError};
use postgres::Failure;

/// What the server says when a statement took too long.
const TOO_LONG: &str = "57014";

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    Failed(Failure),
    TooLarge(TooLarge),
    /// As its port is to say it.
    Refused(PortError),
    /// Raw events before this time would be needed.
    Gone(Timestamp),
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<sqlx::Error> for Unanswered {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<TooLarge> for Unanswered {
    fn from(why: TooLarge) -> Self {
        Self::TooLarge(why)
    }
}

impl Unanswered {
    /// The error of a port that has failed to do `what`.
    pub(crate) fn during(self, what: &str) -> PortError {
        match self {
            Self::TooLarge(why) => why.into(),
            Self::Refused(why) => why,
            Self::Gone(floor) => {
                PortError::new(ErrorKind::Gone, format!("count events before {floor}: retention has dropped them"))
            }
            Self::Failed(failure) if failure.code().as_deref() == Some(TOO_LONG) => {
                PortError::new(ErrorKind::TimedOut, format!("{what}: it took longer than it may")).because(failure)
            }
            Self::Failed(failure) => failure.during(what),
        }
    }
}
