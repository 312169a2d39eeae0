//! Old files are opened for ever: each version's fixture is read and holds exactly what was once
//! written. A fixture is never written again; a new version gets a new one.

use std::path::Path;

use domain::event::{EventView, IdScheme, Usage};
use domain::payload::{HashRule, PayloadHash};
use domain::position::Seq;
use domain::record::{EventIdentity, FormerId, RecordView, RequestKey, decode_body};
use domain::time::Timestamp;
use ports::journal::Delivery;
use ports::testing::ledger::records::at;
use vfs::testing::SimVfs;

use crate::support::{DIR, append_all, one_segment, open, read_all};

const V1: &[u8] = include_bytes!("fixtures/journal-v1.log");
/// Segment files are the same; the records in it are of version 2.
const V2: &[u8] = include_bytes!("fixtures/journal-v2.log");

/// An event without anything optional.
fn plain<'a>(id: &'a str, time: Timestamp, kind: &'a str) -> EventView<'a> {
    let usage = Usage::default();
    EventView {
        id,
        id_scheme: IdScheme::Native,
        time,
        kind,
        project: None,
        customer: None,
        user: None,
        endpoint: None,
        properties: None,
        usage,
    }
}

fn assert_record(entry: &Delivery, tenant: &str, received_at: Timestamp, events: &[EventView<'_>]) {
    let record = RecordView::parse(&entry.payload).unwrap();
    assert_eq!(
        (record.tenant().as_str(), record.received_at()),
        (tenant, received_at),
        "record {}",
        Seq::of_record(entry.id)
    );
    let bodies: Vec<_> = record.bodies().map(Result::unwrap).collect();
    let found: Vec<_> = bodies.iter().map(|body| decode_body(body.bytes).unwrap()).collect();
    for (body, event) in bodies.iter().zip(&found) {
        let brief = body.brief().unwrap();
        assert_eq!((brief.time, brief.kind, brief.customer), (event.time, event.kind, event.customer));
        assert_eq!(brief.user, event.user);
    }
    assert_eq!(found, events, "record {}", Seq::of_record(entry.id));
}

#[tokio::test]
async fn a_journal_of_version_1_is_opened() {
    let disk = SimVfs::new();
    disk.put(&Path::new(DIR).join("00000000000000000007.journal"), V1);
    let journal = open(&disk, 6, one_segment()).unwrap();
    let entries = read_all(&journal).await.unwrap();
    let numbers: Vec<Seq> = entries.iter().map(|entry| Seq::of_record(entry.id)).collect();
    assert_eq!(numbers, [Seq(7), Seq(8), Seq(9), Seq(10)]);

    let whole = EventView {
        project: Some("alpha"),
        customer: Some("customer-1"),
        user: Some("user-1"),
        endpoint: Some("/v1/complete"),
        properties: Some(r#"{"tokens":1500,"model":"sonnet","nested":{"a":[1,2.5,null]}}"#),
        usage: Usage {
            tokens: Some(1_500),
            input_tokens: Some(500),
            output_tokens: Some(1_000),
            latency_us: Some(234_000),
            model: Some("sonnet"),
            ..Usage::default()
        },
        ..plain("event-1", at(0), "completion")
    };
    assert_record(&entries[0], "acme", at(2), &[whole]);
    assert_record(&entries[1], "acme", at(31), &[plain("event-2", at(31), "custom")]);
    let call = EventView { endpoint: Some("/v1/embed"), ..plain("événement-3", at(-3_600), "api_call") };
    let charged = EventView { customer: Some("customer-2"), ..plain("event-1", at(29), "login") };
    assert_record(&entries[2], "globex", at(32), &[call, charged]);
    assert_record(&entries[3], "acme", at(33), &[plain("event-4", at(33), "custom")]);

    append_all(&journal, [0]).await;
    drop(journal);
    disk.crash(0);
    let journal = open(&disk, 6, one_segment()).unwrap();
    assert_eq!(journal_numbers(&read_all(&journal).await.unwrap()), [7, 8, 9, 10, 11]);
}

fn journal_numbers(entries: &[Delivery]) -> Vec<u64> {
    entries.iter().map(|entry| Seq::of_record(entry.id).0).collect()
}

fn written(hash: u64) -> PayloadHash {
    PayloadHash { rule: HashRule::Written, hash }
}

/// Everything that a record of version 2 can hold.
#[tokio::test]
async fn a_journal_with_records_of_version_2_is_opened() {
    let disk = SimVfs::new();
    disk.put(&Path::new(DIR).join("00000000000000000007.journal"), V2);
    let journal = open(&disk, 6, one_segment()).unwrap();
    let entries = read_all(&journal).await.unwrap();
    assert_eq!(journal_numbers(&entries), [7, 8, 9]);

    let whole = EventView {
        project: Some("alpha"),
        customer: Some("customer-1"),
        user: Some("user-1"),
        endpoint: Some("/v1/complete"),
        properties: Some(r#"{"nested":{"a":[1,2.5,null]}}"#),
        usage: Usage {
            tokens: Some(1_500),
            input_tokens: Some(500),
            output_tokens: Some(1_000),
            latency_us: Some(234_000),
            model: Some("sonnet"),
            cache_read_tokens: Some(300),
            cache_write_tokens: Some(100),
            reasoning_tokens: Some(700),
        },
        ..plain("event-1", at(0), "completion")
    };
    let cloud = EventView { id_scheme: IdScheme::CloudEvent, ..plain("ce:gateway#1", at(1), "call") };
    let in_request = EventView { endpoint: Some("/v1/embed"), ..plain("a key#0", at(-3_600), "api_call") };
    assert_record(&entries[0], "acme", at(2), &[whole]);
    assert_record(&entries[1], "acme", at(31), &[plain("event-2", at(31), "custom"), cloud]);
    assert_record(&entries[2], "globex", at(32), &[in_request]);

    let records: Vec<_> = entries.iter().map(|entry| RecordView::parse(&entry.payload).unwrap()).collect();
    let watermarks: Vec<_> = records.iter().map(|record| record.times().watermark).collect();
    assert_eq!(watermarks, [at(-40), at(36), at(32)]);
    let key = RequestKey {
        text: "key 1 POST /v1/events événement",
        body: PayloadHash { rule: HashRule::RequestBody, hash: 6 },
    };
    assert_eq!(records.iter().map(RecordView::request).collect::<Vec<_>>(), [None, None, Some(key)]);
    let bodies = records.iter().flat_map(RecordView::bodies).map(Result::unwrap);
    let identities: Vec<_> = bodies.map(|body| body.event_with_identity().unwrap().1).collect();
    let known = |payload| EventIdentity { payload, former: None };
    let former = FormerId { id: "1", payload: PayloadHash { rule: HashRule::EncodedBody, hash: 3 } };
    let cloud = EventIdentity { payload: written(2), former: Some(former) };
    assert_eq!(identities, [known(written(0x0102_0304_0506_0708)), known(written(4)), cloud, known(written(5))]);
}

/// The bytes as `docs/formats/journal-record.md` draws them, read without the journal's own code.
#[test]
fn the_bytes_are_those_of_the_format() {
    assert_eq!(&V1[..8], b"NILOJRNL");
    assert_eq!(V1[8..12], 1_u32.to_le_bytes());
    assert_eq!(V1[28..36], 7_u64.to_le_bytes());
    let mask = |crc: u32| crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(V1[36..40], mask(crc32c::crc32c_append(0x6e69_6c6f, &V1[..36])).to_le_bytes());
    let mut rest = &V1[40..];
    for (seq, index) in [(7_u64, 0_u32), (8, 0), (9, 1), (10, 2)] {
        assert_eq!(rest[..4], [0xf5, b'N', b'r', 0xfb]);
        let len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        assert_eq!(rest[12..20], seq.to_le_bytes());
        assert_eq!(rest[20..24], index.to_le_bytes());
        let covered = [&V1[12..28], &rest[12..20], &rest[4..8], &rest[20..24], &rest[24..24 + len]].concat();
        assert_eq!(rest[8..12], mask(crc32c::crc32c_append(0x6e69_6c6f, &covered)).to_le_bytes());
        rest = &rest[24 + len..];
    }
    assert!(rest.is_empty());
}
