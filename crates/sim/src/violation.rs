//! A broken promise.

use domain::invariant::Invariant;

/// A promise that did not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} is broken: {what}")]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened instead.
    pub what: String,
}

impl Violation {
    pub(crate) fn of(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

/// Holds a promise to `kept`; `what` says how it was broken.
pub(crate) fn hold(invariant: Invariant, kept: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if kept { Ok(()) } else { Err(Violation::of(invariant, what())) }
}
