//! How much of something may come in a second. What is counted by it, and what happens to the rest, is decided
//! elsewhere.

use std::fmt;

/// So many each second, on average. 0 lets nothing pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

/// The number is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 0 to {}", Rate::MAX)]
pub struct InvalidRate;

impl Rate {
    /// The largest.
    pub const MAX: u32 = 1_000_000_000;

    /// A rate of `each_second`.
    ///
    /// # Errors
    /// [`InvalidRate`] above [`Rate::MAX`].
    pub fn new(each_second: u64) -> Result<Self, InvalidRate> {
        let inside = u32::try_from(each_second).ok().filter(|number| *number <= Self::MAX);
        inside.map(Self).ok_or(InvalidRate)
    }

    /// How many each second, or each minute where the limit says so.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateScope {
    /// Requests of an address that show no valid credential.
    Address,
    /// Requests with one credential.
    Key,
    /// Requests of one workspace.
    Workspace,
    /// Events of one workspace.
    Events,
}

impl RateScope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Address, Self::Key, Self::Workspace, Self::Events];

    /// Its name in headers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Key => "key",
            Self::Workspace => "workspace",
            Self::Events => "events",
        }
    }
}

/// The limits of the server on what comes in, which hold where a workspace or a key has none of its own. `None` is no
/// limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerRates {
    /// Requests of one address without a valid credential, in a minute.
    pub address_requests_per_min: Option<Rate>,
    /// Requests with one credential.
    pub key_requests: Option<Rate>,
    /// Requests of one workspace.
    pub workspace_requests: Option<Rate>,
    /// Events of one workspace.
    pub workspace_events: Option<Rate>,
}

/// The limits that the operator has set for one workspace. `None` leaves it to the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkspaceRates {
    /// Requests.
    pub requests: Option<Rate>,
    /// Events.
    pub events: Option<Rate>,
}

/// The limits that the operator has set for whoever makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallerRates {
    /// Requests with the credential.
    pub key: Option<Rate>,
    /// What the workspace may send.
    pub workspace: WorkspaceRates,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_0_to_a_thousand_million() {
        let rates = [0, 1, 1_000_000_000, 1_000_000_001, u64::MAX].map(|n| Rate::new(n).ok().map(Rate::get));
        assert_eq!(rates, [Some(0), Some(1), Some(1_000_000_000), None, None]);
        assert_eq!(InvalidRate.to_string(), "must be a whole number from 0 to 1000000000");
    }
}
