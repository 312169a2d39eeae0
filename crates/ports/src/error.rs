//! The one error of all ports: a kind for the caller's decision, and what caused it.

use std::error::Error;
use std::fmt;

use domain::series::TooLarge;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Not now; try again later. The outcome of a write may be unknown: repeat it as it was.
    Unavailable,
    /// Too much is waiting already; try again later.
    Overloaded,
    /// The disk is full; reads still work.
    Full,
    /// A sync failed: nothing more may be written here, the process has to restart.
    Poisoned,
    /// Stored bytes are not what was written; never skipped.
    Corrupt,
    /// This very input can never succeed.
    Unacceptable,
    /// The state is not what the caller believed.
    Conflict,
    /// The answer would take more memory or rows than one may, whatever else goes on; ask for less. The
    /// context names the limit: it is shown to the client that asked.
    Exhausted,
    /// The answer took longer than one may, as anything does on a busy machine; ask for less, or later.
    /// The context names the limit: it is shown to the client that asked.
    TimedOut,
    /// The answer needs what retention has dropped for good.
    Gone,
    /// The port has been closed.
    Closed,
}

/// An error of a port.
#[derive(Debug)]
pub struct PortError {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// An error that reads "failed to `context`".
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<TooLarge> for PortError {
    fn from(why: TooLarge) -> Self {
        Self::new(ErrorKind::Exhausted, why.to_string())
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.context)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// An error with its causes in one line, for logs and reasons that outlive the error.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
