//! What the routes work on: the pipeline, the register of who may do what, and the limits on memory and concurrency that all
//! requests share. Answers nothing itself.

use std::sync::Arc;

use access::AccessControl;
use domain::limits::{REFERENCE_BODY_BYTES_MAX, REFERENCE_TEXTS_AT_ONCE_MAX};
use pipeline::shares::Shares;
use pipeline::{Erasing, Gated, Metrics, Pipeline, ReadPorts, Settings};
use ports::erasures::Erasures;
use ports::register::AuditLog;

use crate::cache::{AnswerCache, CacheTimes};
use crate::cursor::CursorKey;
use crate::extract::SessionCookie;
use crate::forgetting::Forgetting;
use crate::response_budget::ResponseBudget;

/// How many request bodies of the largest size may be in memory at once; smaller ones weigh less.
const BODIES_IN_FLIGHT: usize = 16;

/// What the routes work on.
#[derive(Debug)]
pub struct ApiState {
    pub(crate) pipeline: Arc<Pipeline>,
    /// The ports that requests read, behind the gate.
    pub(crate) reads: ReadPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) access: Arc<AccessControl>,
    /// The audit log, behind the gate.
    pub(crate) audit: Gated<dyn AuditLog>,
    /// Where events are erased.
    pub(crate) erasures: Arc<dyn Erasures>,
    /// Whether somebody sees to what the catalog has to forget.
    pub(crate) forgetting: Forgetting,
    /// What the cookie of a session is called.
    pub(crate) cookie: SessionCookie,
    /// Who may read the server's own metrics.
    pub(crate) metrics_readers: MetricsReaders,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: AnswerCache,
    pub(crate) cursor_key: CursorKey,
    /// Memory of answers to reads that their readers have not received yet.
    pub(crate) response_budget: ResponseBudget,
    /// Memory of answers to writes: slow readers must not hinder a write.
    pub(crate) write_response_budget: ResponseBudget,
    /// Bytes of request bodies in memory, and whose they are.
    pub(crate) body_bytes: Arc<Shares>,
    /// Bytes of bodies of signed requests whose signature is not checked yet, by address: at most half of all.
    pub(crate) unproven_body_bytes: Arc<Shares>,
    /// Bytes of bodies with a reference table in memory; the gate bounds how many one tenant sends.
    pub(crate) table_bytes: Arc<Shares>,
}

/// Who may read the server's own metrics, besides its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsReaders {
    /// Everyone who reaches the server.
    Everyone,
    /// Who presents the token with this BLAKE3 hash, if there is one.
    Token(Option<[u8; 32]>),
}

/// What the state of a server is made of.
#[derive(Debug)]
pub struct ApiParts<'s> {
    /// The roles.
    pub pipeline: Arc<Pipeline>,
    /// The ports that requests read, behind the gate.
    pub reads: ReadPorts,
    /// The settings of all tenants.
    pub settings: Arc<Settings>,
    /// Who may do what.
    pub access: Arc<AccessControl>,
    /// Where events are erased.
    pub erasures: Arc<dyn Erasures>,
    /// Where metrics are counted.
    pub metrics: Arc<Metrics>,
    /// How long answers are given again.
    pub cache: CacheTimes,
    /// What the cookie of a session is called.
    pub cookie: SessionCookie,
    /// Who may read the server's own metrics.
    pub metrics_readers: MetricsReaders,
    /// The data folder's secret.
    pub secret: &'s [u8],
}

impl ApiState {
    /// The state of one server.
    pub fn new(parts: ApiParts<'_>) -> Arc<Self> {
        let ApiParts { pipeline, reads, settings, access, erasures, metrics, cache, cookie, metrics_readers, secret } =
            parts;
        let bytes = pipeline.limits().body_bytes_max.saturating_mul(BODIES_IN_FLIGHT);
        let (body_bytes, unproven_body_bytes) = (Shares::new(bytes as u64), Shares::new(bytes as u64 / 2));
        let table_bytes = Shares::first_come((REFERENCE_BODY_BYTES_MAX * REFERENCE_TEXTS_AT_ONCE_MAX) as u64);
        let cache = AnswerCache::new(cache, Arc::clone(&metrics));
        let audit = Gated::new(access.audit_log(), reads.limiter.clone());
        let erasures = Arc::new(Erasing::over(Arc::clone(&pipeline), erasures));
        Arc::new(Self {
            pipeline,
            reads,
            settings,
            access,
            audit,
            erasures,
            forgetting: Forgetting::default(),
            cookie,
            metrics_readers,
            metrics,
            cache,
            cursor_key: CursorKey::of_folder(secret),
            response_budget: ResponseBudget::default(),
            write_response_budget: ResponseBudget::default(),
            body_bytes,
            unproven_body_bytes,
            table_bytes,
        })
    }
}
