//! The memory of long heads of requests, over all connections (I6): from their first byte until their request
//! is answered. When it is spent, heads that are not whole make room, the oldest first: whoever sends
//! many and finishes none keeps nobody else out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use domain::limits::{HEAD_BYTES_FREE, HEADS_BYTES_MAX};
use futures::task::AtomicWaker;
use parking_lot::Mutex;

/// The memory that long heads may take together.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadBudget(Arc<Mutex<HeadsUse>>);

#[derive(Debug, Default)]
struct HeadsUse {
    bytes: usize,
    /// The number of the next head.
    next: u64,
    /// The heads that are not whole, oldest first.
    unfinished: BTreeMap<u64, (usize, Arc<Eviction>)>,
}

/// Tells a connection that its head has to make room.
#[derive(Debug, Default)]
struct Eviction {
    is_due: AtomicBool,
    waker: AtomicWaker,
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct HeadReservation {
    budget: HeadBudget,
    number: u64,
    /// For a head that is whole; the budget knows it of others.
    bytes: usize,
    eviction: Arc<Eviction>,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoRoom;

impl HeadBudget {
    /// Reserves room for a head that is not whole.
    pub(super) fn reserve(&self, bytes: usize) -> Option<HeadReservation> {
        let mut heads = self.0.lock();
        if !heads.make_room(bytes) {
            return None;
        }
        let eviction = Arc::new(Eviction::default());
        let number = heads.next;
        heads.next += 1;
        heads.bytes += bytes;
        heads.unfinished.insert(number, (bytes, Arc::clone(&eviction)));
        Some(HeadReservation { budget: self.clone(), number, bytes: 0, eviction })
    }

    /// Reserves room for a head that is whole; nothing for a short one.
    ///
    /// # Errors
    /// [`NoRoom`] when heads of other requests, which are whole too, take it.
    pub(super) fn reserve_whole(&self, bytes: usize) -> Result<Option<HeadReservation>, NoRoom> {
        if bytes <= HEAD_BYTES_FREE {
            return Ok(None);
        }
        self.reserve(bytes).ok_or(NoRoom)?.finish().map(Some)
    }
}

impl HeadsUse {
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.bytes + bytes > HEADS_BYTES_MAX {
            let Some((_, (freed, eviction))) = self.unfinished.pop_first() else { return false };
            self.bytes -= freed;
            eviction.is_due.store(true, Ordering::Release);
            eviction.waker.wake();
        }
        true
    }
}

impl HeadReservation {
    /// Reserves `bytes` in all instead; `false` when there is no room, also for what was reserved before.
    pub(super) fn grow_to(&self, bytes: usize) -> bool {
        let mut heads = self.budget.0.lock();
        let Some((before, eviction)) = heads.unfinished.remove(&self.number) else { return false };
        heads.bytes -= before;
        let has_room = heads.make_room(bytes);
        if has_room {
            heads.bytes += bytes;
            heads.unfinished.insert(self.number, (bytes, eviction));
        }
        has_room
    }

    /// Keeps the room for the rest of the request: the head is whole.
    ///
    /// # Errors
    /// [`NoRoom`] when it had to make room for another meanwhile.
    pub(super) fn finish(mut self) -> Result<Self, NoRoom> {
        let taken = self.budget.0.lock().unfinished.remove(&self.number);
        self.bytes = taken.map(|(bytes, _)| bytes).ok_or(NoRoom)?;
        Ok(self)
    }

    /// Whether the head has to make room; otherwise `waker` is woken when it has to.
    pub(super) fn is_evicted(&self, waker: &Waker) -> bool {
        self.eviction.waker.register(waker);
        self.eviction.is_due.load(Ordering::Acquire)
    }
}

impl Drop for HeadReservation {
    fn drop(&mut self) {
        let mut heads = self.budget.0.lock();
        let unfinished = heads.unfinished.remove(&self.number).map_or(0, |(bytes, _)| bytes);
        heads.bytes -= unfinished + self.bytes;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn i6_unfinished_heads_make_room_the_oldest_first_and_whole_ones_do_not() {
        let budget = HeadBudget::default();
        let is_evicted = |head: &HeadReservation| head.is_evicted(Waker::noop());
        let half = HEADS_BYTES_MAX / 2;
        let (oldest, newer) = (budget.reserve(half).unwrap(), budget.reserve(half).unwrap());
        let newest = budget.reserve(1).unwrap();
        assert_eq!([&oldest, &newer, &newest].map(is_evicted), [true, false, false]);
        assert!(!oldest.grow_to(half) && newer.grow_to(half - 1));
        let whole = newer.finish().unwrap();
        assert!(budget.reserve_whole(HEADS_BYTES_MAX).is_err(), "no room beside one that is whole");
        assert!(is_evicted(&newest) && !is_evicted(&whole));
        assert!(matches!(budget.reserve_whole(HEAD_BYTES_FREE), Ok(None)));
        drop((oldest, whole, newest));
        assert_eq!(budget.0.lock().bytes, 0);
    }

    #[test]
    fn one_that_grows_into_its_own_room_evicts_no_other() {
        let budget = HeadBudget::default();
        let (one, other) = (budget.reserve(HEADS_BYTES_MAX - 10).unwrap(), budget.reserve(5).unwrap());
        assert!(one.grow_to(HEADS_BYTES_MAX - 5) && !other.is_evicted(Waker::noop()));
        drop((one, other));
        assert_eq!(budget.0.lock().bytes, 0);
    }
}
