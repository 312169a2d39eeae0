//! How much was received in which quarter of an hour: of each tenant, and of the customers that are counted apart.

use domain::quota::Amounts;
use domain::time::Timestamp;
use hashbrown::HashMap;

use crate::intern::Symbol;

/// Whose, when: no customer stands for the tenant as a whole.
pub(super) type ReceivedKey = (Symbol, Option<Symbol>, Timestamp);

/// The sums of a memtable.
#[derive(Debug, Default)]
pub(super) struct ReceivedSums(HashMap<ReceivedKey, Amounts>);

impl ReceivedSums {
    /// Adds to a sum. Says whether it is a new one.
    pub(super) fn add(&mut self, key: ReceivedKey, amounts: &Amounts) -> bool {
        let before = self.0.len();
        self.0.entry(key).or_default().add(amounts);
        self.0.len() > before
    }

    /// All sums, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ReceivedKey, &Amounts)> {
        self.0.iter()
    }
}
