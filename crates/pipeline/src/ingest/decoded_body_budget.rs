//! How much memory the decoded bodies of all requests may take at once, from decoding until the journal
//! has answered (I6).

use std::sync::Arc;

use domain::limits::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::IngestError;

/// Bytes that one permit stands for.
const UNIT_BYTES: usize = 1 << 10;

/// The memory for decoded bodies: as much as the backlog may have, and enough for one body of any size.
#[derive(Debug, Clone)]
pub(crate) struct DecodedBodyBudget {
    units: Arc<Semaphore>,
}

impl DecodedBodyBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes = limits.backlog_bytes_max.max(limits.decoded_bytes_max);
        let units = units(bytes).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)) }
    }

    /// Reserves room for a body of `bytes`, until the permit is dropped.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, IngestError> {
        let units = u32::try_from(units(bytes)).map_err(|_| IngestError::Overloaded)?;
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| IngestError::Overloaded)
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_bodies_share_one_budget_and_the_largest_fits_alone() {
        let limits = Limits { backlog_bytes_max: 1 << 10, decoded_bytes_max: 10 << 10, ..Limits::default() };
        let budget = DecodedBodyBudget::new(&limits);
        let largest = budget.reserve(limits.decoded_bytes_max);
        assert!(largest.is_ok());
        assert_eq!(budget.reserve(1).err(), Some(IngestError::Overloaded));
        drop(largest);
        assert!(budget.reserve(1).is_ok());
    }
}
