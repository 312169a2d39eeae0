//! What of the records that are handed in goes into one transaction: decoded, in order, without a gap, those of all
//! buckets together. Pure.

use domain::event::EventView;
use domain::limits::{LEDGER_BATCH_BYTES_MAX, LEDGER_BATCH_EVENTS_MAX};
use domain::position::{RecordId, Seq};
use domain::record::{EventIdentity, ReceiptTimes, RecordError, RecordView, RequestKey};
use domain::tenant::TenantId;
use ports::journal::Delivery;
use ports::{ErrorKind, PortError};

/// A decoded record.
#[derive(Debug)]
pub(crate) struct Record<'d> {
    pub(crate) seq: Seq,
    pub(crate) id: RecordId,
    pub(crate) bucket: i16,
    /// The bucket's own number of it.
    pub(crate) number: Seq,
    pub(crate) tenant: TenantId,
    pub(crate) times: ReceiptTimes,
    pub(crate) request: Option<RequestKey<'d>>,
    /// In order of index.
    pub(crate) events: Vec<(EventView<'d>, EventIdentity<'d>)>,
}

/// Where records of a tenant go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) bucket: i16,
    /// The record up to which all of the bucket have been applied.
    pub(crate) cursor: Seq,
}

/// The place of a tenant, or of a record of which nobody can tell whose it is; none if another process has it.
pub(crate) type Places<'p> = dyn Fn(Option<&TenantId>) -> Option<Place> + Send + Sync + 'p;

/// The records of one transaction.
#[derive(Debug)]
pub(crate) struct Batch<'d> {
    /// Those before them that were applied earlier.
    pub(crate) replayed: Vec<Seq>,
    pub(crate) records: Vec<Record<'d>>,
    /// The first record that another process has to apply: it and those behind it, which may be among `records`, are not
    /// told to be applied.
    pub(crate) foreign: Option<Seq>,
    /// Why the record after them cannot be applied.
    pub(crate) stopped: Option<PortError>,
}

impl<'d> Batch<'d> {
    /// Takes the first records of `deliveries`, after `through`, if that is known: `records_max` of them at most. Those
    /// that `is_suspect` are taken alone. They are numbered from the one after `number` on.
    pub(crate) fn take(
        deliveries: &'d [Delivery],
        through: Option<Seq>,
        number: Seq,
        places: &Places<'_>,
        is_suspect: &(dyn Fn(RecordId) -> bool + Send + Sync),
        records_max: usize,
    ) -> Self {
        let mut batch = Self { replayed: Vec::new(), records: Vec::new(), foreign: None, stopped: None };
        let (mut last, mut events, mut bytes) = (through, 0, 0);
        for delivery in deliveries {
            let seq = Seq::of_record(delivery.id);
            let is_next = last.is_none_or(|last| seq == last.next());
            let place = match Self::place(delivery, places) {
                _ if last.is_some_and(|last| seq <= last) => None,
                _ if !is_next => {
                    batch.stopped = last.map(|last| gap(seq, last));
                    break;
                }
                None => {
                    batch.foreign.get_or_insert(seq);
                    last = Some(seq);
                    continue;
                }
                Some(place) => Some(place).filter(|place| place.cursor < seq),
            };
            let Some(place) = place else {
                // What is replayed between is looked at later.
                if !batch.records.is_empty() {
                    break;
                }
                if batch.foreign.is_none() {
                    batch.replayed.push(seq);
                }
                last = last.max(Some(seq));
                continue;
            };
            let is_alone = is_suspect(delivery.id);
            let number = Seq(number.0 + batch.records.len() as u64 + 1);
            match decode(delivery, place.bucket, number) {
                Ok(record) => {
                    events += record.events.len();
                    bytes += delivery.payload.len();
                    let is_full = events > LEDGER_BATCH_EVENTS_MAX
                        || bytes > LEDGER_BATCH_BYTES_MAX
                        || batch.records.len() >= records_max;
                    if (is_full || is_alone) && !batch.records.is_empty() {
                        break;
                    }
                    last = Some(seq);
                    batch.records.push(record);
                    if is_alone {
                        break;
                    }
                }
                Err(why) => {
                    batch.stopped = Some(why);
                    break;
                }
            }
        }
        batch
    }

    fn place(delivery: &Delivery, places: &Places<'_>) -> Option<Place> {
        places(RecordView::parse(&delivery.payload).ok().as_ref().map(RecordView::tenant))
    }

    /// Up to which record all have been applied once these are.
    pub(crate) fn through(&self) -> Option<Seq> {
        match self.foreign {
            None => self.records.last().map(|record| record.seq),
            Some(foreign) => Some(Seq(foreign.0.saturating_sub(1))).filter(|_| self.told() > 0),
        }
    }

    /// How many of its records are told to be applied.
    pub(crate) fn told(&self) -> usize {
        let is_told = |record: &&Record<'_>| self.foreign.is_none_or(|foreign| record.seq < foreign);
        self.records.iter().take_while(is_told).count()
    }
}

fn gap(seq: Seq, last: Seq) -> PortError {
    PortError::new(ErrorKind::Conflict, format!("apply record {seq}: the next one is {}", last.next()))
}

/// Reads a record.
fn decode(delivery: &Delivery, bucket: i16, number: Seq) -> Result<Record<'_>, PortError> {
    let (seq, id) = (Seq::of_record(delivery.id), delivery.id);
    let read = || -> Result<Record<'_>, RecordError> {
        let view = RecordView::parse(&delivery.payload)?;
        let events = view.bodies().map(|body| body?.event_with_identity()).collect::<Result<Vec<_>, _>>()?;
        let (tenant, times, request) = (view.tenant().clone(), view.times(), view.request());
        Ok(Record { seq, id, bucket, number, tenant, times, request, events })
    };
    read().map_err(|why| PortError::new(ErrorKind::Unacceptable, format!("decode record {seq}")).because(why))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::limits::LEDGER_BATCH_RECORDS_MAX;
    use ports::testing::ledger::records::{at, event, record, scope};

    use super::*;

    fn taken<'d>(deliveries: &'d [Delivery], through: Option<u64>, places: &Places<'_>) -> Batch<'d> {
        Batch::take(deliveries, through.map(Seq), Seq::ZERO, places, &|_| false, LEDGER_BATCH_RECORDS_MAX)
    }

    fn shape(deliveries: &[Delivery], applied: u64) -> (usize, usize, Option<ErrorKind>) {
        let batch = taken(deliveries, Some(applied), &|_| Some(Place { bucket: 0, cursor: Seq(applied) }));
        (batch.replayed.len(), batch.records.len(), batch.stopped.map(|why| why.kind()))
    }

    #[test]
    fn a_batch_ends_before_a_gap_and_before_what_is_no_record() {
        let make = |seq| record(seq, &scope("a"), at(0), &[event("e", 0)]);
        assert_eq!(shape(&[], 0), (0, 0, None));
        assert_eq!(shape(&[make(1), make(2), make(4)], 0), (0, 2, Some(ErrorKind::Conflict)));
        assert_eq!(shape(&[make(1), make(2), make(3)], 2), (2, 1, None));
        assert_eq!(shape(&[make(3), make(1), make(4)], 2), (0, 1, None), "what is replayed between is looked at later");
        let poison = Delivery { id: Seq(2).into(), payload: Bytes::from_static(b"?") };
        assert_eq!(shape(&[make(1), poison], 0), (0, 1, Some(ErrorKind::Unacceptable)));
    }

    /// Buckets whose cursors differ: one has been another process's meanwhile.
    #[test]
    fn i1_what_a_bucket_has_not_had_is_applied_and_what_another_has_is_left_to_it() {
        let make = |seq, tenant| record(seq, &scope(tenant), at(0), &[event("e", 0)]);
        let records = [make(1, "a"), make(2, "b"), make(3, "a"), make(4, "b"), make(5, "a")];
        let seqs = |batch: &Batch<'_>| batch.records.iter().map(|record| record.seq.0).collect::<Vec<_>>();
        let places = |ahead: Option<u64>| {
            move |tenant: Option<&TenantId>| match tenant.map(TenantId::as_str) {
                Some("a") => Some(Place { bucket: 0, cursor: Seq(0) }),
                _ => Some(Place { bucket: 1, cursor: Seq(ahead?) }),
            }
        };
        let batch = taken(&records, Some(0), &places(Some(2)));
        assert_eq!((seqs(&batch), batch.through()), (vec![1], Some(Seq(1))));
        let batch = taken(&records[1..], Some(1), &places(Some(2)));
        assert_eq!((batch.replayed.len(), seqs(&batch), batch.through()), (1, vec![3, 4, 5], Some(Seq(5))));
        let batch = taken(&records, Some(0), &places(None));
        assert_eq!((seqs(&batch), batch.told(), batch.through()), (vec![1, 3, 5], 1, Some(Seq(1))));
        let batch = taken(&records[1..], Some(1), &places(None));
        assert_eq!((seqs(&batch), batch.told(), batch.through()), (vec![3, 5], 0, None));
        let batch = taken(&records[2..], None, &places(Some(0)));
        assert_eq!((seqs(&batch), batch.through()), (vec![3, 4, 5], Some(Seq(5))), "a journal begins anywhere");
    }

    #[test]
    fn i6_a_batch_is_no_larger_than_one_transaction_may_be_unless_one_record_is() {
        let of = |seq, events: usize| {
            let events: Vec<_> = (0..events).map(|index| event(&format!("e{index}"), 0)).collect();
            record(seq, &scope("a"), at(0), &events)
        };
        assert_eq!(shape(&[of(1, 9_999), of(2, 1), of(3, 1)], 0), (0, 2, None));
        assert_eq!(shape(&[of(1, 10_001), of(2, 1)], 0), (0, 1, None));
    }
}
