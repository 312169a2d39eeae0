//! What the routes work on: the pipeline, the keys, and the limits on memory and concurrency that all
//! requests share. Answers nothing itself.

use std::sync::Arc;

use domain::limits::{
    REFERENCE_BODY_BYTES_MAX, REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX,
    REFERENCE_READS_AT_ONCE_MAX, REFERENCE_READS_OF_TENANT_MAX, STATISTICS_AT_ONCE_MAX, STATISTICS_OF_TENANT_MAX,
};
use domain::tenant::Keyring;
use pipeline::{Metrics, Pipeline};
use ports::fair::FairLimiter;
use tokio::sync::Semaphore;

use crate::cache::{AnswerCache, CacheTimes};
use crate::response_budget::ResponseBudget;

/// How many request bodies of the largest size may be in memory at once; smaller ones weigh less.
const BODIES_IN_FLIGHT: usize = 16;
/// How many bodies that hold a reference table may be in memory at once.
const TABLES_IN_FLIGHT: usize = 4;

/// What the routes work on.
#[derive(Debug)]
pub struct ApiState {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) keyring: Keyring,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: AnswerCache,
    /// Memory of answers to reads that their readers have not received yet.
    pub(crate) response_budget: ResponseBudget,
    /// Memory of answers to writes: slow readers must not hinder a write.
    pub(crate) write_response_budget: ResponseBudget,
    /// Bytes of request bodies that may still be read into memory.
    pub(crate) body_bytes: Arc<Semaphore>,
    /// Bytes of bodies with a reference table that may still be read into memory.
    pub(crate) table_bytes: Arc<Semaphore>,
    /// Limits the texts of reference tables, from their first byte on.
    pub(crate) table_texts: FairLimiter,
    /// Limits the changes of reference tables, from their text on.
    pub(crate) table_changes: FairLimiter,
    /// Limits the answers that hold a whole reference table.
    pub(crate) table_reads: FairLimiter,
    /// Limits the questions about the users of days.
    pub(crate) statistics: FairLimiter,
}

impl ApiState {
    /// The state of one server, which gives answers again for the times of `cache`.
    pub fn new(pipeline: Arc<Pipeline>, keyring: Keyring, metrics: Arc<Metrics>, cache: CacheTimes) -> Arc<Self> {
        let bytes = pipeline.limits().body_bytes_max.saturating_mul(BODIES_IN_FLIGHT);
        let body_bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let table_bytes = Arc::new(Semaphore::new(REFERENCE_BODY_BYTES_MAX * TABLES_IN_FLIGHT));
        let cache = AnswerCache::new(cache, Arc::clone(&metrics));
        let table_changes = FairLimiter::new(REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX);
        let table_reads = FairLimiter::new(REFERENCE_READS_AT_ONCE_MAX, REFERENCE_READS_OF_TENANT_MAX);
        let statistics = FairLimiter::new(STATISTICS_AT_ONCE_MAX, STATISTICS_OF_TENANT_MAX);
        Arc::new(Self {
            pipeline,
            keyring,
            metrics,
            cache,
            response_budget: ResponseBudget::default(),
            write_response_budget: ResponseBudget::default(),
            body_bytes,
            table_bytes,
            table_texts: FairLimiter::new(TABLES_IN_FLIGHT, TABLES_IN_FLIGHT / 2),
            table_changes,
            table_reads,
            statistics,
        })
    }
}
