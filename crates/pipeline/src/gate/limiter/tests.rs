//! Fairness of the limiter, for every class and for bounds of the tests' own.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use domain::limits::WAITERS_PER_TENANT_MAX;

use super::*;

type Waiting = Pin<Box<dyn Future<Output = Result<FairPermit, PortError>>>>;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn limiter(at_once_max: usize, per_tenant_max: usize) -> FairLimiter {
    FairLimiter::with(|class| ClassBounds { at_once_max, per_tenant_max, wait_max: None, ..class.bounds() })
}

fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

fn ask(limiter: &FairLimiter, class: WorkClass, tenant: &TenantId) -> Waiting {
    let (limiter, tenant) = (limiter.clone(), tenant.clone());
    Box::pin(async move { limiter.admit(class, &tenant).await })
}

fn read(limiter: &FairLimiter, tenant: &TenantId) -> Waiting {
    ask(limiter, WorkClass::Read, tenant)
}

fn take(limiter: &FairLimiter, tenant: &TenantId) -> Option<FairPermit> {
    now(&mut read(limiter, tenant)).map(Result::unwrap)
}

/// What is admitted at once of `count` pieces of work, and what waits.
fn flood(limiter: &FairLimiter, class: WorkClass, tenant: &TenantId, count: usize) -> (Vec<FairPermit>, Vec<Waiting>) {
    let (mut running, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut asked = ask(limiter, class, tenant);
        match now(&mut asked) {
            Some(permit) => running.push(permit.unwrap()),
            None => waiting.push(asked),
        }
    }
    (running, waiting)
}

#[tokio::test]
async fn i6_in_every_class_a_flood_of_one_tenant_keeps_another_waiting_for_one_piece_at_most() {
    let (a, b) = (tenant("a"), tenant("b"));
    for class in WorkClass::ALL {
        let limiter = FairLimiter::new();
        let bounds = class.bounds();
        let (mut running, mut waiting) = flood(&limiter, class, &a, 50);
        assert_eq!(running.len(), bounds.per_tenant_max, "{class:?}");
        assert_eq!(
            limiter.load(class),
            ClassLoad { admitted: running.len() as u64, running: running.len(), waiting: 50 - running.len() }
        );
        let mut asked = ask(&limiter, class, &b);
        let at_once = now(&mut asked);
        assert_eq!(at_once.is_some(), bounds.per_tenant_max < bounds.at_once_max, "{class:?}");
        if at_once.is_none() {
            drop(running.remove(0));
            let turn = now(&mut asked).or_else(|| {
                // The first that waited was before; its end is the turn of the other tenant.
                drop(waiting.iter_mut().find_map(now).unwrap().unwrap());
                now(&mut asked)
            });
            assert!(turn.unwrap().is_ok(), "{class:?}");
        }
        // No class waits for another.
        for other in WorkClass::ALL.into_iter().filter(|other| *other != class) {
            assert!(now(&mut ask(&limiter, other, &a)).unwrap().is_ok(), "{other:?} beside {class:?}");
        }
    }
}

#[test]
fn i6_a_tenants_waiting_work_keeps_anothers_waiting_for_one_of_it_at_most() {
    let (limiter, [a, b, c]) = (limiter(2, 2), ["a", "b", "c"].map(tenant));
    let mut running = VecDeque::from([&a, &a].map(|tenant| take(&limiter, tenant).unwrap()));
    let mut waiting: Vec<_> = (0..100).map(|_| ("a", read(&limiter, &a))).collect();
    waiting.extend((0..3).map(|_| ("b", read(&limiter, &b))));
    waiting.push(("c", read(&limiter, &c)));
    let mut served = String::new();
    for _ in 0..9 {
        waiting.iter_mut().for_each(|(_, permit)| assert!(now(permit).is_none()));
        drop(running.pop_front());
        let next = waiting.iter_mut().enumerate().find_map(|(at, (_, permit))| Some((at, now(permit)?)));
        let (at, permit) = next.unwrap();
        running.push_back(permit.unwrap());
        served.push_str(waiting.remove(at).0);
    }
    assert_eq!(served, "abcababaa");
}

#[test]
fn i6_one_tenant_leaves_room_for_another() {
    let (limiter, [a, b]) = (limiter(3, 2), ["a", "b"].map(tenant));
    let held = [take(&limiter, &a).unwrap(), take(&limiter, &a).unwrap()];
    let mut third = read(&limiter, &a);
    assert!(now(&mut third).is_none());
    let other = take(&limiter, &b).unwrap();
    let mut fourth = read(&limiter, &b);
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
fn a_permit_goes_past_those_that_wait_no_more() {
    let (limiter, [a, b]) = (limiter(1, 1), ["a", "b"].map(tenant));
    let first = take(&limiter, &a).unwrap();
    for tenant in [&a, &b, &a] {
        assert!(take(&limiter, tenant).is_none());
    }
    // It is given the permit, but goes without looking.
    let mut gone = read(&limiter, &a);
    assert!(now(&mut gone).is_none());
    let mut last = read(&limiter, &b);
    assert!(now(&mut last).is_none());
    drop(first);
    drop(gone);
    drop(now(&mut last).unwrap());
    assert!(take(&limiter, &b).is_some());
}

#[test]
fn i6_only_so_many_of_one_tenant_wait() {
    let (limiter, [a, b]) = (limiter(1, 1), ["a", "b"].map(tenant));
    let held = take(&limiter, &a).unwrap();
    let mut waiting: Vec<_> = (0..WAITERS_PER_TENANT_MAX).map(|_| read(&limiter, &a)).collect();
    waiting.iter_mut().for_each(|permit| assert!(now(permit).is_none()));
    let refused = now(&mut read(&limiter, &a)).unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overloaded);
    let mut other = read(&limiter, &b);
    assert!(now(&mut other).is_none());
    waiting.clear();
    drop(held);
    assert!(now(&mut other).unwrap().is_ok());
}

#[tokio::test]
async fn i6_a_wait_ends_where_its_class_says_so() {
    let wait_max = Some(Duration::from_millis(1));
    let limiter = FairLimiter::with(|class| ClassBounds { at_once_max: 1, wait_max, ..class.bounds() });
    let a = tenant("a");
    let held = limiter.admit(WorkClass::Query, &a).await.unwrap();
    let refused = limiter.admit(WorkClass::Query, &a).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    drop(held);
    assert!(limiter.admit(WorkClass::Query, &a).await.is_ok(), "a wait that has ended takes no permit with it");
}
