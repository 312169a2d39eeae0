//! Who may run a query: a few at once. Tenants take turns, so that however many queries of one tenant
//! wait, those of another wait for one of them at most (I6).

use std::collections::VecDeque;
use std::sync::Arc;

use domain::tenant::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The slots of all tenants.
#[derive(Debug)]
pub(super) struct Slots(Arc<Mutex<Turns>>);

/// The right to run one query, given on when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Mutex<Turns>>);

#[derive(Debug)]
struct Turns {
    /// Nobody waits while there are any.
    free: usize,
    /// In the order in which the tenants' turns come; each with at least one that waits.
    waiting: VecDeque<(TenantId, VecDeque<oneshot::Sender<Slot>>)>,
}

impl Slots {
    /// So many at once.
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Turns { free: count, waiting: VecDeque::new() })))
    }

    /// Waits for a slot; `None` never comes while the slots are there.
    pub(super) async fn take(&self, tenant: &TenantId) -> Option<Slot> {
        let waiter = {
            let mut turns = self.0.lock();
            if turns.free > 0 {
                turns.free -= 1;
                return Some(Slot(Arc::clone(&self.0)));
            }
            let (slot, waiter) = oneshot::channel();
            turns.wait(tenant, slot);
            waiter
        };
        waiter.await.ok()
    }
}

impl Turns {
    fn wait(&mut self, tenant: &TenantId, slot: oneshot::Sender<Slot>) {
        match self.waiting.iter_mut().find(|(of, _)| of == tenant) {
            Some((_, queue)) => {
                queue.retain(|slot| !slot.is_closed());
                queue.push_back(slot);
            }
            None => self.waiting.push_back((tenant.clone(), VecDeque::from([slot]))),
        }
    }

    /// Whose turn it is, of those that wait still.
    fn next(&mut self) -> Option<oneshot::Sender<Slot>> {
        while let Some((tenant, mut queue)) = self.waiting.pop_front() {
            queue.retain(|slot| !slot.is_closed());
            let Some(slot) = queue.pop_front() else { continue };
            if !queue.is_empty() {
                self.waiting.push_back((tenant, queue));
            }
            return Some(slot);
        }
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let next = {
            let mut turns = self.0.lock();
            let next = turns.next();
            turns.free += usize::from(next.is_none());
            next
        };
        if let Some(next) = next {
            // Whoever has gone meanwhile drops it, which passes it on.
            let _ = next.send(Self(Arc::clone(&self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn i6_a_tenants_waiting_queries_keep_anothers_waiting_for_one_of_them_at_most() {
        let (slots, [a, b, c]) = (Slots::new(2), ["a", "b", "c"].map(tenant));
        let mut running = VecDeque::from([&a, &a].map(|tenant| slots.take(tenant).now_or_never().unwrap().unwrap()));
        let mut waiting: Vec<_> = (0..100).map(|_| ("a", Box::pin(slots.take(&a)))).collect();
        waiting.extend((0..3).map(|_| ("b", Box::pin(slots.take(&b)))));
        waiting.push(("c", Box::pin(slots.take(&c))));
        let mut served = String::new();
        for _ in 0..9 {
            waiting.iter_mut().for_each(|(_, slot)| assert!(slot.now_or_never().is_none()));
            drop(running.pop_front());
            let next = waiting.iter_mut().enumerate().find_map(|(at, (_, slot))| Some((at, slot.now_or_never()?)));
            let (at, slot) = next.unwrap();
            running.push_back(slot.unwrap());
            served.push_str(waiting.remove(at).0);
        }
        assert_eq!(served, "abcababaa");
    }

    #[test]
    fn a_slot_goes_past_those_who_wait_no_more() {
        let (slots, [a, b]) = (Slots::new(1), ["a", "b"].map(tenant));
        let first = slots.take(&a).now_or_never().unwrap();
        for tenant in [&a, &b, &a] {
            assert!(slots.take(tenant).now_or_never().is_none());
        }
        // It is given the slot, but goes without looking.
        let mut gone = Box::pin(slots.take(&a));
        assert!((&mut gone).now_or_never().is_none());
        let mut last = Box::pin(slots.take(&b));
        assert!((&mut last).now_or_never().is_none());
        drop(first);
        drop(gone);
        drop(last.now_or_never().unwrap());
        assert!(slots.take(&b).now_or_never().is_some());
    }
}
