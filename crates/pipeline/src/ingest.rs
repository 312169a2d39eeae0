//! The request path: `Ingest::take` reads top to bottom from the bytes of a body to the verdict
//! on each event. It answers `accepted` only after durability (I8), keeps nothing of what it
//! rejects (I4), and remembers nothing by itself: whether an id is known is asked of the ledger, so
//! that a failed append can never make the retry look like a duplicate.
//!
//! What one request may hold: its decoded body, as long as it becomes by encryption, counts against a budget of all
//! requests until the journal has answered; what the journal has taken counts against the journal's backlog limit.

mod answer;
mod judge;
mod deciding;
mod load;
mod receipt;
mod keyed;
mod request_key;
mod replay;
mod warning_sums;
mod decoded_body_budget;
mod encrypting;
mod checking;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::admit::AdmissionContext;
use domain::event::Candidate;
use domain::limits::Limits;
use domain::payload::PayloadHasher;
use domain::position::Seq;
use domain::request::RequestHasher;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::clock::Clock;
use ports::encryption::Encryption;
use ports::ledger::Ledger;
use ports::receipts::Receipts as Fates;
use ports::reports::Reports;
use ports::{ErrorKind, PortError};
use uuid::{NoContext, Uuid};

pub use answer::{EventResult, IngestAnswer, IngestError, IngestRequest, NOT_TAKEN};
pub use answer::{PAYLOAD_MISMATCH, Status, WarningSum};
pub(crate) use decoded_body_budget::DecodedBodyBudget;
pub use load::{LoadBatch, LoadedBatch, LoadedDurably, LoadedOutcome, Loader};

use crate::failure::error_chain;
use crate::gate::Gated;
use crate::inflight::InFlight;
use crate::names::KnownNames;
use crate::quotas::Quotas;
use crate::rate_limits::{EventCharge, RateLimits};
use crate::receipts::{ReceiptCodec, Receipts};
use crate::running_requests::RunningRequests;
use crate::settings::Settings;
use crate::stage::{self, Durable, Journaling, PendingBatch, Visible};
use crate::telemetry::Metrics;
use answer::SentBy;
use encrypting::Growth;
use judge::{Decided, Verdicts, count};
use keyed::{Keyed, NewRequest};

/// Takes events.
#[derive(Debug)]
pub struct Ingest {
    pub(crate) journaling: Journaling,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// For receipts of batches whose outcome is no longer in memory.
    pub(crate) reports: Gated<dyn Reports>,
    /// What the ledger tells of records that another process has applied, or this one before it was started.
    pub(crate) fates: Option<Arc<dyn Fates>>,
    /// Whether this process applies what it takes.
    pub(crate) applies: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) names: Arc<KnownNames>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) rate_limits: Arc<RateLimits>,
    pub(crate) encryption: Arc<dyn Encryption>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) receipt_codec: ReceiptCodec,
    pub(crate) payload_hasher: PayloadHasher,
    pub(crate) request_hasher: RequestHasher,
    pub(crate) running_requests: Arc<RunningRequests>,
    /// The last record that was durable at the start.
    pub(crate) replay_until: Seq,
    pub(crate) body_budget: DecodedBodyBudget,
    pub(crate) limits: Limits,
}

/// What a request comes to before the journal.
enum Judged {
    /// Some of its events are to be journaled.
    ToJournal(Verdicts, Box<PendingBatch>),
    /// None is.
    NothingNew(Verdicts),
    /// It was taken before.
    Again(Verdicts, Durable),
}

impl Ingest {
    /// Takes the events of one request. When this returns an answer, every event in it that is
    /// `accepted` is durable; when it returns an error, none was acknowledged and the request can
    /// be repeated as it was. Dropping the future may leave the events taken.
    ///
    /// # Errors
    /// [`IngestError`] when the request as a whole was not taken.
    pub async fn ingest(&self, scope: &TenantScope, request: IngestRequest) -> Result<IngestAnswer, IngestError> {
        let (started, mut charge) = (self.clock.monotonic(), EventCharge::default());
        let answer = self.take(scope, request, &mut charge).await;
        if let Err(error) = &answer {
            self.metrics.failed(error.reason(), 1);
            if error.is_passing() {
                // The same request comes again, and is counted then.
                self.rate_limits.give_back(charge);
            }
        }
        self.metrics.ingestion(self.clock.monotonic().saturating_sub(started));
        answer
    }

    async fn take(
        &self,
        scope: &TenantScope,
        request: IngestRequest,
        charge: &mut EventCharge,
    ) -> Result<IngestAnswer, IngestError> {
        let (wait, asks_quota) = (request.wait, request.quota);
        if self.clock.doubt().is_some() {
            return Err(IngestError::ClockUnsure);
        }
        self.journaling.check_room(&self.limits).await?;
        self.journaling.check_share(scope)?;
        self.journaling.check_settled().await?;
        let mut customers = BTreeSet::new();
        let judged = self.judge(scope, request, charge, &mut customers).await?;
        let mut answer = self.journal(scope, judged, wait).await?;
        if asks_quota {
            // What was taken is taken: an answer without this is better than none.
            answer.quotas = self.quotas.states(scope, |customer| customers.contains(customer)).await.ok();
        }
        Ok(answer)
    }

    /// Has journaled what is to be, and answers.
    async fn journal(&self, scope: &TenantScope, judged: Judged, wait: bool) -> Result<IngestAnswer, IngestError> {
        let (mut verdicts, batch) = match judged {
            Judged::ToJournal(verdicts, batch) => (verdicts, batch),
            Judged::NothingNew(verdicts) => return Ok(verdicts.without_record(wait)),
            Judged::Again(verdicts, durable) => {
                return Ok(verdicts.journaled(durable, self.receipt_codec.write(scope, durable.seq()), wait));
            }
        };
        let durable = self.journaling.append(*batch).await?;
        let visible = if wait { self.wait_visible(scope, durable).await } else { None };
        if let Some(visible) = &visible {
            verdicts.settle(visible);
        }
        Ok(verdicts.journaled(durable, self.receipt_codec.write(scope, durable.seq()), visible.is_some()))
    }

    /// Decides on every event; what is to be journaled holds no part of the body any more. `charge` becomes what was
    /// counted of it, and `customers` gets those of the events, if the request asks for its quotas.
    async fn judge(
        &self,
        scope: &TenantScope,
        request: IngestRequest,
        charge: &mut EventCharge,
        customers: &mut BTreeSet<String>,
    ) -> Result<Judged, IngestError> {
        if request.key.is_some() {
            // Before any memory is taken for its body.
            self.wait_replayed().await?;
        }
        let body = wire::decode(request.content_encoding.as_deref(), request.body, &self.limits)?;
        let mut reservation = self.body_budget.reserve(scope.tenant(), body.len())?;
        let content_type = request.content_type.as_deref();
        let encryption = self.encryption.of(scope);
        let keyed = match &request.key {
            None => None,
            Some(key) => Some(self.begin_keyed(scope, key, content_type, &body, encryption.as_deref()).await?),
        };
        let parsed = wire::parse(content_type, &body, &self.limits)?;
        let counted = self.rate_limits.events(scope.tenant(), request.events_rate, parsed.items.len());
        *charge = counted.map_err(IngestError::RateLimited)?;
        customers.extend(parsed.items.iter().flatten().filter(|_| request.quota).filter_map(customer_of));
        // Asked again: it may have waited for another request, and what was listed meanwhile is to be encrypted.
        let encryption = self.encryption.of(scope);
        let keyed = match keyed {
            Some(Keyed::Again(earlier)) => {
                let sent = SentBy {
                    strict: request.strict,
                    project: request.project.as_ref(),
                    encryption: encryption.as_ref(),
                };
                let verdicts = self.verdicts_again(scope, &parsed, &earlier, sent).await?;
                return Ok(Judged::Again(verdicts, Durable::of_counted(&earlier.sighting)));
            }
            Some(Keyed::New(mut new)) => {
                new.encrypt(encryption.as_deref());
                Some(new)
            }
            None => None,
        };
        let stamp = self.in_flight.enter(self.clock.now());
        let limits = self.settings.limits(scope, &self.limits);
        let former_ids = self.holds_former_ids();
        let context = AdmissionContext {
            scope,
            limits: &limits,
            hasher: &self.payload_hasher,
            times: stamp.times(),
            request: keyed.as_ref().map(NewRequest::key),
            strict: request.strict,
            former_ids,
            project: request.project.as_ref(),
            encryption: encryption.as_ref(),
        };
        let new_id = |index| match &keyed {
            Some(keyed) => self.request_hasher.event_id(keyed.running.name(), index),
            None => new_id(stamp.received_at()),
        };
        let mut growth = Growth::of(&body, self.limits.decoded_bytes_max, &mut reservation);
        let checks = self.check(&parsed.items, context, &mut growth, new_id)?;
        count(&checks, &self.metrics);
        let Decided { verdicts, admitted, quota } = self.decide(&checks, context, growth.bytes()).await?;
        let Some(admitted) = admitted else { return Ok(Judged::NothingNew(verdicts)) };
        let (reservation, quota) = (Some(reservation), Some(quota));
        let request = keyed.map(|keyed| keyed.running);
        let batch = PendingBatch { admitted, stamp, reservation, quota, request };
        Ok(Judged::ToJournal(verdicts, Box::new(batch)))
    }

    /// Whether ids may be known of a release that knew `CloudEvent`s by their ids alone. While the journal of that
    /// release may still be replayed, they may.
    fn holds_former_ids(&self) -> bool {
        self.receipts.applied() < self.replay_until || self.ledger.holds_former_ids()
    }

    /// Waits as long as a request may until its events are visible.
    async fn wait_visible(&self, scope: &TenantScope, durable: Durable) -> Option<Visible> {
        let longest = self.limits.wait_applied_max;
        let visible = async {
            match &self.fates {
                Some(fates) if !self.applies => {
                    stage::visible_elsewhere(scope, self.journaling.id_of(durable.seq()), &**fates, longest).await
                }
                _ => Some(stage::visible(durable, &self.receipts).await),
            }
        };
        tokio::select! {
            biased;
            visible = visible => visible,
            () = self.clock.sleep(longest) => None,
        }
    }
}

/// The customer that an event names.
fn customer_of(candidate: &Candidate<'_>) -> Option<String> {
    candidate.customer.as_deref().map(str::to_owned)
}

/// An id for an event that came without one: a UUIDv7 of its receive time.
fn new_id(received_at: Timestamp) -> String {
    let micros = u64::try_from(received_at.micros()).unwrap_or(0);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let nanos = u32::try_from(micros * 1_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)).to_string()
}

impl From<wire::BodyError> for IngestError {
    fn from(error: wire::BodyError) -> Self {
        match error {
            wire::BodyError::Malformed { message } => Self::Malformed { message },
            wire::BodyError::TooLarge { message } => Self::TooLarge { message },
            wire::BodyError::UnsupportedEncoding { message } => Self::UnsupportedEncoding { message },
            wire::BodyError::UnsupportedMediaType { message } => Self::UnsupportedMediaType { message },
        }
    }
}

impl From<PortError> for IngestError {
    fn from(error: PortError) -> Self {
        if error.kind() != ErrorKind::Overloaded {
            tracing::warn!(error = error_chain(&error), "a request was refused");
        }
        Self::from(error.kind())
    }
}

/// What the journal's refusal of a record means for its request.
impl From<ErrorKind> for IngestError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::Full => Self::DiskFull,
            ErrorKind::Unacceptable => Self::TooLarge { message: "more than one journal record holds".to_owned() },
            ErrorKind::Unavailable
            | ErrorKind::Poisoned
            | ErrorKind::Corrupt
            | ErrorKind::Conflict
            | ErrorKind::Closed
            | ErrorKind::Exhausted
            | ErrorKind::TimedOut
            | ErrorKind::Gone => Self::Unavailable,
        }
    }
}
