//! Whose work runs: only so much at once, and of one tenant less than that where others are to find
//! room at any time. Tenants take turns, so that however much work of one waits, that of another waits
//! for one piece of it at most (I6).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::limits::WAITERS_PER_TENANT_MAX;
use domain::tenant::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{ErrorKind, PortError};

/// The turns of all tenants.
#[derive(Debug, Clone)]
pub struct FairLimiter(Arc<Mutex<State>>);

/// The right to run one piece of work, given on when dropped.
#[derive(Debug)]
pub struct FairPermit {
    turns: FairLimiter,
    tenant: TenantId,
}

#[derive(Debug)]
struct State {
    free: usize,
    per_tenant_max: usize,
    /// Only those with work that runs.
    running: BTreeMap<TenantId, usize>,
    /// In the order in which the tenants' turns come; each with at least one that waits.
    waiting: VecDeque<(TenantId, VecDeque<oneshot::Sender<FairPermit>>)>,
}

impl FairLimiter {
    /// So many at once, and at most `per_tenant_max` of one tenant.
    pub fn new(count: usize, per_tenant_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: count,
            per_tenant_max,
            running: BTreeMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `Overloaded` when too much work of the tenant waits already.
    pub async fn take(&self, tenant: &TenantId) -> Result<FairPermit, PortError> {
        let busy = || PortError::new(ErrorKind::Overloaded, "wait for a turn: too many questions wait already");
        let waiter = {
            let mut state = self.0.lock();
            if state.has_room_for(tenant) {
                state.start(tenant);
                return Ok(FairPermit { turns: self.clone(), tenant: tenant.clone() });
            }
            let (turn, waiter) = oneshot::channel();
            if !state.wait(tenant, turn) {
                return Err(busy());
            }
            waiter
        };
        // The other end is dropped only by whoever finds that nobody waits.
        waiter.await.map_err(|_| busy())
    }
}

impl State {
    fn has_room_for(&self, tenant: &TenantId) -> bool {
        self.free > 0 && self.running.get(tenant).is_none_or(|running| *running < self.per_tenant_max)
    }

    fn start(&mut self, tenant: &TenantId) {
        self.free -= 1;
        *self.running.entry(tenant.clone()).or_insert(0) += 1;
    }

    fn end(&mut self, tenant: &TenantId) {
        self.free += 1;
        if let Some(running) = self.running.get_mut(tenant) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(tenant);
            }
        }
    }

    /// Whether there was room in the queue.
    fn wait(&mut self, tenant: &TenantId, turn: oneshot::Sender<FairPermit>) -> bool {
        let Some((_, queue)) = self.waiting.iter_mut().find(|(of, _)| of == tenant) else {
            self.waiting.push_back((tenant.clone(), VecDeque::from([turn])));
            return true;
        };
        queue.retain(|turn| !turn.is_closed());
        let has_room = queue.len() < WAITERS_PER_TENANT_MAX;
        if has_room {
            queue.push_back(turn);
        }
        has_room
    }

    /// Whose turn it is, of those that wait still and have room; it is taken.
    fn next(&mut self) -> Option<(TenantId, oneshot::Sender<FairPermit>)> {
        let mut at = 0;
        while at < self.waiting.len() {
            if !self.has_room_for(&self.waiting[at].0) {
                at += 1;
                continue;
            }
            let (tenant, mut queue) = self.waiting.remove(at)?;
            queue.retain(|turn| !turn.is_closed());
            let Some(turn) = queue.pop_front() else { continue };
            if !queue.is_empty() {
                self.waiting.push_back((tenant.clone(), queue));
            }
            self.start(&tenant);
            return Some((tenant, turn));
        }
        None
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.turns.0.lock();
            state.end(&self.tenant);
            state.next()
        };
        if let Some((tenant, next)) = next {
            // Whoever has gone meanwhile drops it, which passes it on.
            let _ = next.send(Self { turns: self.turns.clone(), tenant });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        }
    }

    fn take(turns: &FairLimiter, tenant: &TenantId) -> Option<FairPermit> {
        now(&mut Box::pin(turns.take(tenant))).map(Result::unwrap)
    }

    #[test]
    fn i6_a_tenants_waiting_work_keeps_anothers_waiting_for_one_of_it_at_most() {
        let (turns, [a, b, c]) = (FairLimiter::new(2, 2), ["a", "b", "c"].map(tenant));
        let mut running = VecDeque::from([&a, &a].map(|tenant| take(&turns, tenant).unwrap()));
        let mut waiting: Vec<_> = (0..100).map(|_| ("a", Box::pin(turns.take(&a)))).collect();
        waiting.extend((0..3).map(|_| ("b", Box::pin(turns.take(&b)))));
        waiting.push(("c", Box::pin(turns.take(&c))));
        let mut served = String::new();
        for _ in 0..9 {
            waiting.iter_mut().for_each(|(_, turn)| assert!(now(turn).is_none()));
            drop(running.pop_front());
            let next = waiting.iter_mut().enumerate().find_map(|(at, (_, turn))| Some((at, now(turn)?)));
            let (at, turn) = next.unwrap();
            running.push_back(turn.unwrap());
            served.push_str(waiting.remove(at).0);
        }
        assert_eq!(served, "abcababaa");
    }

    #[test]
    fn i6_one_tenant_leaves_room_for_another() {
        let (turns, [a, b]) = (FairLimiter::new(3, 2), ["a", "b"].map(tenant));
        let held = [take(&turns, &a).unwrap(), take(&turns, &a).unwrap()];
        let mut third = Box::pin(turns.take(&a));
        assert!(now(&mut third).is_none());
        let other = take(&turns, &b).unwrap();
        let mut fourth = Box::pin(turns.take(&b));
        assert!(now(&mut fourth).is_none());
        // What it gives back, the other may have; the one may not, although it waits for longer.
        drop(other);
        assert!(now(&mut third).is_none());
        let other = now(&mut fourth).unwrap().unwrap();
        drop(held);
        assert!(now(&mut third).is_some());
        drop(other);
    }

    #[test]
    fn a_turn_goes_past_those_who_wait_no_more() {
        let (turns, [a, b]) = (FairLimiter::new(1, 1), ["a", "b"].map(tenant));
        let first = take(&turns, &a).unwrap();
        for tenant in [&a, &b, &a] {
            assert!(take(&turns, tenant).is_none());
        }
        // It is given the turn, but goes without looking.
        let mut gone = Box::pin(turns.take(&a));
        assert!(now(&mut gone).is_none());
        let mut last = Box::pin(turns.take(&b));
        assert!(now(&mut last).is_none());
        drop(first);
        drop(gone);
        drop(now(&mut last).unwrap());
        assert!(take(&turns, &b).is_some());
    }

    #[test]
    fn i6_only_so_many_of_one_tenant_wait() {
        let (turns, [a, b]) = (FairLimiter::new(1, 1), ["a", "b"].map(tenant));
        let held = take(&turns, &a).unwrap();
        let mut waiting: Vec<_> = (0..WAITERS_PER_TENANT_MAX).map(|_| Box::pin(turns.take(&a))).collect();
        waiting.iter_mut().for_each(|turn| assert!(now(turn).is_none()));
        let refused = now(&mut Box::pin(turns.take(&a))).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overloaded);
        let mut other = Box::pin(turns.take(&b));
        assert!(now(&mut other).is_none());
        waiting.clear();
        drop(held);
        assert!(now(&mut other).unwrap().is_ok());
    }
}
