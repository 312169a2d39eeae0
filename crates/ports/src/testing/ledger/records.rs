//! Builds journal records for tests the way the request path does: through `domain::admit`.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::borrow::Cow;

use domain::admit::{Admission, AdmissionContext, Admitted, AnyName};
use domain::event::{Candidate, EventId, TimeText, UsageText};
use domain::limits::Limits;
use domain::payload::{HashRule, PayloadHash, PayloadHasher};
use domain::position::Seq;
use domain::record::{ReceiptTimes, RequestKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::journal::Delivery;

/// The scope of the tenant with this name.
pub fn scope(tenant: &str) -> TenantScope {
    TenantScope::for_operator(TenantId::parse(tenant).expect("a tenant name"))
}

/// The instant `seconds` after 2026-01-01T00:00:00Z, which begins a window, an hour and a day.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

/// The instant that an RFC 3339 text names.
pub fn instant(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

/// An event with this id that happened at [`at`]`(seconds)`, and nothing else.
pub fn event(id: &str, seconds: i64) -> EventSpec {
    event_at(id, at(seconds))
}

/// An event with this id that happened at `time`, and nothing else.
pub fn event_at(id: &str, time: Timestamp) -> EventSpec {
    let mut candidate = Candidate { id: Some(Cow::Owned(id.to_owned())), ..Candidate::default() };
    candidate.time = Some(TimeText::Text(Cow::Owned(time.to_string())));
    EventSpec { candidate }
}

/// An event as a client sends it, built field by field.
#[derive(Debug, Clone)]
pub struct EventSpec {
    candidate: Candidate<'static>,
}

impl EventSpec {
    /// The event as `wire` would hand it on.
    pub fn candidate(&self) -> &Candidate<'static> {
        &self.candidate
    }

    /// Without a time of its own: it happened when it was received.
    #[must_use]
    pub fn untimed(mut self) -> Self {
        self.candidate.time = None;
        self
    }

    /// With this type.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.candidate.kind = text(kind);
        self
    }

    /// Charged to this customer.
    #[must_use]
    pub fn customer(mut self, customer: &str) -> Self {
        self.candidate.customer = text(customer);
        self
    }

    /// By this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.candidate.user = text(user);
        self
    }

    /// A call of this endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.candidate.endpoint = text(endpoint);
        self
    }

    /// In this project.
    #[must_use]
    pub fn project(mut self, project: &str) -> Self {
        self.candidate.project = text(project);
        self
    }

    /// With these properties, the text of a JSON object.
    #[must_use]
    pub fn properties(mut self, json: &str) -> Self {
        self.candidate.properties = text(json);
        self
    }

    /// Answered by this model.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.candidate.usage.model = text(model);
        self
    }

    /// With tokens read and written.
    #[must_use]
    pub fn tokens(mut self, input: u64, output: u64) -> Self {
        let usage = &mut self.candidate.usage;
        *usage = UsageText {
            input_tokens: text(&input.to_string()),
            output_tokens: text(&output.to_string()),
            ..usage.clone()
        };
        self
    }

    /// With so many of its tokens read from a cache, written to one, and spent on reasoning: parts of what
    /// [`EventSpec::tokens`] says.
    #[must_use]
    pub fn token_parts(mut self, cache_read: u64, cache_write: u64, reasoning: u64) -> Self {
        let usage = &mut self.candidate.usage;
        *usage = UsageText {
            cache_read_tokens: text(&cache_read.to_string()),
            cache_write_tokens: text(&cache_write.to_string()),
            reasoning_tokens: text(&reasoning.to_string()),
            ..usage.clone()
        };
        self
    }

    /// That took this long.
    #[must_use]
    pub fn latency_ms(mut self, latency_ms: u64) -> Self {
        self.candidate.usage.latency_ms = text(&latency_ms.to_string());
        self
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every field of a candidate is optional")]
fn text(text: &str) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(text.to_owned()))
}

/// The secret that payloads of such events are hashed with.
const HASH_KEY: [u8; 16] = [7; 16];

/// Clients' own ids.
pub fn ids<'i>(texts: &[&'i str]) -> Vec<EventId<'i>> {
    texts.iter().map(|text| EventId::native(text)).collect()
}

/// The events of one request of `scope`, received at `received_at`, as the journal gets them.
pub fn admitted(scope: &TenantScope, received_at: Timestamp, events: &[EventSpec]) -> Admitted {
    admitted_under(None, scope, received_at, events)
}

/// The events of one request with this key, as the journal gets them.
pub fn admitted_under(
    request: Option<RequestKey<'_>>,
    scope: &TenantScope,
    received_at: Timestamp,
    events: &[EventSpec],
) -> Admitted {
    admitted_at(request, scope, ReceiptTimes { received_at, watermark: received_at }, events)
}

/// The events of one request with both stamps of its receipt, as the journal gets them.
pub fn admitted_at(
    request: Option<RequestKey<'_>>,
    scope: &TenantScope,
    times: ReceiptTimes,
    events: &[EventSpec],
) -> Admitted {
    let limits = Limits { time_min: Timestamp::MIN, future_us_max: i64::MAX, ..Limits::default() };
    let hasher = PayloadHasher::new(&HASH_KEY);
    let context = AdmissionContext {
        scope,
        limits: &limits,
        hasher: &hasher,
        times,
        request,
        strict: false,
        former_ids: true,
        project: None,
        encryption: None,
    };
    let mut admission = Admission::new(context, 0);
    for event in events {
        let checked = admission.check(&event.candidate, &mut AnyName, || "assigned".to_owned()).expect("an event");
        admission.push(&checked);
    }
    admission.finish().expect("at least one event")
}

/// The name of a request and the hash of its body.
pub fn request_key(text: &str, body: u64) -> RequestKey<'_> {
    RequestKey { text, body: PayloadHash { rule: HashRule::RequestBody, hash: body } }
}

/// A record of such events as the journal delivers it, with the number `seq` and both stamps of its receipt.
pub fn record_with(seq: u64, scope: &TenantScope, times: ReceiptTimes, events: &[EventSpec]) -> Delivery {
    Delivery { id: Seq(seq).into(), payload: admitted_at(None, scope, times, events).payload().clone() }
}

/// A record of such events as the journal delivers it, with the number `seq`.
pub fn record(seq: u64, scope: &TenantScope, received_at: Timestamp, events: &[EventSpec]) -> Delivery {
    Delivery { id: Seq(seq).into(), payload: admitted(scope, received_at, events).payload().clone() }
}
