//! Recomputes every aggregate from the raw events and names each difference (I3): windows, hours,
//! totals, rollups, numbers and days of users, and the ids that dedup rests on (I2). Reads everything
//! once, in order; memory does not grow with the store, except by the rollups and the users.

mod recompute;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use domain::aggregate::Totals;
use domain::invariant::Invariant;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use parquet::errors::Result as ParquetResult;
use ports::PortError;

use crate::ledger::EmbeddedLedger;
use crate::memtable::Partial;
use crate::merge::{Sum, SumStream};
use crate::segment::corrupt;
use crate::segment::grain::Grain;

/// Something stored that raw events do not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The broken promise.
    pub invariant: Invariant,
    /// What differs, beginning with the tenant.
    pub subject: String,
    /// What the raw events give.
    pub expected: String,
    /// What is stored.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: expected {}, found {}", self.invariant, self.subject, self.expected, self.found)
    }
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifySummary {
    /// Raw events read.
    pub events: u64,
    /// Windows compared.
    pub windows: u64,
    /// Hours of customers compared.
    pub hours: u64,
    /// Customers compared.
    pub customers: u64,
    /// Hourly rollups compared.
    pub rollups: u64,
    /// Users whose numbers and names were compared.
    pub users: u64,
    /// Days of users compared: of all, of a project or of a type.
    pub user_days: u64,
    /// Differences found.
    pub differences: u64,
}

impl EmbeddedLedger {
    /// Flushes, then compares everything stored with what the raw events give. With retention, what
    /// lies before the floor can no longer be recomputed and is left out.
    ///
    /// # Errors
    /// When something cannot be read or flushed; differences are no errors.
    pub async fn verify(&self, on_difference: &mut dyn FnMut(&Difference)) -> Result<VerifySummary, PortError> {
        let _writer = self.core.writer.lock().await;
        self.core.flush_all().await?;
        let _merging = self.core.merging.lock().await;
        let snapshot = self.core.state.read().snapshot();
        let open = |grain| SumStream::open(&snapshot.segments, Some(grain));
        let streams = Grain::ALL.map(|grain| open(grain).map(|stream| Stored { stream, ahead: None }));
        let [totals, hours, windows] = streams;
        let streams = [totals, hours, windows].into_iter().collect::<ParquetResult<Vec<_>>>();
        let stored = streams.map_err(|why| corrupt("partial aggregates", why))?;
        let mut report = Report { floor: snapshot.retention_floor, summary: VerifySummary::default(), on_difference };
        let rule = self.core.identity.rule;
        let mut users = users::RawUsers::new(Arc::clone(&snapshot.zones));
        let (segments, hasher) = (&snapshot.segments, &self.core.hasher);
        let raw = recompute::Recompute::new(segments, hasher, rule, stored, &mut users, &mut report);
        let rollups = raw.run().map_err(|why| corrupt("segments", why))?;
        let tenants = self.core.names.lock().iter().map(|name| name.tenant.clone()).collect::<BTreeSet<TenantId>>();
        for tenant in tenants {
            let scope = TenantScope::for_operator(tenant);
            users.compare(&self.core, &scope, &mut report).await?;
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

/// What is stored of one grain, read along with what is recomputed.
struct Stored {
    stream: SumStream,
    ahead: Option<Sum>,
}

impl Stored {
    fn peek(&mut self) -> ParquetResult<Option<&Sum>> {
        if self.ahead.is_none() {
            self.ahead = self.stream.next_sum()?;
        }
        Ok(self.ahead.as_ref())
    }
}

/// Counts what is compared and hands out differences.
struct Report<'r> {
    floor: Timestamp,
    summary: VerifySummary,
    on_difference: &'r mut dyn FnMut(&Difference),
}

impl Report<'_> {
    fn differs(&mut self, invariant: Invariant, subject: String, expected: String, found: String) {
        self.summary.differences += 1;
        (self.on_difference)(&Difference { invariant, subject, expected, found });
    }

    /// Whether raw events still give this sum: what begins before the floor may have lost some.
    fn is_whole(&self, grain: Grain, start: Timestamp) -> bool {
        self.floor == Timestamp::MIN || (grain != Grain::Total && start >= self.floor)
    }

    /// Compares one recomputed sum with what is stored at its place.
    fn compare(&mut self, stored: &mut Stored, expected: &Sum) -> ParquetResult<()> {
        while stored.peek()?.is_some_and(|found| found.place() < expected.place()) {
            self.unexpected(stored.ahead.take());
        }
        if !self.is_whole(expected.grain, expected.partial.start) {
            stored.peek()?;
            stored.ahead.take_if(|found| found.place() == expected.place());
            return Ok(());
        }
        match expected.grain {
            Grain::Total => self.summary.customers += 1,
            Grain::Hour => self.summary.hours += 1,
            Grain::Window => self.summary.windows += 1,
        }
        stored.peek()?;
        match stored.ahead.take_if(|found| found.place() == expected.place()) {
            Some(found) if same(&found.partial, &expected.partial) => {}
            Some(found) => {
                self.differs(Invariant::OneTruth, name(expected), show(&expected.partial), show(&found.partial))
            }
            None => self.differs(Invariant::OneTruth, name(expected), show(&expected.partial), "nothing".into()),
        }
        Ok(())
    }

    /// What is stored and has no raw events.
    fn unexpected(&mut self, found: Option<Sum>) {
        if let Some(found) = found.filter(|found| self.is_whole(found.grain, found.partial.start)) {
            self.differs(Invariant::NoPhantom, name(&found), "nothing".into(), show(&found.partial));
        }
    }

    /// The sums per type are kept by days beside the hours: both must say the same, of all time.
    fn compare_type_sums(&mut self, tenant: &TenantId, hours: &[Rollup], found: Vec<(String, Totals)>) {
        let mut expected: BTreeMap<&str, Totals> = BTreeMap::new();
        for hour in hours {
            expected.entry(&hour.key.kind).or_default().merge(&hour.totals);
        }
        let found: BTreeMap<&str, Totals> = found.iter().map(|(kind, totals)| (kind.as_str(), *totals)).collect();
        for kind in expected.keys().chain(found.keys()).copied().collect::<BTreeSet<_>>() {
            let (expected, found) = (expected.get(kind), found.get(kind));
            if expected != found {
                let what = format!("tenant {tenant} type {kind:?}, days against hours");
                self.differs(Invariant::OneTruth, what, format!("{expected:?}"), format!("{found:?}"));
            }
        }
    }

    fn compare_rollups(
        &mut self,
        tenant: &TenantId,
        expected: &BTreeMap<RollupKey, Totals>,
        mut stored: BTreeMap<RollupKey, Totals>,
    ) {
        let floor = self.floor;
        for (key, totals) in expected.iter().filter(|(key, _)| key.tenant == *tenant && key.hour >= floor) {
            self.summary.rollups += 1;
            let found = stored.remove(key);
            if found != Some(*totals) {
                self.differs(Invariant::OneTruth, rollup_name(key), format!("{totals:?}"), format!("{found:?}"));
            }
        }
        for (key, totals) in stored.into_iter().filter(|(key, _)| key.hour >= floor) {
            self.differs(Invariant::NoPhantom, rollup_name(&key), "nothing".into(), format!("{totals:?}"));
        }
    }
}

fn same(found: &Partial, expected: &Partial) -> bool {
    found.aggregate == expected.aggregate
        && found.first_received == expected.first_received
        && found.last_received == expected.last_received
}

fn name(sum: &Sum) -> String {
    let grain = match sum.grain {
        Grain::Total => "total",
        Grain::Hour => "hour",
        Grain::Window => "window",
    };
    format!("tenant {} customer {:?} {grain} {}", sum.tenant, sum.customer, sum.partial.start)
}

fn rollup_name(key: &RollupKey) -> String {
    format!("tenant {} rollup of project {:?} type {:?} hour {}", key.tenant, key.project, key.kind, key.hour)
}

fn show(partial: &Partial) -> String {
    let aggregate = &partial.aggregate;
    format!("{:?} by endpoint {:?} by model {:?}", aggregate.totals, aggregate.by_endpoint, aggregate.by_model)
}
