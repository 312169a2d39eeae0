//! One request's bytes through everything that reads them before the journal does: decoding,
//! parsing, admission and the record. Panics when a promise about them is broken; the fuzz target
//! and the integration tests share it.

use bytes::Bytes;
use domain::admit::{Admission, AdmissionContext, AnyName};
use domain::limits::Limits;
use domain::payload::PayloadHasher;
use domain::record::{ReceiptTimes, RecordView};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use serde::de::IgnoredAny;

/// 2026-11-21T10:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// Runs an input of the corpus: a line `content type|content encoding`, either of which may be
/// empty for absent, then the body.
pub(crate) fn input(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]);
    let (content_type, encoding) = head.split_once('|').unwrap_or((&head, ""));
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let body = bytes.get(end + 1..).unwrap_or_default();
    ingest(present(content_type).as_deref(), present(encoding).as_deref(), body);
}

/// Runs one request (I4, I6, I9): what is taken is within the limits, is in the record, and nothing
/// else is.
pub(crate) fn ingest(content_type: Option<&str>, content_encoding: Option<&str>, body: &[u8]) {
    let limits = Limits::default();
    let Ok(decoded) = wire::decode(content_encoding, Bytes::copy_from_slice(body), &limits) else { return };
    assert!(decoded.len() <= limits.decoded_bytes_max, "decoded {} bytes", decoded.len());
    let Ok(parsed) = wire::parse(content_type, &decoded, &limits) else { return };
    assert!((1..=limits.batch_events_max).contains(&parsed.items.len()), "{} events", parsed.items.len());

    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let hasher = PayloadHasher::new(&[7; 16]);
    let times = ReceiptTimes { received_at: NOW, watermark: NOW };
    let context = AdmissionContext {
        scope: &scope,
        limits: &limits,
        hasher: &hasher,
        times,
        request: None,
        strict: false,
        former_ids: false,
        project: None,
        encryption: None,
    };
    let mut admission = Admission::new(context, decoded.len());
    let mut ids = Vec::new();
    for candidate in parsed.items.iter().flatten() {
        if let Some(properties) = candidate.properties.as_deref() {
            assert!(properties.starts_with('{'), "properties {properties}");
            assert!(serde_json::from_str::<IgnoredAny>(properties).is_ok(), "properties {properties}");
        }
        if let Ok(checked) = admission.check(candidate, &mut AnyName, || "assigned".into()) {
            admission.push(&checked);
            ids.push(checked.event_id().text.to_owned());
        }
    }
    let Some(admitted) = admission.finish() else {
        assert!(ids.is_empty(), "{} admitted events have no record", ids.len());
        return;
    };
    let record = RecordView::parse(admitted.payload());
    let bodies = record.iter().flat_map(RecordView::bodies);
    let stored: Vec<_> =
        bodies.flatten().map(|body| body.event_with_identity().map(|(event, _)| event.id.to_owned())).collect();
    assert_eq!(stored, ids.into_iter().map(Ok).collect::<Vec<_>>());
}
