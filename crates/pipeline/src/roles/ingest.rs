//! The role that takes events: requests become records of the journal, and receipts are answered. Runs
//! without a worker: what it takes is durable and waits in the journal, up to the limit of what may wait
//! there; then events are refused until a worker has applied some.

use std::sync::Arc;

use domain::payload::PayloadHasher;
use domain::request::RequestHasher;
use ports::encryption::Encryption;
use ports::journal::OrderedJournal;
use ports::receipts::Receipts as Fates;
use ports::reports::Reports;

use super::RoleContext;
use crate::gate::Gated;
use crate::ingest::{DecodedBodyBudget, Ingest};
use crate::receipts::ReceiptCodec;
use crate::settings::Settings;
use crate::stage::Journaling;

/// What taking events needs beside the ledger.
#[derive(Debug, Clone)]
pub struct IngestRole {
    /// Where accepted events become durable.
    pub journal: Arc<dyn OrderedJournal>,
    /// Answers which records are dead letters.
    pub reports: Gated<dyn Reports>,
    /// What a ledger that several processes share tells of records, whichever has applied them; without it receipts are
    /// answered from what this process remembers.
    pub fates: Option<Arc<dyn Fates>>,
    /// What the tenants have decided for themselves. A change of a zone that a crash has ended is made
    /// again from here on.
    pub settings: Arc<Settings>,
    /// What the tenants have encrypted of the properties of their events.
    pub encryption: Arc<dyn Encryption>,
    /// The secret key of the data folder, which receipts, names of requests and hashes of payloads are made with.
    pub key: [u8; 16],
}

impl IngestRole {
    pub(crate) fn start(self, context: &RoleContext) -> Ingest {
        let Self { journal, reports, fates, settings, encryption, key } = self;
        Ingest {
            journaling: Journaling {
                journal,
                clock: Arc::clone(&context.clock),
                metrics: Arc::clone(&context.metrics),
                failure: context.failure.clone(),
                backlog: context.applies.then(|| Arc::clone(&context.backlog)),
            },
            ledger: Arc::clone(&context.ledger),
            reports,
            fates,
            applies: context.applies,
            clock: Arc::clone(&context.clock),
            metrics: Arc::clone(&context.metrics),
            names: Arc::clone(&context.names),
            quotas: Arc::clone(settings.quotas()),
            settings,
            rate_limits: Arc::clone(&context.rate_limits),
            encryption,
            in_flight: Arc::clone(&context.in_flight),
            receipts: Arc::clone(&context.receipts),
            receipt_codec: ReceiptCodec::new(key),
            payload_hasher: PayloadHasher::new(&key),
            request_hasher: RequestHasher::new(&key),
            running_requests: Arc::default(),
            replay_until: context.replay_until,
            body_budget: DecodedBodyBudget::new(&context.limits),
            limits: context.limits.clone(),
        }
    }
}
