//! Events taken out of a memtable to be read without its lock: the bytes stay where they are and are
//! shared, so that taking 200,000 events copies references alone.

use bytes::Bytes;
use domain::position::{Position, Seq};
use domain::record::{ReceiptTimes, decode_body};
use domain::tenant::TenantId;
use domain::time::TimeRange;
use domain::users::UserNumber;

use super::{Memtable, MemtableEvent};

/// Events of one tenant.
#[derive(Debug, Default)]
pub(crate) struct MemtableRows {
    records: Vec<(Seq, ReceiptTimes, Bytes)>,
    rows: Vec<MemtableRow>,
}

#[derive(Debug, Clone, Copy)]
struct MemtableRow {
    record: u32,
    offset: u32,
    len: u32,
    index: u16,
    user: Option<UserNumber>,
}

impl MemtableRows {
    /// How many events.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The events `first..first + count`, as far as there are any.
    pub(crate) fn decode(&self, first: usize, count: usize) -> Vec<MemtableEvent<'_>> {
        self.rows.iter().skip(first).take(count).filter_map(|row| self.event_of(row)).collect()
    }

    fn event_of(&self, row: &MemtableRow) -> Option<MemtableEvent<'_>> {
        let (seq, times, payload) = self.records.get(row.record as usize)?;
        let body = payload.get(row.offset as usize..(row.offset + row.len) as usize)?;
        let position = Position::new(*seq, row.index);
        Some(MemtableEvent { position, times: *times, user: row.user, event: decode_body(body).ok()? })
    }
}

impl Memtable {
    /// The tenant's events whose time lies in `range`.
    pub(crate) fn rows_of(&self, tenant: &TenantId, range: TimeRange) -> MemtableRows {
        let mut found = MemtableRows::default();
        let mut copied = vec![u32::MAX; self.records.len()];
        for handle in self.groups_of(tenant).flat_map(|group| group.events(range)) {
            let event = handle.event;
            let at = &mut copied[event.record as usize];
            if *at == u32::MAX {
                *at = u32::try_from(found.records.len()).unwrap_or(u32::MAX);
                let record = &self.records[event.record as usize];
                found.records.push((record.seq, record.times, record.payload.clone()));
            }
            found.rows.push(MemtableRow {
                record: *at,
                offset: event.offset,
                len: event.len,
                index: event.index,
                user: event.user(),
            });
        }
        found
    }
}
