//! What of the records that are handed in goes into one transaction: decoded, in order, without a gap. Pure.

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
    pub(crate) tenant: TenantId,
    pub(crate) times: ReceiptTimes,
    pub(crate) request: Option<RequestKey<'d>>,
    /// In order of index.
    pub(crate) events: Vec<(EventView<'d>, EventIdentity<'d>)>,
}

/// The records of one transaction.
#[derive(Debug)]
pub(crate) struct Batch<'d> {
    /// Those before them that were applied earlier.
    pub(crate) replayed: Vec<Seq>,
    pub(crate) records: Vec<Record<'d>>,
    /// Why the record after them cannot be applied.
    pub(crate) stopped: Option<PortError>,
}

impl<'d> Batch<'d> {
    /// Takes the first records of `deliveries`, after `applied`: `records_max` of them at most.
    pub(crate) fn take(deliveries: &'d [Delivery], applied: Seq, records_max: usize) -> Self {
        let mut batch = Self { replayed: Vec::new(), records: Vec::new(), stopped: None };
        let (mut last, mut events, mut bytes) = (applied, 0, 0);
        for delivery in deliveries {
            let seq = Seq::of_record(delivery.id);
            if seq <= last {
                if !batch.records.is_empty() {
                    break;
                }
                batch.replayed.push(seq);
                continue;
            }
            match decode(delivery, last) {
                Ok(record) => {
                    events += record.events.len();
                    bytes += delivery.payload.len();
                    let is_full = events > LEDGER_BATCH_EVENTS_MAX
                        || bytes > LEDGER_BATCH_BYTES_MAX
                        || batch.records.len() >= records_max;
                    if is_full && !batch.records.is_empty() {
                        break;
                    }
                    last = record.seq;
                    batch.records.push(record);
                }
                Err(why) => {
                    batch.stopped = Some(why);
                    break;
                }
            }
        }
        batch
    }

    /// How many of the deliveries it has used up.
    pub(crate) fn len(&self) -> usize {
        self.replayed.len() + self.records.len()
    }
}

/// Reads a record, which has to be the one after `last`.
fn decode(delivery: &Delivery, last: Seq) -> Result<Record<'_>, PortError> {
    let seq = Seq::of_record(delivery.id);
    if seq != last.next() {
        let message = format!("apply record {seq}: the next one is {}", last.next());
        return Err(PortError::new(ErrorKind::Conflict, message));
    }
    let read = || -> Result<Record<'_>, RecordError> {
        let view = RecordView::parse(&delivery.payload)?;
        let events = view.bodies().map(|body| body?.event_with_identity()).collect::<Result<Vec<_>, _>>()?;
        let (tenant, times, request) = (view.tenant().clone(), view.times(), view.request());
        Ok(Record { seq, id: delivery.id, tenant, times, request, events })
    };
    read().map_err(|why| PortError::new(ErrorKind::Unacceptable, format!("decode record {seq}")).because(why))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::limits::LEDGER_BATCH_RECORDS_MAX;
    use ports::testing::ledger::records::{at, event, record, scope};

    use super::*;

    fn shape(deliveries: &[Delivery], applied: u64) -> (usize, usize, Option<ErrorKind>) {
        let batch = Batch::take(deliveries, Seq(applied), LEDGER_BATCH_RECORDS_MAX);
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
