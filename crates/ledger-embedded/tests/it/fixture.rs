//! A segment of version 3, kept for ever: written once, read by every later version as what it was.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]
#![expect(clippy::disallowed_methods, reason = "our own test data")]

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use domain::event::{EventId, IdScheme};
use domain::position::Seq;
use domain::record::ReceiptTimes;
use domain::time::TimeRange;
use domain::window::WindowRule;
use ledger_embedded::LedgerOptions;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::manifest::FileKind;
use ports::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};
use ports::testing::ledger::records::{at, event, record_with, scope};

use crate::folder::{TestFolder, small};

fn path(kind: FileKind) -> PathBuf {
    let name = match kind {
        FileKind::Events => "segment-v3.events.parquet",
        FileKind::Windows => "segment-v3.windows.parquet",
        FileKind::Ids => "segment-v3.ids.run",
        FileKind::Residuals => "segment-v3.residuals.parquet",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

fn options() -> LedgerOptions {
    LedgerOptions { flush_rows: 1_000, ..small(WindowRule::default()) }
}

/// An event with everything, one with nothing, one that is late by the watermark alone, and one of another tenant.
fn records() -> [Delivery; 3] {
    let times = |received, watermark| ReceiptTimes { received_at: at(received), watermark: at(watermark) };
    let whole = event("whole", 5)
        .kind("call")
        .project("p")
        .customer("c")
        .user("u")
        .endpoint("/a")
        .model("m")
        .tokens(100, 50)
        .token_parts(70, 20, 30)
        .latency_ms(12)
        .properties(r#"{"a":[1,"\u00e9"]}"#);
    [
        record_with(1, &scope("t"), times(6, 0), &[whole.clone(), event("bare", 7)]),
        record_with(2, &scope("t"), times(8, 35), &[event("late", 9).customer("c").tokens(1, 2)]),
        record_with(3, &scope("z"), times(10, 10), &[whole]),
    ]
}

async fn flushed() -> TestFolder {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    assert!(ledger.apply(&records()).await.failed.is_none());
    ledger.flush().await.expect("flush");
    folder
}

#[tokio::test]
async fn a_segment_of_version_3_is_read_for_ever() {
    let folder = flushed().await;
    folder.replace_files(|kind, _| Some(fs::read(path(kind)).expect("the fixture"))).await;
    let ledger = folder.open(options()).await;
    let t = scope("t");
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: None,
        limit: 10,
        bytes_max: usize::MAX,
    };
    let events = ledger.events(&t, &all).await.expect("events").rows;
    assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["whole", "bare", "late"]);
    let whole = &events[0];
    assert_eq!((whole.time, whole.received_at, whole.latency_us), (at(5), at(6), Some(12_000)));
    let texts = [&whole.project, &whole.customer, &whole.user, &whole.endpoint, &whole.model, &whole.properties];
    assert_eq!(texts.map(|text| text.as_deref().unwrap_or("")), ["p", "c", "u", "/a", "m", r#"{"a":[1,"\u00e9"]}"#]);
    assert_eq!((whole.tokens, whole.input_tokens, whole.output_tokens), (Some(150), Some(100), Some(50)));
    let parts = |at: usize| (events[at].cache_read_tokens, events[at].cache_write_tokens, events[at].reasoning_tokens);
    assert_eq!(parts(0), (Some(70), Some(20), Some(30)));
    assert_eq!([parts(1), parts(2)], [(None, None, None); 2]);
    let usage = ledger.usage(&t, "c", at(0), TimeRange::ALL).await.expect("usage").expect("a customer");
    let total = usage.customer.total.totals;
    assert_eq!((total.calls, total.tokens, total.late), (2, 153, 1));
    assert_eq!((total.cache_read_tokens, total.cache_write_tokens, total.reasoning_tokens), (70, 20, 30));
    let windows = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: 10 };
    let windows = ledger.windows(&t, &windows).await.expect("windows").rows;
    assert_eq!(windows.iter().map(|window| window.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        ledger.event(&scope("z"), EventId::native("whole")).await.expect("an answer").map(|event| event.received_at),
        Some(at(10))
    );
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    assert_eq!(differences, Vec::<String>::new());
}

/// The payloads of a journal's segment file, as records from 1 on.
fn deliveries(journal: &[u8]) -> Vec<Delivery> {
    let (mut rest, mut found) = (&journal[40..], Vec::new());
    while let Some((frame, behind)) = rest.split_at_checked(24) {
        let len = u32::from_le_bytes(frame[4..8].try_into().expect("a length"));
        let (payload, next) = behind.split_at(usize::try_from(len).expect("a length"));
        found.push(Delivery { id: Seq(found.len() as u64 + 1).into(), payload: Bytes::copy_from_slice(payload) });
        rest = next;
    }
    found
}

/// Scheme, watermark and parts of tokens go from the record into the segment, and verification finds each id under
/// its own scheme.
#[tokio::test]
async fn i2_events_of_every_id_scheme_are_known_and_verify_after_a_flush() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let journal = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../journal/tests/it/fixtures/journal-v2.log");
    let records = deliveries(&fs::read(journal).expect("the fixture"));
    assert_eq!(records.len(), 3);
    assert!(ledger.apply(&records).await.failed.is_none());
    for flushed in [false, true] {
        if flushed {
            ledger.flush().await.expect("flush");
        }
        for (tenant, scheme, text) in [
            ("acme", IdScheme::Native, "event-1"),
            ("acme", IdScheme::CloudEvent, "ce:gateway#1"),
            ("globex", IdScheme::Native, "a key#0"),
        ] {
            for other in [IdScheme::Native, IdScheme::CloudEvent, IdScheme::Request] {
                let seen = ledger.seen(&scope(tenant), &[EventId { scheme: other, text }]).await;
                assert_eq!(seen[0].is_some(), other == scheme, "{text} as {other:?}");
            }
        }
    }
    let usage = ledger.usage(&scope("acme"), "customer-1", at(0), TimeRange::ALL).await.expect("usage");
    let total = usage.expect("a customer").customer.total.totals;
    assert_eq!((total.cache_read_tokens, total.cache_write_tokens, total.reasoning_tokens), (300, 100, 700));
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    assert_eq!(differences, Vec::<String>::new());
}

#[tokio::test]
#[ignore = "writes the fixture; only when a new version is made"]
async fn write_the_fixture() {
    let folder = flushed().await;
    for file in &folder.segments().await[0].files {
        fs::write(path(file.kind), folder.file(&file.name)).expect("written");
    }
}
