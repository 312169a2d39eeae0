//! What becomes of each event of a batch, in the order of the journal. Pure, so that it does not matter how the records
//! are divided into batches.

use domain::dedup::{IdHash, TenantIdHasher};
use domain::event::{EventId, EventView, IdScheme};
use domain::payload::{HashRule, PayloadHash};
use hashbrown::HashMap;
use ports::ledger::Outcome;

use crate::batch::Record;

/// The hashes of what a record names.
#[derive(Debug)]
pub(crate) struct RecordHashes {
    /// Hashes of each event: its own, and that under which an earlier release would have taken it.
    events: Vec<(IdHash, Option<IdHash>)>,
    request: Option<IdHash>,
}

impl RecordHashes {
    pub(crate) fn of(record: &Record<'_>, hasher: &TenantIdHasher) -> Self {
        let hash = |(event, identity): &(EventView<'_>, domain::record::EventIdentity<'_>)| {
            let own = hasher.hash_id(EventId { scheme: event.id_scheme, text: event.id });
            (own, identity.former.map(|former| hasher.hash(former.id)))
        };
        let request = record.request.map(|key| hasher.hash_id(EventId { scheme: IdScheme::Request, text: key.text }));
        Self { events: record.events.iter().map(hash).collect(), request }
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = IdHash> + '_ {
        let events = self.events.iter().flat_map(|(own, former)| std::iter::once(*own).chain(*former));
        events.chain(self.request)
    }

    /// The hashes of the events' own ids, in order.
    pub(crate) fn of_events(&self) -> impl Iterator<Item = IdHash> + '_ {
        self.events.iter().map(|(own, _)| *own)
    }

    /// Those under which an earlier release would have taken the events. They are known or not, and never added.
    pub(crate) fn formers(&self) -> impl Iterator<Item = IdHash> + '_ {
        self.events.iter().filter_map(|(_, former)| *former)
    }
}

/// An id that is new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewId {
    pub(crate) hash: IdHash,
    pub(crate) payload: PayloadHash,
    /// The record's place in the batch.
    pub(crate) record: usize,
    /// The event's place in the record; none for the key of a request.
    pub(crate) event: Option<usize>,
}

/// What becomes of a batch.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// What becomes of each record, per event in order.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// Ids of the events that count and keys of their requests, in the order of the journal.
    pub(crate) new: Vec<NewId>,
    /// Whether an event has a payload hash of the first rule.
    pub(crate) has_former_ids: bool,
}

/// Decides. `known` are the ids that were counted before, as far as the batch names them; `is_refused` are new events of
/// a record that an erasure refuses.
pub(crate) fn decide(
    records: &[Record<'_>],
    hashes: &[RecordHashes],
    mut known: HashMap<IdHash, PayloadHash>,
    is_refused: impl Fn(&Record<'_>, &EventView<'_>) -> bool,
) -> Decided {
    let mut decided = Decided::default();
    for (at, (record, hashes)) in records.iter().zip(hashes).enumerate() {
        let mut outcomes = Vec::with_capacity(record.events.len());
        for (index, ((event, identity), (own, former))) in record.events.iter().zip(&hashes.events).enumerate() {
            let payload = identity.payload;
            let former = || {
                let (seen, former) = (known.get(former.as_ref()?)?, identity.former?);
                seen.is_of_former(former.payload).then_some(*seen)
            };
            if let Some(seen) = known.get(own).copied().or_else(former) {
                outcomes.push(Outcome::of_known(seen, payload));
                continue;
            }
            if is_refused(record, event) {
                outcomes.push(Outcome::Refused);
                continue;
            }
            known.insert(*own, payload);
            decided.has_former_ids |= payload.rule == HashRule::EncodedBody;
            decided.new.push(NewId { hash: *own, payload, record: at, event: Some(index) });
            outcomes.push(Outcome::Fresh);
        }
        if let Some((hash, key)) = hashes.request.zip(record.request).filter(|_| outcomes.contains(&Outcome::Fresh)) {
            // The first record that leaves a key stands.
            known.entry(hash).or_insert_with(|| {
                decided.new.push(NewId { hash, payload: key.body, record: at, event: None });
                key.body
            });
        }
        decided.outcomes.push(outcomes);
    }
    decided
}

#[cfg(test)]
mod tests {
    use domain::dedup::IdHasher;
    use ports::journal::Delivery;
    use ports::testing::ledger::records::{admitted_under, at, event, request_key, scope};

    use super::*;
    use crate::batch::{Batch, Place};

    /// What becomes of records that are divided into batches of so many, and which ids they leave.
    fn run(deliveries: &[Delivery], batch_max: usize) -> (Vec<Vec<Outcome>>, Vec<(IdHash, PayloadHash)>) {
        let hasher = IdHasher::new(&[3; 16]);
        let (mut known, mut outcomes, mut taken) = (HashMap::new(), Vec::new(), 0);
        while taken < deliveries.len() {
            let at = domain::position::Seq(taken as u64);
            let places = |_: Option<&domain::tenant::TenantId>| Some(Place { bucket: 0, cursor: at });
            let batch = Batch::take(&deliveries[taken..], Some(at), at, &places, &|_| false, batch_max);
            assert!(batch.stopped.is_none() && !batch.records.is_empty());
            let hashes: Vec<_> = batch
                .records
                .iter()
                .map(|record| RecordHashes::of(record, &hasher.of_tenant(&record.tenant)))
                .collect();
            let decided = decide(&batch.records, &hashes, known.clone(), |_, _| false);
            known.extend(decided.new.iter().map(|id| (id.hash, id.payload)));
            outcomes.extend(decided.outcomes);
            taken += batch.records.len();
        }
        let mut left: Vec<_> = known.into_iter().collect();
        left.sort_unstable();
        (outcomes, left)
    }

    #[test]
    fn i3_how_records_are_divided_into_batches_does_not_matter() {
        for seed in 0..300_u64 {
            let dice = |at: u64, of: u64| (seed.wrapping_mul(0x9e37_79b9).wrapping_add(at * 0x85eb_ca6b) >> 7) % of;
            let make = |seq: u64| {
                let events: Vec<_> = (0..=dice(seq, 4))
                    .map(|n| event(&format!("e{}", dice(seq * 31 + n, 9)), i64::from(dice(seq * 7 + n, 3) == 0)))
                    .collect();
                let key = format!("k{}", dice(seq * 13, 3));
                let key = (dice(seq * 17, 2) == 0).then(|| request_key(&key, seq));
                let tenant = scope(if dice(seq * 19, 3) == 0 { "a" } else { "b" });
                let payload = admitted_under(key, &tenant, at(1), &events).payload().clone();
                Delivery { id: domain::position::Seq(seq).into(), payload }
            };
            let deliveries: Vec<_> = (1..=7).map(make).collect();
            let whole = run(&deliveries, 100);
            assert!(whole.0.iter().flatten().any(|outcome| *outcome == Outcome::Fresh), "seed {seed}");
            for batch_max in 1..4 {
                assert_eq!(run(&deliveries, batch_max), whole, "seed {seed}, batches of {batch_max}");
            }
        }
    }
}
