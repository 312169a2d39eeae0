//! How much memory the decoded bodies of all requests may take at once, from decoding until the journal
//! has answered, and how much of it those of one tenant (I6).

use std::sync::Arc;

use domain::limits::Limits;
use domain::tenant::TenantId;

use super::answer::IngestError;
use crate::shares::{Share, Shares};

/// The memory for decoded bodies: as much as the backlog may have, and enough for one body of any size.
#[derive(Debug, Clone)]
pub(crate) struct DecodedBodyBudget(Arc<Shares>);

impl DecodedBodyBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Shares::new(limits.backlog_bytes_max.max(limits.decoded_bytes_max) as u64))
    }

    /// Reserves room for a body of `bytes`, until the share is dropped.
    pub(crate) fn reserve(&self, tenant: &TenantId, bytes: usize) -> Result<Share, IngestError> {
        self.0.take(Some(tenant), bytes as u64).ok_or(IngestError::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn i6_bodies_share_one_budget_and_the_largest_fits_alone() {
        let limits = Limits { backlog_bytes_max: 1 << 10, decoded_bytes_max: 10 << 10, ..Limits::default() };
        let budget = DecodedBodyBudget::new(&limits);
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        let largest = budget.reserve(&a, limits.decoded_bytes_max).unwrap();
        assert_eq!(budget.reserve(&b, 1).err(), Some(IngestError::Overloaded));
        drop(largest);
        assert!(budget.reserve(&b, 1).is_ok());
    }
}
