//! Which work runs: of each class only so much at once, and of one tenant less than that where others
//! are to find room at any time. Tenants take turns, so that however much work of one waits, that of
//! another waits for one piece of it at most (I6).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::tenant::TenantId;
use parking_lot::Mutex;
use ports::{ErrorKind, PortError};
use tokio::sync::oneshot;

use super::class::{ClassBounds, WorkClass};

/// Admits the work of all tenants, class by class. Clones share one state.
#[derive(Debug, Clone)]
pub struct FairLimiter(Arc<[Mutex<ClassState>; WorkClass::ALL.len()]>);

/// The right to run one piece of work, given on when dropped. It goes with the work: shared where the work may
/// outlive the request.
#[derive(Debug)]
pub struct FairPermit {
    limiter: FairLimiter,
    class: WorkClass,
    tenant: TenantId,
}

/// What one class has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassLoad {
    /// Permits given since the start.
    pub admitted: u64,
    /// Work that runs.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
}

#[derive(Debug)]
struct ClassState {
    bounds: ClassBounds,
    free: usize,
    admitted: u64,
    /// Only tenants with work that runs.
    running: BTreeMap<TenantId, usize>,
    /// In the order in which the tenants' turns come; each with at least one that waits.
    waiting: VecDeque<(TenantId, VecDeque<oneshot::Sender<FairPermit>>)>,
}

impl Default for FairLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl FairLimiter {
    /// A limiter with the bounds of every class.
    pub fn new() -> Self {
        Self::with(WorkClass::bounds)
    }

    fn with(bounds: impl Fn(WorkClass) -> ClassBounds) -> Self {
        Self(Arc::new(WorkClass::ALL.map(|class| Mutex::new(ClassState::new(bounds(class))))))
    }

    /// Waits until one piece of work more of this class and tenant may run. Taken before anything is set
    /// aside for the work, so that those that wait hold nothing. Dropped before it returns, it takes
    /// nothing.
    ///
    /// # Errors
    /// `Overloaded` when too much work of the tenant waits already, or this has waited for too long.
    pub async fn admit(&self, class: WorkClass, tenant: &TenantId) -> Result<FairPermit, PortError> {
        let busy =
            |why| PortError::new(ErrorKind::Overloaded, format!("start work of class {}: {why}", class.as_str()));
        let (waiter, wait_max) = {
            let mut state = self.state(class).lock();
            if state.has_room_for(tenant) {
                state.start(tenant);
                return Ok(self.permit(class, tenant.clone()));
            }
            let (permit, waiter) = oneshot::channel();
            if !state.wait(tenant, permit) {
                return Err(busy("too much of its tenant waits already"));
            }
            (waiter, state.bounds.wait_max)
        };
        // The other end is dropped only when it is found that this one has gone.
        let waiting = async { waiter.await.map_err(|_| busy("it was given up")) };
        match wait_max {
            Some(wait_max) => {
                // The runtime's time and not the `Clock`'s: it bounds a wait and decides nothing that is stored
                // or shown, and no test needs to move it.
                tokio::time::timeout(wait_max, waiting).await.map_err(|_| busy("it has waited for too long"))?
            }
            None => waiting.await,
        }
    }

    /// What a class has to do at this moment.
    pub fn load(&self, class: WorkClass) -> ClassLoad {
        let state = self.state(class).lock();
        let waiting = state.waiting.iter().map(|(_, queue)| queue.iter().filter(|permit| !permit.is_closed()).count());
        ClassLoad { admitted: state.admitted, running: state.running.values().sum(), waiting: waiting.sum() }
    }

    fn state(&self, class: WorkClass) -> &Mutex<ClassState> {
        &self.0[class as usize]
    }

    fn permit(&self, class: WorkClass, tenant: TenantId) -> FairPermit {
        FairPermit { limiter: self.clone(), class, tenant }
    }
}

impl ClassState {
    fn new(bounds: ClassBounds) -> Self {
        let free = bounds.at_once_max;
        Self { bounds, free, admitted: 0, running: BTreeMap::new(), waiting: VecDeque::new() }
    }

    fn has_room_for(&self, tenant: &TenantId) -> bool {
        self.free > 0 && self.running.get(tenant).is_none_or(|running| *running < self.bounds.per_tenant_max)
    }

    fn start(&mut self, tenant: &TenantId) {
        self.free -= 1;
        self.admitted += 1;
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

    /// Queues a waiter; false when its tenant's queue is full.
    fn wait(&mut self, tenant: &TenantId, permit: oneshot::Sender<FairPermit>) -> bool {
        let Some((_, queue)) = self.waiting.iter_mut().find(|(of, _)| of == tenant) else {
            self.waiting.push_back((tenant.clone(), VecDeque::from([permit])));
            return true;
        };
        queue.retain(|permit| !permit.is_closed());
        let has_room = queue.len() < self.bounds.waiters_max;
        if has_room {
            queue.push_back(permit);
        }
        has_room
    }

    /// The next in turn of those that wait still and have room; its work counts as running.
    fn next(&mut self) -> Option<(TenantId, oneshot::Sender<FairPermit>)> {
        let mut at = 0;
        while at < self.waiting.len() {
            if !self.has_room_for(&self.waiting[at].0) {
                at += 1;
                continue;
            }
            let (tenant, mut queue) = self.waiting.remove(at)?;
            queue.retain(|permit| !permit.is_closed());
            let Some(permit) = queue.pop_front() else { continue };
            if !queue.is_empty() {
                self.waiting.push_back((tenant.clone(), queue));
            }
            self.start(&tenant);
            return Some((tenant, permit));
        }
        None
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.limiter.state(self.class).lock();
            state.end(&self.tenant);
            state.next()
        };
        if let Some((tenant, next)) = next {
            // A request that has gone meanwhile drops it, which passes it on.
            let _ = next.send(self.limiter.permit(self.class, tenant));
        }
    }
}

#[cfg(test)]
mod tests;
