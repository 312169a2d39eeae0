//! Quotas: how much of a measure a workspace, or one of its customers, may use in a day or a month. What is used is
//! known elsewhere; here is what counts how much ([`Amounts`]), and which period an instant lies in
//! ([`QuotaCalendar`]). An event counts in the period of its receive time, whatever its own time says.

mod amounts;
mod calendar;

use serde::{Deserialize, Serialize};

pub use amounts::Amounts;
pub use calendar::{CarriedPeriods, QUARTER_US, QuotaCalendar, quarter_of};

/// The highest limit of a quota.
pub const QUOTA_LIMIT_MAX: u64 = 1_000_000_000_000_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// All events.
    Events,
    /// The tokens of events.
    Tokens,
    /// Events that name an endpoint or a model.
    Calls,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 3] = [Self::Events, Self::Tokens, Self::Calls];

    /// Its name in requests, answers and the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Tokens => "tokens",
            Self::Calls => "calls",
        }
    }

    /// The measure with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == name)
    }
}

/// How long a quota is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotaPeriod {
    /// A day of the workspace's zone.
    Day,
    /// A month of the workspace's zone.
    Month,
}

impl QuotaPeriod {
    /// All periods.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// Its name in requests, answers and the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The period with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == name)
    }
}

/// What a quota of a workspace is about. There is one quota of each at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaKey {
    /// The customer whose events count; `None`: those of the whole workspace.
    pub customer: Option<String>,
    /// What is counted.
    pub measure: Measure,
    /// How long it is for.
    pub period: QuotaPeriod,
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// What it is about.
    pub key: QuotaKey,
    /// How much may be used, at most [`QUOTA_LIMIT_MAX`].
    pub limit: u64,
    /// Whether an event that would go over the limit is refused; otherwise that is only told.
    pub is_hard: bool,
}

/// A quota as it is kept: a record of which each change is the next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedQuota {
    /// What it is about.
    pub key: QuotaKey,
    /// Its limit, and whether that is hard; `None` once it has been removed.
    pub terms: Option<QuotaTerms>,
    /// 1, and one more with each change.
    pub version: u64,
}

/// What a quota allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuotaTerms {
    /// As [`Quota::limit`].
    pub limit: u64,
    /// As [`Quota::is_hard`].
    #[serde(rename = "hard")]
    pub is_hard: bool,
}

impl VersionedQuota {
    /// The quota, unless it has been removed.
    pub fn quota(&self) -> Option<Quota> {
        let QuotaTerms { limit, is_hard } = self.terms?;
        Some(Quota { key: self.key.clone(), limit, is_hard })
    }
}
