//! The events of one workspace that are reserved and not applied yet, by their ids: an id that is refused for a quota
//! may be one of them, sent again, and then it counts. Does no IO.
//!
//! Ids stand here as hashes. Two of the same hash are taken for one, which makes a refusal wait and nothing else.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use domain::event::EventId;
use domain::position::Seq;
use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap};

/// The hash of an id, which holds as long as the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdHash(u64);

/// The ids on their way.
#[derive(Debug, Default)]
pub(super) struct OnWay {
    hasher: DefaultHashBuilder,
    /// How many events of each are on their way.
    ids: HashMap<IdHash, u32>,
    /// The ids in records that are durable and not applied.
    records: BTreeMap<Seq, Vec<IdHash>>,
    /// The last record of the workspace that was applied.
    applied: Seq,
}

impl OnWay {
    /// The hash of an id.
    pub(super) fn hash(&self, id: &EventId<'_>) -> IdHash {
        IdHash(self.hasher.hash_one(id))
    }

    /// Whether an event of this id is on its way.
    pub(super) fn has(&self, id: IdHash) -> bool {
        self.ids.contains_key(&id)
    }

    /// An event is reserved.
    pub(super) fn add(&mut self, id: IdHash) {
        *self.ids.entry(id).or_default() += 1;
    }

    /// Events go no further.
    pub(super) fn remove(&mut self, ids: &[IdHash]) {
        for id in ids {
            if let Entry::Occupied(mut of) = self.ids.entry(*id) {
                match of.get_mut() {
                    count if *count > 1 => *count -= 1,
                    _ => drop(of.remove()),
                }
            }
        }
    }

    /// Events are durable as record `seq`, which may have been applied before this is known.
    pub(super) fn journaled(&mut self, seq: Seq, ids: Vec<IdHash>) {
        if seq <= self.applied {
            self.remove(&ids);
        } else {
            self.records.insert(seq, ids);
        }
    }

    /// The records up to `seq` are applied, or have become dead letters.
    pub(super) fn applied(&mut self, seq: Seq) {
        self.applied = self.applied.max(seq);
        while let Some(record) = self.records.first_entry().filter(|record| *record.key() <= seq) {
            let ids = record.remove();
            self.remove(&ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EventId<'_> {
        EventId::native(text)
    }

    #[test]
    fn an_id_is_on_its_way_until_the_last_of_its_events_has_arrived() {
        let mut on_way = OnWay::default();
        let [one, two] = ["1", "2"].map(|text| on_way.hash(&id(text)));
        for id in [one, two, one, one] {
            on_way.add(id);
        }
        // The worker may be faster than the request that hears of its record.
        on_way.applied(Seq(3));
        on_way.journaled(Seq(3), vec![one, two]);
        assert!(on_way.has(one) && !on_way.has(two));
        on_way.journaled(Seq(5), vec![one]);
        on_way.remove(&[one]);
        assert!(on_way.has(one));
        on_way.applied(Seq(4));
        assert!(on_way.has(one), "record 5 is not applied");
        on_way.applied(Seq(6));
        assert!(!on_way.has(one) && on_way.ids.is_empty() && on_way.records.is_empty());
    }
}
