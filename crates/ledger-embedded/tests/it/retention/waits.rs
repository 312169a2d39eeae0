//! Nothing that is shown goes without its day, unless time itself has come to it.

use super::*;

/// A server without a retention never came to where the look is said to be over.
#[tokio::test]
async fn retention_now_is_for_the_first_look_alone_also_without_a_retention_of_the_server() {
    let (_folder, ledger) = filled(LedgerOptions { retention_now: true, ..keeps(None, &[]) }, 10).await;
    ledger.maintain().await.expect("maintain");
    ledger.set_retention(&scope("a"), Some(3));
    for _ in 0..3 {
        ledger.maintain().await.expect("maintain");
        assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10), "it waits");
    }
    assert_eq!(ledger.retention_of(&scope("a")).waiting, Some((at(6 * 86_400), DAY)));
}

/// Events of tenants on some days, a segment for each call.
async fn put(ledger: &EmbeddedLedger, seq: u64, tenant: &str, days: &[i64], copies: i64) {
    let copies = |day: &i64| {
        let day = *day;
        (0..copies).map(move |n| event(&format!("{tenant}{day}-{n}"), day * 86_400 + 5).customer("c"))
    };
    let events: Vec<_> = days.iter().flat_map(copies).collect();
    assert!(ledger.apply(&[record(seq, &scope(tenant), at(10 * 86_400), &events)]).await.failed.is_none());
}

/// What a merge had removed let the floor go from one wait right to the end of a second one.
#[tokio::test]
async fn a_merge_of_hidden_rows_shortens_no_wait_of_a_tenant() {
    let with =
        |days, fan_in| LedgerOptions { flush_rows: 1_000, compact_fan_in: fan_in, ..keeps(None, &[("a", days)]) };
    let folder = TestFolder::new();
    folder.clock.set(at(10 * 86_400 + 10));
    let ledger = folder.open(LedgerOptions { retention_delay: Duration::ZERO, ..with(8, 99) }).await;
    for (seq, days) in [(1, [0, 1]), (3, [8, 9])] {
        put(&ledger, seq, "a", &days, 1).await;
        // Others have so much that nothing is written again for the little that is hidden.
        put(&ledger, seq + 1, "b", &days, 10).await;
        ledger.flush().await.expect("flush");
    }
    ledger.maintain().await.expect("maintain");
    let kept = BTreeSet::from(["a8-0".to_owned(), "a9-0".to_owned()]);
    assert_eq!((shown(&*ledger, "a").await, ledger.stats().flushed_events), (kept.clone(), 44));
    drop(ledger);
    let ledger = folder.open(with(4, 99)).await;
    ledger.maintain().await.expect("maintain");
    drop(ledger);
    let ledger = folder.open(with(1, 2)).await;
    for _ in 0..3 {
        ledger.maintain().await.expect("maintain");
        assert_eq!((shown(&*ledger, "a").await, ledger.stats().flushed_events), (kept.clone(), 42));
    }
    assert_eq!(ledger.retention_of(&scope("a")).waiting, Some((at(9 * 86_400), DAY)));
    folder.clock.advance(DAY);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, BTreeSet::new());
}

/// As for a tenant, where the floor is the server's and another tenant's events are what goes meanwhile.
#[tokio::test]
async fn what_another_tenant_loses_shortens_no_wait_of_the_server() {
    let with = |days| LedgerOptions { flush_rows: 1_000, compact_fan_in: 99, ..keeps(Some(days), &[("b", 9)]) };
    let folder = TestFolder::new();
    folder.clock.set(at(10 * 86_400 + 10));
    let ledger = folder.open(LedgerOptions { retention_delay: Duration::ZERO, ..with(7) }).await;
    put(&ledger, 1, "a", &[0, 1], 1).await;
    put(&ledger, 2, "b", &[0, 1], 1).await;
    ledger.flush().await.expect("flush");
    put(&ledger, 3, "a", &[8, 9], 1).await;
    ledger.flush().await.expect("flush");
    ledger.maintain().await.expect("maintain");
    let kept = BTreeSet::from(["a8-0".to_owned(), "a9-0".to_owned()]);
    assert_eq!((shown(&*ledger, "a").await, ledger.stats().flushed_events), (kept.clone(), 6));
    drop(ledger);
    let ledger = folder.open(with(4)).await;
    ledger.maintain().await.expect("maintain");
    drop(ledger);
    let ledger = folder.open(with(1)).await;
    for hours in 0..3 {
        ledger.maintain().await.expect("maintain");
        assert_eq!(shown(&*ledger, "a").await, kept);
        assert_eq!(ledger.stats().flushed_events, if hours == 0 { 6 } else { 2 });
        folder.clock.advance(HOUR);
    }
    folder.clock.advance(DAY);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, BTreeSet::new());
}

/// What is due was decided before files are read, which takes a while.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_longer_retention_that_comes_while_files_are_read_keeps_everything() {
    let (_folder, ledger) = filled(LedgerOptions { retention_delay: Duration::ZERO, ..keeps(None, &[]) }, 10).await;
    ledger.set_retention(&scope("a"), Some(3));
    {
        let _scenario = fail::FailScenario::setup();
        let asked = Arc::clone(&ledger);
        let longer = move || asked.set_retention(&scope("a"), Some(0));
        fail::cfg_callback("retention::before_commit", longer).expect("a failpoint");
        ledger.maintain().await.expect("maintain");
    }
    for _ in 0..2 {
        assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10));
        assert_eq!(ledger.retention_of(&scope("a")), Default::default());
        ledger.maintain().await.expect("maintain");
    }
}

/// What the server keeps no longer was dropped, too, of a tenant that had just chosen its own retention for the first time.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_first_retention_of_its_own_that_comes_while_the_server_drops_keeps_everything() {
    let (_folder, ledger) = filled(LedgerOptions { retention_delay: Duration::ZERO, ..keeps(Some(2), &[]) }, 10).await;
    {
        let _scenario = fail::FailScenario::setup();
        let asked = Arc::clone(&ledger);
        let own = move || asked.set_retention(&scope("b"), Some(0));
        fail::cfg_callback("retention::before_commit", own).expect("a failpoint");
        ledger.maintain().await.expect("maintain");
    }
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10), "the next look decides anew");
    for _ in 0..2 {
        ledger.maintain().await.expect("maintain");
        assert_eq!(shown(&*ledger, "a").await, ids("a", 7..10));
        assert_eq!(shown(&*ledger, "b").await, ids("b", 0..10));
    }
}
