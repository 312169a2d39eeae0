//! The example bodies of the five documents this product serves, as written there.

use domain::admit::{Admission, AdmissionContext, AnyName};
use domain::event::{Candidate, TimeText};
use domain::limits::Limits;
use domain::payload::PayloadHasher;
use domain::record::ReceiptTimes;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::{JSON, event, events};

/// 2026-11-21T10:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// Whether the tenant named `tenant` may send the event.
fn is_admitted(tenant: &str, candidate: &Candidate<'_>) -> bool {
    let scope = TenantScope::for_operator(TenantId::parse(tenant).unwrap());
    let limits = Limits::default();
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
    let admission = Admission::new(context, 0);
    admission.check(candidate, &mut AnyName, || "assigned".into()).is_ok()
}

fn time<'a>(candidate: &'a Candidate<'_>) -> Option<&'a str> {
    match candidate.time.as_ref()? {
        TimeText::Text(text) | TimeText::Number(text) => Some(text),
    }
}

#[test]
fn the_metering_event() {
    let body = r#"{
  "eventId": "uuid",
  "timestamp": "ISO-8601",
  "tenantId": "string",
  "customerId": "string",
  "apiEndpoint": "/api/completion",
  "metadata": {
    "tokens": 1500,
    "model": "gpt-4",
    "latencyMs": 234,
    "inputTokens": 500,
    "outputTokens": 1000
  }
}"#;
    let found = event(body);
    assert_eq!(found.id.as_deref(), Some("uuid"));
    assert_eq!(time(&found), Some("ISO-8601"));
    assert_eq!(found.tenant.as_deref(), Some("string"));
    assert_eq!(found.customer.as_deref(), Some("string"));
    assert_eq!(found.endpoint.as_deref(), Some("/api/completion"));
    assert_eq!(found.kind, None);
    assert_eq!(found.usage.tokens.as_deref(), Some("1500"));
    assert_eq!(found.usage.input_tokens.as_deref(), Some("500"));
    assert_eq!(found.usage.output_tokens.as_deref(), Some("1000"));
    assert_eq!(found.usage.latency_ms.as_deref(), Some("234"));
    assert_eq!(found.usage.model.as_deref(), Some("gpt-4"));
    let properties = found.properties.as_deref().unwrap();
    assert!(body.contains(properties) && properties.starts_with("{\n    \"tokens\": 1500"), "not as written");
    let real = body.replace("ISO-8601", "2026-11-21T09:59:59.5+00:00");
    assert!(is_admitted("string", &event(&real)));
    assert!(!is_admitted("another", &event(&real)));
}

#[test]
fn the_enrichment_event_alone_and_in_an_array() {
    let body = r#"{"event_id": "uuid", "user_id": "u-123", "type": "click", "ts": "2025-10-08T12:34:56.789Z"}"#;
    let found = event(body);
    assert_eq!(found.id.as_deref(), Some("uuid"));
    assert_eq!(found.user.as_deref(), Some("u-123"));
    assert_eq!(found.kind.as_deref(), Some("click"));
    assert_eq!(time(&found), Some("2025-10-08T12:34:56.789Z"));
    assert_eq!((&found.customer, &found.properties), (&None, &None));
    assert!(is_admitted("default", &found));

    let batch = format!("[{body}, {}]", body.replace("uuid", "second").replace("click", "click|view|purchase"));
    let found = events(JSON, &batch);
    assert_eq!(found.iter().map(|one| one.id.as_deref().unwrap()).collect::<Vec<_>>(), ["uuid", "second"]);
    assert!(found.iter().all(|one| is_admitted("default", one)));
}

#[test]
fn the_analytics_event() {
    let body = r#"[{"event_id": "6f1c6c2e-95a5-4f7c-9d5a-7cf4c6a2b111", "user_id": "u-1", "event_type": "app_open",
        "occurred_at": "2024-01-15T10:30:00Z", "properties": {"country": "DE", "nested": {"a": [1, 2.50]}}}]"#;
    let found = &events(JSON, body)[0];
    assert_eq!(found.kind.as_deref(), Some("app_open"));
    assert_eq!(time(found), Some("2024-01-15T10:30:00Z"));
    assert_eq!(found.properties.as_deref(), Some(r#"{"country": "DE", "nested": {"a": [1, 2.50]}}"#));
    assert!(is_admitted("default", found));
}

#[test]
fn the_platform_event_with_numbers_for_ids() {
    let body = r#"{"workspace_id": 1, "project": 42, "idempotency_key": "k-1", "event_time": "2026-01-01T00:00:00Z",
        "payload": {"event": "signup", "plan": "pro"}}"#;
    let found = event(body);
    assert_eq!(found.id.as_deref(), Some("k-1"));
    assert_eq!(found.tenant.as_deref(), Some("1"));
    assert_eq!(found.project.as_deref(), Some("42"));
    assert_eq!(time(&found), Some("2026-01-01T00:00:00Z"));
    assert_eq!(found.properties.as_deref(), Some(r#"{"event": "signup", "plan": "pro"}"#));
    assert_eq!(found.kind, None, "a member of the payload is no field");
    assert!(is_admitted("1", &found));
}

#[test]
fn the_account_events() {
    let body = r#"{
    "events": [
      {
        "event_id": "evt_001",
        "account_id": "acc_123",
        "user_id": "user_456",
        "type": "message_sent",
        "timestamp": "2026-02-01T10:30:00.000Z",
        "metadata": { "channel": "email" }
      },
      {
        "event_id": "evt_002",
        "account_id": "acc_123",
        "user_id": "user_789",
        "type": "login",
        "timestamp": "2026-02-01T10:35:00.000Z"
      }
    ]
  }"#;
    let found = events(JSON, body);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].properties.as_deref(), Some(r#"{ "channel": "email" }"#));
    assert_eq!(found[1].properties, None);
    for one in &found {
        assert_eq!(one.customer.as_deref(), Some("acc_123"));
        assert!(is_admitted("default", one));
    }
    let described = r#"{ "events": [ { "event_id": "uuid-or-string", "account_id": "acc_123", "user_id": "user_456",
        "type": "message_sent | call_made | form_submitted | login | custom",
        "timestamp": "2025-01-01T10:00:00Z", "metadata": { "any": "shape" } } ] }"#;
    assert!(is_admitted("default", &events(JSON, described)[0]));
}
