//! What becomes of each event of a batch, in the order of the journal. Pure, so that it does not matter how the records
//! are divided into batches.

use domain::dedup::{IdHash, TenantIdHasher};
use domain::event::{EventId, IdScheme};
use domain::payload::{HashRule, PayloadHash};
use hashbrown::HashMap;
use ports::ledger::Outcome;

use crate::batch::Record;

/// The hashes of what a record names.
#[derive(Debug)]
pub(crate) struct RecordHashes {
    /// Of each event: its own, and that under which an earlier release would have taken it.
    events: Vec<(IdHash, Option<IdHash>)>,
    request: Option<IdHash>,
}

impl RecordHashes {
    pub(crate) fn of(record: &Record<'_>, hasher: &TenantIdHasher) -> Self {
        let hash = |(event, identity): &(domain::event::EventView<'_>, domain::record::EventIdentity<'_>)| {
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
    /// Of each record, per event in order.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// Of the events that count and the keys of their requests, in the order of the journal.
    pub(crate) new: Vec<NewId>,
    /// Whether an event has a payload hash of the first rule.
    pub(crate) has_former_ids: bool,
}

/// Decides. `known` are the ids that were counted before, as far as the batch names them.
pub(crate) fn decide(
    records: &[Record<'_>],
    hashes: &[RecordHashes],
    mut known: HashMap<IdHash, PayloadHash>,
) -> Decided {
    let mut decided = Decided::default();
    for (at, (record, hashes)) in records.iter().zip(hashes).enumerate() {
        let mut outcomes = Vec::with_capacity(record.events.len());
        for (index, ((_, identity), (own, former))) in record.events.iter().zip(&hashes.events).enumerate() {
            let payload = identity.payload;
            let former = || {
                let (seen, former) = (known.get(former.as_ref()?)?, identity.former?);
                seen.is_of_former(former.payload).then_some(*seen)
            };
            if let Some(seen) = known.get(own).copied().or_else(former) {
                outcomes.push(Outcome::of_known(seen, payload));
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
