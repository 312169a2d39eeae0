//! What retention hides goes from disk, too, whoever else keeps what is stored beside it.

use super::*;

/// The server keeps two days, and one tenant keeps its events for ever.
fn forever_beside_two_days() -> LedgerOptions {
    LedgerOptions { retention_delay: Duration::ZERO, compact_fan_in: 99, ..keeps(Some(2), &[("a", 0)]) }
}

/// Levels and raw events of all segments.
async fn on_disk(folder: &TestFolder) -> Vec<(u32, u64)> {
    let rows =
        |files: &[FileMeta]| files.iter().filter(|file| file.kind == FileKind::Events).map(|file| file.rows).sum();
    folder.segments().await.iter().map(|segment| (segment.level, rows(&segment.files))).collect()
}

/// A merge looked at the floors of tenants that have their own alone, and so kept what the server's floor hides.
#[tokio::test]
async fn i3_a_merge_leaves_out_what_the_server_hides_while_another_tenant_keeps_it_and_no_recount_counts_the_rest() {
    let (folder, ledger) = filled(forever_beside_two_days(), 10).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (5, 20), "hidden, and still there");
    drop(ledger);
    let ledger = folder.open(LedgerOptions { compact_fan_in: 5, ..forever_beside_two_days() }).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (1, 13), "seven days of one tenant went");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 7..10));
    let totals = ledger.usage(&scope("b"), "c", at(0), TimeRange::ALL).await.expect("usage").expect("known");
    assert_eq!(totals.customer.total.totals.calls, 10, "sums stay");
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    let zone = VersionedZone { zone: Zone::parse("Asia/Tokyo").expect("a zone"), version: 1 };
    let again = ledger.recount(&scope("b"), &zone).await.map_err(|why| why.kind());
    assert_eq!(again, Err(ErrorKind::Gone), "it would count three days of ten");
    ledger.recount(&scope("a"), &zone).await.expect("all of its events are there");
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// Segments that are never merged again, as large ones are, kept all that was hidden in them.
#[tokio::test]
async fn a_segment_of_which_a_quarter_is_hidden_is_written_again_without_it() {
    let (folder, ledger) = filled(forever_beside_two_days(), 10).await;
    ledger.maintain().await.expect("maintain");
    ledger.maintain().await.expect("maintain");
    // Of the fourth a quarter was hidden, and of the others half or nothing.
    assert_eq!(on_disk(&folder).await, [(1, 2), (1, 2), (1, 2), (1, 3), (0, 4)]);
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 7..10));
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    drop(ledger);
    let ledger = folder.open(forever_beside_two_days()).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(on_disk(&folder).await.iter().map(|(level, _)| *level).max(), Some(1), "once");
    let again = [event("b0", 5).customer("c").user("b0")];
    let again = ledger.apply(&[record(99, &scope("b"), at(10 * 86_400), &again)]).await;
    let outcomes: Vec<_> = again.applied.into_iter().flat_map(|applied| applied.outcomes).collect();
    assert_ne!(outcomes, [ports::ledger::Outcome::Fresh], "I2: an id outlives its event");
}

#[tokio::test]
async fn what_is_less_than_a_quarter_goes_after_a_month_and_what_goes_whole_within_a_day_is_left_alone() {
    let options = LedgerOptions { flush_rows: 1_000, ..forever_beside_two_days() };
    let folder = TestFolder::new();
    let ledger = folder.open(options).await;
    folder.clock.set(at(86_400));
    let of_a: Vec<_> = (0..8).map(|n| event(&format!("a{n}"), n)).collect();
    let records = [record(1, &scope("a"), at(86_400), &of_a), record(2, &scope("b"), at(86_400), &[event("b0", 5)])];
    assert!(ledger.apply(&records).await.failed.is_none());
    ledger.flush().await.expect("flush");
    // Of the server's tenants alone, over half a day.
    let of_b: Vec<_> = (0..4).map(|n| event(&format!("b1-{n}"), 86_400 - n * 7_200)).collect();
    assert!(ledger.apply(&[record(3, &scope("b"), at(86_400), &of_b)]).await.failed.is_none());
    ledger.flush().await.expect("flush");
    let days = async |seconds: i64| {
        folder.clock.set(at(seconds));
        ledger.maintain().await.expect("maintain");
        ledger.maintain().await.expect("maintain");
        on_disk(&folder).await
    };
    assert_eq!(days(3 * 86_400 - 3_600).await, [(0, 9), (0, 4)], "three of the four are hidden");
    assert_eq!(days(4 * 86_400).await, [(0, 9), (0, 0)]);
    assert_eq!(days(32 * 86_400).await, [(0, 9), (0, 0)]);
    assert_eq!(days(33 * 86_400).await, [(1, 8), (0, 0)]);
    assert_eq!(days(90 * 86_400).await, [(1, 8), (0, 0)], "once");
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// One tenant with a floor of its own switched this off for all others.
#[tokio::test]
async fn i3_an_id_without_an_event_is_told_whoever_has_lost_raw_events() {
    let filled = async |of_b: &[&str]| {
        let options = LedgerOptions { retention_delay: Duration::ZERO, flush_rows: 1_000, ..keeps(None, &[("a", 1)]) };
        let folder = TestFolder::new();
        folder.clock.set(at(3 * 86_400));
        let ledger = folder.open(options.clone()).await;
        let of_a = [event("a0", 5).customer("c"), event("a1", 3 * 86_400 - 5).customer("d")];
        let of_b: Vec<_> = of_b.iter().map(|id| event(id, 7)).collect();
        let now = at(3 * 86_400);
        let records = [record(1, &scope("a"), now, &of_a), record(2, &scope("b"), now, &of_b)];
        assert!(ledger.apply(&records).await.failed.is_none());
        ledger.flush().await.expect("flush");
        ledger.maintain().await.expect("maintain");
        assert_eq!(shown(&*ledger, "a").await, BTreeSet::from(["a1".to_owned()]));
        assert_eq!(differences(&ledger).await, Vec::<String>::new());
        (folder, options)
    };
    let ((folder, options), (other, _)) = (filled(&["b0", "b1"]).await, filled(&["b0", "b1", "b2"]).await);
    let files = other.segments().await.remove(0).files;
    let ids = files.iter().find(|file| file.kind == FileKind::Ids).expect("ids");
    folder.replace_files(|kind, _| (kind == FileKind::Ids).then(|| other.file(&ids.name).to_vec())).await;
    let ledger = folder.open(options).await;
    let told = differences(&ledger).await;
    assert!(told.len() == 1 && told[0].ends_with("number of ids: expected 4, found 5"), "{told:?}");
}
