//! What the routes work on: the pipeline, the keys, and the limits on memory and concurrency that all
//! requests share. Answers nothing itself.

use std::sync::Arc;

use domain::limits::{REFERENCE_BODY_BYTES_MAX, REFERENCE_TEXTS_AT_ONCE_MAX};
use domain::tenant::Keyring;
use pipeline::{Metrics, Pipeline, ReadPorts, Settings};
use tokio::sync::Semaphore;

use crate::cache::{AnswerCache, CacheTimes};
use crate::cursor::CursorKey;
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
    pub(crate) keyring: Keyring,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: AnswerCache,
    pub(crate) cursor_key: CursorKey,
    /// Memory of answers to reads that their readers have not received yet.
    pub(crate) response_budget: ResponseBudget,
    /// Memory of answers to writes: slow readers must not hinder a write.
    pub(crate) write_response_budget: ResponseBudget,
    /// Bytes of request bodies that may still be read into memory.
    pub(crate) body_bytes: Arc<Semaphore>,
    /// Bytes of bodies with a reference table that may still be read into memory.
    pub(crate) table_bytes: Arc<Semaphore>,
}

impl ApiState {
    /// The state of one server, which gives answers again for the times of `cache`. `secret` is the data folder's.
    pub fn new(
        pipeline: Arc<Pipeline>,
        reads: ReadPorts,
        settings: Arc<Settings>,
        keyring: Keyring,
        metrics: Arc<Metrics>,
        cache: CacheTimes,
        secret: &[u8],
    ) -> Arc<Self> {
        let bytes = pipeline.limits().body_bytes_max.saturating_mul(BODIES_IN_FLIGHT);
        let body_bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let table_bytes = Arc::new(Semaphore::new(REFERENCE_BODY_BYTES_MAX * REFERENCE_TEXTS_AT_ONCE_MAX));
        let cache = AnswerCache::new(cache, Arc::clone(&metrics));
        Arc::new(Self {
            pipeline,
            reads,
            settings,
            keyring,
            metrics,
            cache,
            cursor_key: CursorKey::of_folder(secret),
            response_budget: ResponseBudget::default(),
            write_response_budget: ResponseBudget::default(),
            body_bytes,
            table_bytes,
        })
    }
}
