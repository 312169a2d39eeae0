//! Recomputes every aggregate from the raw events and names each difference (I3): windows, hours,
//! totals, rollups, numbers and days of users, and the ids that dedup rests on (I2). Reads everything
//! once, in order; memory does not grow with the store, except by the rollups and the users.

mod report;
mod received;
mod users;
mod recompute;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::erasure::SubjectKind;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use parquet::errors::Result as ParquetResult;
use ports::PortError;
use ports::verification::{Difference, VerifySummary};

use crate::ledger::EmbeddedLedger;
use crate::merge::SumStream;
use crate::segment::corrupt;
use crate::segment::grain::Grain;
use report::{Report, Stored};

impl EmbeddedLedger {
    /// Flushes, then compares everything stored with what the raw events give. With retention, what
    /// lies before the floor can no longer be recomputed and is left out.
    ///
    /// # Errors
    /// When something cannot be read or flushed; differences are no errors.
    pub async fn verify(&self, on_difference: &mut dyn FnMut(&Difference)) -> Result<VerifySummary, PortError> {
        // What is begun to be erased is neither whole nor gone.
        self.core.erase_due().await?;
        let _writer = self.core.writer.lock().await;
        self.core.flush_all().await?;
        let _merging = self.core.merging.lock().await;
        let snapshot = self.core.state.read().snapshot();
        let open = |grain| SumStream::open(&snapshot.segments, Some(grain));
        let streams = Grain::ALL.map(|grain| open(grain).map(|stream| Stored { stream, ahead: None }));
        let [totals, hours, windows] = streams;
        let streams = [totals, hours, windows].into_iter().collect::<ParquetResult<Vec<_>>>();
        let stored = streams.map_err(|why| corrupt("partial aggregates", why))?;
        let erasures = Arc::clone(&snapshot.erasures);
        let mut report = Report {
            floors: Arc::clone(&snapshot.floors),
            summary: VerifySummary::default(),
            summed: 0,
            counts_ids: !erasures.all().any(|stored| {
                stored.erasure.kind == SubjectKind::Workspace || snapshot.floors.of(&stored.tenant) > Timestamp::MIN
            }),
            on_difference,
        };
        let rule = self.core.identity.rule;
        let mut users = users::RawUsers::new(Arc::clone(&snapshot.zones));
        let metered = Arc::clone(&self.core.state.read().metered);
        let mut received = received::RawReceived::new(self.core.received_after, metered);
        let (segments, hasher) = (&snapshot.segments, &self.core.hasher);
        let raw = recompute::Recompute::new(segments, hasher, rule, stored, (&mut users, &mut received), &mut report);
        let recompute::Recomputed { rollups, erased } = raw.run().map_err(|why| corrupt("segments", why))?;
        let tenants = self.core.names.lock().iter().map(|name| name.tenant.clone()).collect::<BTreeSet<TenantId>>();
        for tenant in tenants {
            let scope = TenantScope::for_operator(tenant);
            let of = || erasures.of(scope.tenant()).filter(|stored| stored.erasure.kind != SubjectKind::Workspace);
            let gone = of().map(|stored| stored.erasure.gone.events).sum();
            report.compare_erased(scope.tenant(), gone, &erased);
            users.compare(&self.core, &scope, of().next().is_some(), &mut report).await?;
            received.compare(&self.core, &scope, gone > 0, &mut report).await?;
            let stored = self.core.manifest.rollups(&scope, TimeRange::ALL).await?.1;
            let by_type = self.core.manifest.type_sums(&scope, TimeRange::ALL, None).await?.1;
            report.compare_type_sums(scope.tenant(), &stored, by_type);
            report.compare_rollups(
                scope.tenant(),
                &rollups,
                stored.into_iter().map(|one| (one.key, one.totals)).collect(),
            );
        }
        Ok(report.summary)
    }
}
