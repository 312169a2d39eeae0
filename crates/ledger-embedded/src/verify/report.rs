//! What verification compares, counts and reports: recomputed sums against stored ones, key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::aggregate::Totals;
use domain::invariant::Invariant;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use parquet::errors::Result as ParquetResult;
use ports::verification::{Difference, VerifySummary};

use crate::memtable::Partial;
use crate::merge::{Sum, SumStream};
use crate::segment::grain::Grain;
use crate::state::Floors;

/// What is stored of one grain, read along with what is recomputed.
pub(super) struct Stored {
    pub(super) stream: SumStream,
    pub(super) ahead: Option<Sum>,
}

impl Stored {
    pub(super) fn peek(&mut self) -> ParquetResult<Option<&Sum>> {
        if self.ahead.is_none() {
            self.ahead = self.stream.next_sum()?;
        }
        Ok(self.ahead.as_ref())
    }
}

/// Counts what is compared and hands out differences.
pub(super) struct Report<'r> {
    pub(super) floors: Arc<Floors>,
    pub(super) summary: VerifySummary,
    /// Events of tenants that may have lost some, by the totals that are stored.
    pub(super) summed: u64,
    /// Whether it is known how many ids there are to be. Where retention has dropped events and an erasure what was summed
    /// of them, their ids are left, and are nobody's.
    pub(super) counts_ids: bool,
    pub(super) on_difference: &'r mut dyn FnMut(&Difference),
}

impl Report<'_> {
    pub(super) fn differs(&mut self, invariant: Invariant, subject: String, expected: String, found: String) {
        self.summary.differences += 1;
        (self.on_difference)(&Difference { invariant, subject, expected, found });
    }

    /// Whether raw events still give this sum: what begins before the floor may have lost some.
    fn is_whole(&self, sum: &Sum) -> bool {
        let floor = TenantId::parse(&sum.tenant).map_or(self.floors.server, |tenant| self.floors.of(&tenant));
        floor == Timestamp::MIN || (sum.grain != Grain::Total && sum.partial.start >= floor)
    }

    /// Compares one recomputed sum with the stored one of its key.
    pub(super) fn compare(&mut self, stored: &mut Stored, expected: &Sum) -> ParquetResult<()> {
        while stored.peek()?.is_some_and(|found| found.key_in_grain() < expected.key_in_grain()) {
            self.unexpected(stored.ahead.take());
        }
        if !self.is_whole(expected) {
            stored.peek()?;
            let found = stored.ahead.take_if(|found| found.key_in_grain() == expected.key_in_grain());
            self.not_compared(found.as_ref());
            return Ok(());
        }
        match expected.grain {
            Grain::Total => self.summary.customers += 1,
            Grain::Hour => self.summary.hours += 1,
            Grain::Window => self.summary.windows += 1,
        }
        stored.peek()?;
        match stored.ahead.take_if(|found| found.key_in_grain() == expected.key_in_grain()) {
            Some(found) if same(&found.partial, &expected.partial) => {}
            Some(found) => {
                self.differs(Invariant::OneTruth, name(expected), show(&expected.partial), show(&found.partial))
            }
            None => self.differs(Invariant::OneTruth, name(expected), show(&expected.partial), "nothing".into()),
        }
        Ok(())
    }

    /// What is stored and has no raw events.
    pub(super) fn unexpected(&mut self, found: Option<Sum>) {
        match found {
            Some(found) if self.is_whole(&found) => {
                self.differs(Invariant::NoPhantom, name(&found), "nothing".into(), show(&found.partial));
            }
            found => self.not_compared(found.as_ref()),
        }
    }

    /// Notes what is stored and cannot be recomputed.
    fn not_compared(&mut self, found: Option<&Sum>) {
        let total = found.filter(|found| found.grain == Grain::Total);
        self.summed += total.map_or(0, |total| total.partial.aggregate.totals.calls);
    }

    /// The sums per type are kept by days beside the hours: both must say the same, of all time.
    pub(super) fn compare_type_sums(&mut self, tenant: &TenantId, hours: &[Rollup], found: Vec<(String, Totals)>) {
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

    /// Residuals count as many events as erasures have removed.
    pub(super) fn compare_erased(&mut self, tenant: &TenantId, expected: u64, found: &BTreeMap<TenantId, u64>) {
        let found = found.get(tenant).copied().unwrap_or(0);
        if found != expected {
            let subject = format!("tenant {tenant} events in residuals");
            self.differs(Invariant::OneTruth, subject, expected.to_string(), found.to_string());
        }
    }

    pub(super) fn compare_rollups(
        &mut self,
        tenant: &TenantId,
        expected: &BTreeMap<RollupKey, Totals>,
        mut stored: BTreeMap<RollupKey, Totals>,
    ) {
        let floor = self.floors.of(tenant);
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
