//! Erasures that cannot be made now, as on a disk that is nearly full.

use std::time::Duration;

use vfs::testing::{Call, Fault};

use super::*;

/// Found in November 2026: it filled the disk to the last byte, which requests need, and began again and again, while the
/// retention that would have freed some never ran.
#[tokio::test]
async fn an_erasure_without_room_writes_nothing_and_retention_makes_some() {
    let folder = TestFolder::new();
    let keeps = LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..options() };
    let ledger = folder.open(LedgerOptions { compact_fan_in: 99, ..keeps }).await;
    for (seq, day) in [(1, 0), (2, 4)] {
        let visit = |n: i64| event(&format!("{day}-{n}"), day * 86_400 + n).customer("c1").user("u");
        let events: Vec<_> = (0..5).map(visit).collect();
        assert!(ledger.apply(&[record(seq, &scope("a"), at(100), &events)]).await.failed.is_none());
        ledger.flush().await.expect("flush");
    }
    let customer = Subject::Customer("c1".to_owned());
    ledger.erase(&scope("a"), &request(1, &customer, false)).await.expect("an erasure");
    folder.clock.set(at(5 * 86_400));
    folder.vfs.set_capacity(Some(64 << 20));
    let created = folder.vfs.calls(Call::Create);
    assert_eq!(ledger.maintain().await.map_err(|why| why.kind()), Err(ErrorKind::Full));
    assert_eq!(folder.vfs.calls(Call::Create), created, "nothing was tried");
    assert_eq!(ledger.stats().flushed_events, 5, "what is too old is gone");
    folder.vfs.set_capacity(None);
    finish(&ledger).await;
    let told = ledger.erasures(&scope("a")).remove(0);
    assert_eq!((told.gone.events, told.finished_at.is_some()), (5, true));
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// Found in November 2026: nothing was merged for as long as an erasure failed.
#[tokio::test]
async fn merges_go_on_while_an_erasure_fails_and_mix_what_it_covers_with_nothing_later() {
    let mut world = filled().await;
    let asked = request(1, &Subject::Customer("c1".to_owned()), false);
    world.oracle.erase(&scope("a"), &asked).await.expect("an erasure");
    world.ledger.erase(&scope("a"), &asked).await.expect("an erasure");
    for id in 40..60 {
        world.record(0, &[visit(id, 1, 1)]).await;
    }
    world.ledger.flush().await.expect("flush");
    let before = world.ledger.stats().segments;
    for _ in 0..30 {
        // The first to ask for room is the erasure.
        world.folder.vfs.fail_next(Call::FreeBytes, Fault::Error(5));
        world.ledger.maintain().await.expect_err("it cannot be made");
    }
    assert!(world.ledger.stats().segments < before / 2, "{} of {before}", world.ledger.stats().segments);
    assert_eq!(world.ledger.erasures(&scope("a"))[0].gone.events, 0);
    finish(&world.ledger).await;
    confirm(&world.oracle);
    world.check().await;
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}

/// Found in November 2026: what was not flushed was written on a thread that requests need, of which a server has few.
#[test]
fn i6_whoever_asks_for_an_erasure_keeps_no_thread_from_others() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = TestFolder::new();
    let ledger = runtime.block_on(folder.open(options()));
    let entry = record(1, &scope("a"), at(100), &[event("e", 5).customer("c1")]);
    assert!(runtime.block_on(ledger.apply(&[entry])).failed.is_none());
    let hold = folder.vfs.hold_syncs();
    let asked = request(1, &Subject::Customer("c1".to_owned()), false);
    let asking = Arc::clone(&ledger);
    let asking = runtime.spawn(async move { asking.erase(&scope("a"), &asked).await.map(drop) });
    hold.reached();
    let (tell, told) = std::sync::mpsc::channel();
    runtime.spawn(async move { tell.send(()) });
    let others = told.recv_timeout(Duration::from_secs(20));
    drop(hold);
    assert_eq!(others, Ok(()), "a request that came meanwhile");
    runtime.block_on(asking).expect("no panic").expect("an erasure");
}
