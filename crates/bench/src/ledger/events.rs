//! Batches of records as the journal delivers them, made through admission. Every fiftieth event repeats one that came
//! shortly before in its record.

use std::borrow::Cow;

use anyhow::{Context, anyhow};
use domain::admit::{Admission, AdmissionContext, AnyName};
use domain::event::{Candidate, TimeText, UsageText};
use domain::limits::Limits;
use domain::payload::PayloadHasher;
use domain::position::Seq;
use domain::record::ReceiptTimes;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Timestamp};
use ports::journal::Delivery;

use crate::seed::Choice;
use crate::text::push_event_id;

/// Events of a batch.
const BATCH: u32 = 10_000;
/// One of so many events is a repetition.
const REPEATED: usize = 50;
/// How far back a repetition lies in its record.
const BACK: usize = 40;
/// How many times as many customers and users the whale has.
const WHALE: u32 = 20;
/// The secret that payloads are hashed with.
const HASH_KEY: [u8; 16] = [7; 16];
const KINDS: [&str; 3] = ["api_call", "completion", "embedding"];
const PROJECTS: [&str; 2] = ["web", "batch"];
const ENDPOINTS: [&str; 3] = ["/v1/chat", "/v1/embed", "/v1/search"];
const MODELS: [&str; 2] = ["small", "large"];

/// Which events are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventPlan {
    /// Event times lie this many days before now, evenly; 0 means now.
    pub(super) history_days: u32,
    /// Tenants that send in turn.
    pub(super) tenants: u32,
    /// Customers of each.
    pub(super) customers: u32,
    /// Users of each.
    pub(super) users: u32,
    /// Events of a record.
    pub(super) record: u32,
    /// Whether every second record is of one more tenant.
    pub(super) has_whale: bool,
}

impl EventPlan {
    /// Events that happen now.
    pub(super) const LIVE: Self =
        Self { history_days: 0, tenants: 1_000, customers: 100, users: 200, record: 500, has_whale: false };
}

/// Makes batches.
#[derive(Debug)]
pub(super) struct Batches {
    plan: EventPlan,
    choice: Choice,
    records: u64,
    events: u64,
}

impl Batches {
    /// The first one comes next.
    pub(super) fn new(plan: EventPlan) -> Self {
        Self { plan, choice: Choice::new(1), records: 0, events: 0 }
    }

    /// The next batch, received at `now`.
    pub(super) fn next(&mut self, now: Timestamp) -> anyhow::Result<Vec<Delivery>> {
        (0..BATCH.div_ceil(self.plan.record)).map(|_| self.record(now)).collect()
    }

    fn record(&mut self, now: Timestamp) -> anyhow::Result<Delivery> {
        let (number, plan) = (self.records, self.plan);
        self.records += 1;
        let is_whale = plan.has_whale && number.is_multiple_of(2);
        let (tenant, scale) = if is_whale {
            ("whale".to_owned(), WHALE)
        } else {
            (format!("tenant-{}", number % u64::from(plan.tenants)), 1)
        };
        let scope = TenantScope::for_operator(TenantId::parse(&tenant)?);
        let mut events: Vec<Candidate<'static>> = Vec::new();
        for index in 0..plan.record as usize {
            let event = match index.checked_sub(BACK).filter(|_| index % REPEATED == REPEATED - 1) {
                Some(earlier) => events.get(earlier).cloned().unwrap_or_default(),
                None => self.event(scale, now),
            };
            events.push(event);
        }
        let limits = Limits { time_min: Timestamp::MIN, ..Limits::default() };
        let context = AdmissionContext {
            scope: &scope,
            limits: &limits,
            hasher: &PayloadHasher::new(&HASH_KEY),
            times: ReceiptTimes { received_at: now, watermark: Timestamp::MIN },
            request: None,
            strict: false,
            former_ids: false,
            project: None,
            encryption: None,
        };
        let mut admission = Admission::new(context, 0);
        for event in &events {
            let checked = admission.check(event, &mut AnyName, String::new);
            let checked = checked.map_err(|why| anyhow!("failed to make an event: {why}"))?;
            admission.push(&checked);
        }
        let admitted = admission.finish().context("failed to make a record")?;
        Ok(Delivery { id: Seq(number + 1).into(), payload: admitted.payload().clone() })
    }

    fn event(&mut self, scale: u32, now: Timestamp) -> Candidate<'static> {
        let (plan, choice) = (self.plan, &mut self.choice);
        let span = i64::from(plan.history_days) * MICROS_PER_DAY;
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a span of some years")]
        let back = (choice.unit() * span.max(MICROS_PER_SECOND) as f64) as i64;
        let mut id = Vec::with_capacity(36);
        push_event_id(&mut id, 0, self.events);
        self.events += 1;
        let text = |text: String| Some(Cow::Owned(text));
        let mut one_of = |names: &[&'static str]| {
            let count = u32::try_from(names.len()).unwrap_or(1);
            names.get(choice.below(count) as usize).map(|name| Cow::Borrowed(*name))
        };
        let (kind, project, endpoint) = (one_of(&KINDS), one_of(&PROJECTS), one_of(&ENDPOINTS));
        let model = one_of(&MODELS);
        Candidate {
            id: text(String::from_utf8(id).unwrap_or_default()),
            time: Some(TimeText::Text(Cow::Owned(now.plus_micros(-back).to_string()))),
            kind,
            project,
            customer: text(format!("customer-{}", choice.below(plan.customers * scale))),
            user: text(format!("user-{}", choice.below(plan.users * scale))),
            endpoint,
            properties: text(format!(r#"{{"region": "eu-{}", "status": {}}}"#, choice.below(4), 200 + choice.below(5))),
            usage: UsageText {
                input_tokens: text(choice.below(900).to_string()),
                output_tokens: text(choice.below(300).to_string()),
                latency_ms: text(choice.below(2_000).to_string()),
                model,
                ..UsageText::default()
            },
            ..Candidate::default()
        }
    }
}
