//! Every closed window that a reader has ever seen, across all restarts (I10).

use std::collections::{BTreeMap, BTreeSet};

use domain::aggregate::Aggregate;
use domain::invariant::Invariant;
use domain::time::Timestamp;
use domain::window::WindowState;
use ports::reports::Window;

use crate::violation::{Violation, hold};

/// A closed window as it was seen last.
#[derive(Debug)]
struct Seen {
    revision: u64,
    aggregate: Aggregate,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    closed: BTreeMap<(&'static str, String, Timestamp), Seen>,
}

impl History {
    /// A reader has seen all windows of a tenant.
    pub(crate) fn observe(&mut self, tenant: &'static str, windows: &[Window]) -> Result<(), Violation> {
        for window in windows {
            let key = (tenant, window.customer.clone(), window.start);
            let (open, revision) = (window.state == WindowState::Open, window.revision);
            if let Some(seen) = self.closed.get(&key) {
                let what = |how: &str| format!("{key:?} {how}: it was {seen:?}, now it is {window:?}");
                hold(Invariant::Monotonic, !open, || what("opened again"))?;
                hold(Invariant::Monotonic, revision >= seen.revision, || what("lost a revision"))?;
                let same = revision > seen.revision || window.aggregate == seen.aggregate;
                hold(Invariant::Monotonic, same, || what("changed without a revision"))?;
            }
            if !open {
                self.closed.insert(key, Seen { revision, aggregate: window.aggregate.clone() });
            }
        }
        let there: BTreeSet<_> = windows.iter().map(|window| (window.customer.as_str(), window.start)).collect();
        let mut closed = self.closed.keys().filter(|key| key.0 == tenant);
        let gone = closed.find(|(_, customer, start)| !there.contains(&(customer.as_str(), *start)));
        hold(Invariant::Monotonic, gone.is_none(), || format!("{gone:?} was closed and is gone"))
    }
}
