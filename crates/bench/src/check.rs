//! Compares what the server counted with what it acknowledged, customer by customer, so that a lost
//! event and a doubled one cannot cancel out. Checks I1, I2 and I4 from outside.

use std::collections::HashMap;
use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::client::CustomerCalls;
use super::workload::Workload;

/// What a comparison found, in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Events the server has counted.
    pub(super) stored: u64,
    /// Events it has acknowledged.
    pub(super) expected: u64,
    /// Acknowledged events it has not counted (I1).
    pub(super) lost: u64,
    /// Events it has counted beyond that (I2, I4).
    pub(super) doubled: u64,
}

impl Check {
    /// Compares `stored` with `expected`, the acknowledged events per customer of `workload`.
    /// Customers of others are left out.
    pub(super) fn compare(workload: &Workload, expected: &[u64], stored: &[CustomerCalls]) -> Self {
        let prefix = workload.customer_prefix();
        let own = stored.iter().filter(|customer| customer.id.starts_with(&prefix));
        let mut stored: HashMap<&str, u64> = own.map(|customer| (customer.id.as_str(), customer.calls)).collect();
        let mut check = Self { stored: stored.values().sum(), expected: expected.iter().sum(), lost: 0, doubled: 0 };
        for (id, expected) in workload.customers().iter().zip(expected) {
            let found = stored.remove(id.as_str()).unwrap_or(0);
            check.lost += expected.saturating_sub(found);
            check.doubled += found.saturating_sub(*expected);
        }
        check.doubled += stored.values().sum::<u64>();
        check
    }

    /// Fails when anything was lost or doubled.
    pub(super) fn ensure_exact(self) -> anyhow::Result<()> {
        ensure!(self.lost == 0 && self.doubled == 0, "counts are wrong: {self}");
        Ok(())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, expected, lost, doubled } = self;
        write!(f, "stored {stored}, expected {expected}, lost {lost}, doubled {doubled}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Mix;
    use domain::time::Timestamp;

    fn check(expected: [u64; 3], found: &[(&str, u64)]) -> Check {
        let mix = Mix { customers: 3, ..Mix::STANDARD };
        let workload = Workload::new(1, mix, Timestamp::default());
        let stored = found.iter().map(|(id, calls)| CustomerCalls { id: (*id).to_owned(), calls: *calls });
        Check::compare(&workload, &expected, &stored.collect::<Vec<_>>())
    }

    #[test]
    fn equal_counts_are_exact_and_other_customers_do_not_matter() {
        let found =
            [("bench-00000001-000000", 5), ("bench-00000001-000002", 7), ("bench-00000002-000000", 9), ("x", 1)];
        let check = check([5, 0, 7], &found);
        assert_eq!(check, Check { stored: 12, expected: 12, lost: 0, doubled: 0 });
        assert!(check.ensure_exact().is_ok());
    }

    #[test]
    fn a_loss_and_a_double_count_do_not_cancel_out() {
        let check = check([5, 5, 5], &[("bench-00000001-000000", 6), ("bench-00000001-000001", 4)]);
        assert_eq!(check, Check { stored: 10, expected: 15, lost: 6, doubled: 1 });
        assert!(check.ensure_exact().is_err());
    }

    #[test]
    fn a_customer_that_was_not_sent_is_a_phantom() {
        let check = check([0, 0, 0], &[("bench-00000001-000009", 2)]);
        assert_eq!((check.lost, check.doubled), (0, 2));
    }
}
