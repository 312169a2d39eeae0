//! The role that keeps the live view: counts the recent past again at the start, answers windows and
//! streams of them, announces windows that close or are revised, and keeps the reference tables. The
//! rebuild and announcements need no permit of the gate; each window does, whether one request asks for it
//! or a stream sends it.

use std::sync::Arc;

use ports::catalog::Catalog;
use ports::live::Live;
use ports::references::References;
use ports::reports::Reports;

use super::RoleContext;
use crate::gate::Gated;
use crate::live::{Announcer, LiveParts, LiveStatus, LiveView, Rebuild};
use crate::references::ReferenceTables;

/// What the live view needs beside the ledger.
#[derive(Debug, Clone)]
pub struct LiveRole {
    /// Where recent events are counted.
    pub live: Arc<dyn Live>,
    /// Answers what was counted before the start, and what windows are. Not behind the gate.
    pub reports: Arc<dyn Reports>,
    /// Who the tenants are.
    pub catalog: Arc<dyn Catalog>,
    /// Where reference tables are kept.
    pub references: Arc<dyn References>,
}

/// The running live view.
#[derive(Debug)]
pub(crate) struct RunningLive {
    pub(crate) view: LiveView,
    pub(crate) tables: ReferenceTables,
    pub(crate) status: Arc<LiveStatus>,
}

impl LiveRole {
    pub(crate) fn start(self, context: &RoleContext) -> RunningLive {
        let Self { live, reports, catalog, references } = self;
        let status = Arc::<LiveStatus>::default();
        let tables = ReferenceTables::new(references, Arc::clone(&live), Arc::clone(&context.clock));
        let rebuild = Rebuild {
            live: Arc::clone(&live),
            reports: Arc::clone(&reports),
            catalog,
            clock: Arc::clone(&context.clock),
            tables: tables.clone(),
            status: Arc::clone(&status),
            applied: context.applied_at_start,
            future_us_max: context.limits.future_us_max,
        };
        tokio::spawn(rebuild.run(context.stop.signal()));
        let announcer = Announcer {
            announcements: Arc::clone(&context.announcements),
            reports,
            clock: Arc::clone(&context.clock),
            receipts: Arc::clone(&context.receipts),
            replay_until: context.replay_until,
        };
        tokio::spawn(announcer.run(context.stop.signal()));
        let view = LiveView::new(LiveParts {
            live: Arc::new(Gated::new(live, context.limiter.clone())),
            clock: Arc::clone(&context.clock),
            receipts: Arc::clone(&context.receipts),
            replay_until: context.replay_until,
            status: Arc::clone(&status),
            announcements: Arc::clone(&context.announcements),
            stop: context.stop.signal(),
        });
        RunningLive { view, tables, status }
    }
}
