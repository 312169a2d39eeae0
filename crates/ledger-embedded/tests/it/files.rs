//! Segment files that are missing, cut, flipped or unknown.

#![expect(clippy::expect_used, clippy::panic, reason = "for tests, which fail loudly")]

use std::time::Duration;

use bytes::Bytes;
use domain::record::ReceiptTimes;
use domain::time::TimeRange;
use domain::window::WindowRule;
use ledger_embedded::LedgerOptions;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use ports::ErrorKind;
use ports::ledger::Ledger;
use ports::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};
use ports::testing::ledger::records::{at, event, record, record_with, scope};
use vfs::Vfs;

use crate::folder::{TestFolder, small};

fn options() -> LedgerOptions {
    LedgerOptions { flush_rows: 1_000, ..small(WindowRule::default()) }
}

async fn filled() -> TestFolder {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let events: Vec<_> =
        (0..50).map(|n| event(&format!("e{n}"), n * 20).customer("c").endpoint("/x").tokens(1, 2)).collect();
    let batch = ledger.apply(&[record(1, &scope("t"), at(2_000), &events)]).await;
    assert!(batch.failed.is_none());
    ledger.flush().await.expect("flush");
    folder
}

#[tokio::test]
async fn f11_a_flipped_bit_in_any_segment_file_is_refused() {
    let folder = filled().await;
    let names = folder.vfs.list(&TestFolder::dir()).expect("names");
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let path = TestFolder::dir().join(&name);
        let len = folder.vfs.contents(&path).expect("contents").len() as u64;
        for offset in (0..len).step_by(97).chain([len - 1]) {
            folder.vfs.flip_bit(&path, offset * 8 + offset % 8).expect("flip");
            let refused = folder.try_open(options()).await.map(|_| ()).map_err(|why| why.kind());
            assert_eq!(refused, Err(ErrorKind::Corrupt), "{name} at {offset}");
            folder.vfs.flip_bit(&path, offset * 8 + offset % 8).expect("flip back");
        }
    }
    folder.try_open(options()).await.expect("whole again");
}

#[tokio::test]
async fn a_missing_file_is_refused_and_an_unknown_one_is_deleted() {
    let folder = filled().await;
    let stray = TestFolder::dir().join("000-000-0.events.parquet.tmp");
    folder.vfs.create(&stray).expect("create");
    folder.open(options()).await;
    let names = folder.vfs.list(&TestFolder::dir()).expect("names");
    assert_eq!(names.len(), 3, "{names:?}");
    folder.vfs.remove(&TestFolder::dir().join(&names[0])).expect("remove");
    let refused = folder.try_open(options()).await.map(|_| ()).map_err(|why| why.kind());
    assert_eq!(refused, Err(ErrorKind::Corrupt));
}

#[tokio::test]
async fn other_windows_than_the_folders_are_refused() {
    let folder = filled().await;
    let other = LedgerOptions { rule: WindowRule::new(60, 5).expect("a rule"), ..options() };
    let refused = folder.try_open(other).await.map(|_| ()).map_err(|why| why.kind());
    assert_eq!(refused, Err(ErrorKind::Conflict));
}

#[tokio::test]
async fn retention_drops_raw_events_and_keeps_windows() {
    let folder = filled().await;
    let keep = LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..options() };
    let ledger = folder.open(keep.clone()).await;
    let windows = ledger.usage(&scope("t"), "c", at(0), TimeRange::ALL).await.expect("usage").expect("known");
    folder.clock.set(at(3 * 86_400));
    ledger.maintain().await.expect("maintain");
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Descending,
        after: None,
        limit: 10,
        bytes_max: usize::MAX,
    };
    let events = ledger.events(&scope("t"), &all).await.expect("events");
    assert_eq!(events.rows.len(), 0);
    let kept = ledger.usage(&scope("t"), "c", at(0), TimeRange::ALL).await.expect("usage").expect("known");
    assert_eq!(kept.customer, windows.customer, "totals outlive raw events");
    assert_eq!(folder.vfs.list(&TestFolder::dir()).expect("names").len(), 2);
    let again = ledger.apply(&[record(2, &scope("t"), at(2_000), &[event("e1", 20).customer("c")])]).await;
    let outcomes = again.applied.into_iter().flat_map(|applied| applied.outcomes).collect::<Vec<_>>();
    assert_eq!(outcomes, [ports::ledger::Outcome::Mismatch], "I2: an id outlives its event");
    let ledger = folder.open(keep).await;
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    assert_eq!(differences, Vec::<String>::new());
}

/// How many raw events are still shown.
async fn shown(ledger: &impl Reports) -> usize {
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Descending,
        after: None,
        limit: 100,
        bytes_max: usize::MAX,
    };
    ledger.events(&scope("t"), &all).await.expect("events").rows.len()
}

#[tokio::test]
async fn a_retention_that_is_new_waits_a_day_of_uptime_over_restarts_and_says_what_will_go() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let folder = filled().await;
    let keep = LedgerOptions { retention_days: Some(2), ..options() };
    folder.clock.set(at(9 * 86_400));
    let ledger = folder.open(keep.clone()).await;
    ledger.maintain().await.expect("maintain");
    let notice = ledger.retention_notice().expect("it waits");
    assert_eq!((notice.segments, notice.events, notice.oldest), (1, 50, Some(at(0))));
    assert_eq!((notice.before, notice.due_in), (at(7 * 86_400), HOUR * 24));
    folder.clock.advance(HOUR * 20);
    ledger.maintain().await.expect("maintain");
    drop(ledger);
    // While nothing runs, nothing is waited.
    folder.clock.advance(HOUR * 10);
    let ledger = folder.open(keep).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(ledger.retention_notice().map(|notice| notice.due_in), Some(HOUR * 4));
    assert_eq!(shown(&*ledger).await, 50);
    folder.clock.advance(HOUR * 4);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger).await, 0);
}

#[tokio::test]
async fn f16_retention_drops_nothing_by_a_clock_that_is_ahead_or_in_doubt() {
    let folder = filled().await;
    folder.clock.set(at(86_400));
    let keep = LedgerOptions { retention_days: Some(2), ..options() };
    let ledger = folder.open(LedgerOptions { retention_now: true, ..keep.clone() }).await;
    ledger.maintain().await.expect("maintain");
    folder.clock.doubt_it(true);
    folder.clock.set(at(9 * 86_400));
    ledger.maintain().await.expect("maintain");
    assert_eq!((shown(&*ledger).await, ledger.retention_notice()), (50, None), "in doubt");
    folder.clock.doubt_it(false);
    let mut ledger = ledger;
    for _ in 0..2 {
        ledger.maintain().await.expect("maintain");
        assert_eq!((shown(&*ledger).await, ledger.retention_notice().is_some()), (50, true), "ahead");
        ledger = folder.open(keep.clone()).await;
    }
    folder.clock.set(at(86_400));
    ledger.maintain().await.expect("maintain");
    assert_eq!((shown(&*ledger).await, ledger.retention_notice()), (50, None), "it was no more than the clock");
}

#[tokio::test]
async fn i3_old_events_in_memory_do_not_hide_newer_ones_from_an_ascending_listing() {
    let folder = TestFolder::new();
    let keep = LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..options() };
    let ledger = folder.open(keep).await;
    folder.clock.set(at(3 * 86_400));
    ledger.maintain().await.expect("maintain");
    let old: Vec<_> = (0..5).map(|n| event(&format!("old{n}"), n)).collect();
    let new = [event("new", 3 * 86_400)];
    let received = at(3 * 86_400);
    let batch = ledger.apply(&[record(1, &scope("t"), received, &old), record(2, &scope("t"), received, &new)]).await;
    assert!(batch.failed.is_none());
    let page = EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: None,
        limit: 2,
        bytes_max: usize::MAX,
    };
    let events = ledger.events(&scope("t"), &page).await.expect("events");
    assert_eq!(events.rows.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn i6_merges_never_stop_while_segments_are_small() {
    let folder = TestFolder::new();
    let small = LedgerOptions { flush_rows: 1, segment_rows_max: 20, ..small(WindowRule::default()) };
    let ledger = folder.open(small).await;
    for n in 1..=120_u64 {
        let events = [event(&format!("e{n}"), 0)];
        assert!(ledger.apply(&[record(n, &scope("t"), at(0), &events)]).await.failed.is_none());
        ledger.maintain().await.expect("maintain");
    }
    let segments = ledger.stats().segments;
    assert!(segments <= 120 / 10 + 6, "{segments} segments of 120 events");
}

#[tokio::test]
async fn i6_pages_that_end_early_leave_no_event_out() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let t = scope("t");
    for n in 0..6_u64 {
        let events: Vec<_> =
            (0..10).map(|k| event(&format!("e{n}-{k}"), i64::from(k) * 100 - n.cast_signed())).collect();
        assert!(ledger.apply(&[record(n + 1, &t, at(2_000), &events)]).await.failed.is_none());
        if n % 2 == 0 {
            ledger.flush().await.expect("flush");
        }
    }
    for order in [Order::Ascending, Order::Descending] {
        let ids = async |bytes_max| {
            let filter = EventFilter::default();
            let mut query = EventQuery { filter, order, after: None, limit: 25, bytes_max };
            let (mut ids, mut pages) = (Vec::new(), 0);
            loop {
                let page = ledger.events(&t, &query).await.expect("events");
                ids.extend(page.rows.into_iter().map(|event| event.id));
                pages += 1;
                query.after = page.next;
                if query.after.is_none() {
                    return (ids, pages);
                }
            }
        };
        let (all, pages) = ids(usize::MAX).await;
        assert_eq!((all.len(), pages), (60, 3));
        for (bytes_max, least) in [(1, 60), (2_000, 15), (10_000, 3)] {
            let (found, pages) = ids(bytes_max).await;
            assert_eq!(found, all, "{order:?} {bytes_max}");
            assert!(pages >= least, "{pages} pages of {bytes_max} bytes");
        }
    }
}

/// Up to when windows were closed at admission decides too, and stays with the event.
#[tokio::test]
async fn i10_an_event_late_by_the_watermark_alone_stays_so_through_flush_merge_and_verification() {
    let folder = TestFolder::new();
    let ledger = folder.open(LedgerOptions { compact_fan_in: 2, ..options() }).await;
    let t = scope("t");
    let received = |watermark| ReceiptTimes { received_at: at(31), watermark: at(watermark) };
    let records = [(1, 10), (2, 35), (3, 34)];
    for (seq, watermark) in records {
        let events = [event(&format!("e{seq}"), 5).customer("c")];
        let applied = ledger.apply(&[record_with(seq, &t, received(watermark), &events)]).await;
        assert!(applied.failed.is_none());
        ledger.flush().await.expect("flush");
    }
    let query = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: 10 };
    for merged in [false, true] {
        if merged {
            ledger.maintain().await.expect("maintain");
        }
        let windows = ledger.windows(&t, &query).await.expect("windows").rows;
        assert_eq!(windows.iter().map(|window| window.revision).collect::<Vec<_>>(), [2], "one was late");
        let mut differences = Vec::new();
        ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
        assert_eq!(differences, Vec::<String>::new());
    }
}

/// The receive time has bounds per page, as what rows are found by has.
#[tokio::test]
async fn the_receive_time_can_be_a_filter() {
    let folder = filled().await;
    let names = folder.vfs.list(&TestFolder::dir()).expect("names");
    let name = names.iter().find(|name| name.contains(".events.")).expect("a file of events");
    let bytes = Bytes::from(folder.vfs.contents(&TestFolder::dir().join(name)).expect("contents"));
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&bytes, options).expect("metadata");
    let columns = metadata.parquet_schema().columns();
    let column = columns.iter().position(|column| column.name() == "received_at").expect("the column");
    let index = &metadata.metadata().column_index().expect("a column index")[0][column];
    let ColumnIndexMetaData::INT64(bounds) = index else { panic!("no bounds: {index:?}") };
    let at = at(2_000).micros();
    assert_eq!((bounds.min_value(0), bounds.max_value(0)), (Some(&at), Some(&at)));
}
