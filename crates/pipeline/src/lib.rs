//! The roles of a process: [`Ingest`] takes events, the worker has them counted and windows closed, the
//! live view shows what is recent; the gate admits what requests read. Runs over the ports alone and knows
//! neither HTTP nor any adapter. The decisions in [`inflight`], [`applying`] and [`closing`] are public,
//! since the simulation runs them too.

mod rate_limits;
pub mod shares;
pub mod ingest;
mod stage;
pub mod inflight;
mod running_requests;
mod trusted_clock;
mod names;
mod audited;
pub mod quotas;
pub mod settings;
pub mod applying;
mod worker;
pub mod closing;
mod closer;
mod references;
mod live;
pub mod receipts;
pub mod telemetry;
mod failure;
mod stop;
pub mod gate;
mod roles;
mod pipeline;
pub mod erasing;

pub use wire::is_read_property;

pub use erasing::Erasing;
pub use gate::{FairLimiter, FairPermit, Gated, ReadPorts, WorkClass};
pub use ingest::{EventResult, Ingest, IngestAnswer, IngestError, IngestRequest, NOT_TAKEN};
pub use ingest::{LoadBatch, LoadedBatch, LoadedDurably, LoadedOutcome, Loader};
pub use ingest::{PAYLOAD_MISMATCH, Status, WarningSum};
pub use live::{LiveMessage, LiveStream, LiveView, StreamEnd, StreamRefusal};
pub use pipeline::{Pipeline, PipelineParts, ReadinessCheck};
pub use quotas::{QuotaError, QuotaState, Quotas};
pub use rate_limits::{EventCharge, RateLimits, RateRefusal, RateStanding};
pub use receipts::ReceiptState;
pub use references::{ReferenceTables, TableChange, TableError};
pub use roles::{IngestRole, LiveRole, WorkerRole};
pub use settings::{Settings, SettingsChange, SettingsError};
pub use telemetry::Metrics;
pub use trusted_clock::TrustedClock;
