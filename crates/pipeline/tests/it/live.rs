//! The live view across restarts, the serialised changes of reference tables, and slow readers.

use std::sync::Arc;
use std::time::Duration;

use domain::access::audit::{AuditDraft, Cause};
use domain::reference::{Attributes, Users};
use domain::time::Timestamp;
use pipeline::{LiveMessage, ReferenceTables, StreamEnd, TableChange};
use ports::ErrorKind;
use ports::register::AuditLog;
use ports::testing::ledger::records::scope;

use crate::twins::{FaultyLive, LedgerFaults};
use crate::world::{START, World, eventually, within};

async fn whole(world: &World) {
    eventually("the live view is whole", || world.pipeline.live().unwrap().problem().is_none().then_some(())).await;
}

async fn users(world: &World, tenant: &str) -> (u64, u64) {
    let window = world.pipeline.live().unwrap().window(&scope(tenant), 1_800).await.unwrap();
    (window.events, window.unique_users)
}

fn body(prefix: &str, events: usize) -> String {
    let events: Vec<_> = (0..events).map(|n| format!(r#"{{"id":"{prefix}{n}","user":"u{}"}}"#, n % 3)).collect();
    format!("[{}]", events.join(","))
}

#[tokio::test]
async fn i2_a_restart_counts_what_is_stored_and_what_is_replayed_once() {
    let mut world = World::new();
    world.ensure_tenants(&["acme", "zeta"]).await;
    for round in 0..3_u32 {
        whole(&world).await;
        assert_eq!(users(&world, "acme").await, (u64::from(round) * 8, if round == 0 { 0 } else { 3 }));
        world.post_and_wait("acme", &body(&format!("{round}-"), 7)).await;
        world.post_and_wait("zeta", r#"{"id":"old","time":"2020-01-01T00:00:00Z"}"#).await;
        // This one is durable, and applied after the restart at the earliest.
        world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
        world.post("acme", &format!(r#"{{"id":"queued-{round}","user":"u1"}}"#)).await.unwrap();
        world = world.restart(LedgerFaults::default());
    }
    whole(&world).await;
    assert_eq!(users(&world, "acme").await, (24, 3));
    assert_eq!(users(&world, "zeta").await, (0, 0));
}

#[tokio::test]
async fn i2_what_the_worker_applies_while_the_live_view_starts_is_counted_once() {
    let world = World::new();
    world.ensure_tenants(&["acme"]).await;
    whole(&world).await;
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    world.post("acme", &body("queued-", 7)).await.unwrap();
    let world = world.restart(LedgerFaults { position_waits_for_apply: true, ..LedgerFaults::default() });
    whole(&world).await;
    assert_eq!(users(&world, "acme").await, (7, 3));
}

/// The contract of `Live::record`: at most once. A call that failed may have counted all the same.
#[tokio::test]
async fn the_live_view_is_handed_each_event_once_even_when_it_fails() {
    let world = World::new();
    world.ensure_tenants(&["acme"]).await;
    whole(&world).await;
    world.live.set_failing(true);
    for user in ["a", "b"] {
        world.post_and_wait("acme", &format!(r#"{{"id":"{user}","user":"{user}"}}"#)).await;
    }
    assert_eq!(world.live.handed(), ["a", "b"], "by the worker");
    let live = FaultyLive::new(1_800);
    live.set_failing(true);
    let world = world.restart_with(LedgerFaults::default(), live);
    eventually("the live view is rebuilt", || {
        world.clock.advance(Duration::from_secs(1));
        world.pipeline.live().unwrap().problem().is_none().then_some(())
    })
    .await;
    assert_eq!(world.live.handed(), ["a", "b"], "by the rebuild, which reads the ledger");
}

#[tokio::test]
async fn i6_a_change_keeps_its_share_of_memory_until_it_is_done() {
    struct Share(ReferenceTables, tokio::sync::mpsc::UnboundedSender<u64>);
    impl Drop for Share {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.table(&scope("acme")).map_or(0, |table| table.generation));
        }
    }
    let world = World::new();
    whole(&world).await;
    let tables = world.pipeline.reference_tables().unwrap().clone();
    let (given_back, mut back) = tokio::sync::mpsc::unbounded_channel();
    let change = TableChange::Replace { ts: START, users: Users::from([("u".to_owned(), Arc::default())]) };
    let share = Share(tables.clone(), given_back);
    let caller =
        tokio::spawn(
            async move { tables.change(&scope("acme"), change, &Cause::command(), None, share).await.map(drop) },
        );
    tokio::task::yield_now().await;
    caller.abort();
    assert_eq!(back.recv().await, Some(1), "the generation in use when the share was given back");
}

#[tokio::test]
async fn changes_at_the_same_time_are_made_one_after_another() {
    let world = World::new();
    whole(&world).await;
    let tables = world.pipeline.reference_tables().unwrap();
    let change = |n: i64| {
        let attributes = Arc::new(Attributes::from([("n".to_owned(), n.to_string())]));
        let ts = Timestamp::from_micros(START.micros() + n);
        TableChange::Replace { ts, users: Users::from([("u".to_owned(), attributes)]) }
    };
    let (scope, changes) = (scope("acme"), (0..20).map(change));
    let mut tasks = Vec::new();
    for change in changes {
        let (tables, scope) = (tables.clone(), scope.clone());
        tasks.push(tokio::spawn(
            async move { tables.change(&scope, change, &Cause::command(), None, ()).await.is_ok() },
        ));
    }
    let mut made = 0;
    for task in tasks {
        made += u64::from(task.await.unwrap());
    }
    let table = tables.table(&scope).unwrap();
    assert_eq!(table.generation, made);
    assert_eq!(table.users["u"]["n"], "19", "the newest wins, whatever the order");
    assert_eq!(world.pipeline.live().unwrap().window(&scope, 1).await.unwrap().generation, made);
}

#[tokio::test]
async fn i6_a_reader_that_lags_is_told_to_go() {
    let world = World::new();
    whole(&world).await;
    let mut slow = world.pipeline.live().unwrap().stream(&scope("acme"), 10).unwrap();
    let mut fast = world.pipeline.live().unwrap().stream(&scope("acme"), 10).unwrap();
    for _ in 0..40 {
        assert!(matches!(within("a tick", fast.next()).await, Ok(LiveMessage::Live(_))));
        eventually("the next tick", || {
            world.clock.advance(Duration::from_secs(1));
            Some(())
        })
        .await;
    }
    assert_eq!(within("the end", slow.next()).await.unwrap_err(), StreamEnd::Lagged);
}

#[tokio::test]
async fn the_log_tells_of_a_table_how_large_it_is_and_not_who_is_in_it() {
    let world = World::new();
    whole(&world).await;
    let tables = world.pipeline.reference_tables().unwrap();
    let user = |name: &str| (name.to_owned(), Arc::default());
    let whole = TableChange::Replace { ts: START, users: Users::from([user("ann"), user("bob")]) };
    tables.change(&scope("acme"), whole.clone(), &Cause::command(), None, ()).await.unwrap();
    tables.change(&scope("acme"), whole, &Cause::command(), None, ()).await.unwrap();
    let patch = TableChange::Patch { ts: None, users: [("ann".to_owned(), None)].into_iter().collect() };
    tables.change(&scope("acme"), patch, &Cause::command(), None, ()).await.unwrap();
    let entries = world.store.audit_chain(Some(scope("acme").tenant()), 0, usize::MAX).await.unwrap();
    let told = |AuditDraft { action, target, before, after, .. }: AuditDraft| {
        [action, target, before.unwrap_or_default(), after.unwrap_or_default()]
    };
    let told: Vec<_> = entries.into_iter().map(|entry| told(entry.draft)).collect();
    let [none, two, one] =
        [r#"{"generation":0,"users":0}"#, r#"{"generation":1,"users":2}"#, r#"{"generation":2,"users":1}"#];
    let expected =
        [["reference.replace", "reference:users", none, two], ["reference.patch", "reference:users", two, one]];
    assert_eq!(told, expected, "a change that changes nothing is not told");
}
