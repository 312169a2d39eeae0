//! What verification of a ledger tells: how much was compared, and each difference between what is stored and what the
//! raw events give.

use std::fmt;

use domain::invariant::Invariant;

/// Something stored that raw events do not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The broken promise.
    pub invariant: Invariant,
    /// What differs, beginning with the tenant.
    pub subject: String,
    /// What the raw events give.
    pub expected: String,
    /// What is stored.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: expected {}, found {}", self.invariant, self.subject, self.expected, self.found)
    }
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifySummary {
    /// Raw events read.
    pub events: u64,
    /// Windows compared.
    pub windows: u64,
    /// Hours of customers compared, where a ledger keeps any.
    pub hours: u64,
    /// Customers compared.
    pub customers: u64,
    /// Hourly rollups compared.
    pub rollups: u64,
    /// Users whose numbers and names were compared.
    pub users: u64,
    /// Days of users compared: of all, of a project or of a type.
    pub user_days: u64,
    /// Quarters of an hour whose received amounts were compared.
    pub received: u64,
    /// Differences found.
    pub differences: u64,
}
