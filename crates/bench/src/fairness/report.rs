//! What `nilometer bench fairness` found, as text and as measures with their bounds.

use std::fmt;

use serde::Serialize;

use super::flood::Answers;
use crate::auth::{Compared, KeyLoad};
use crate::latency::millis;
use crate::measure::{Measure, Unit, table};

/// Throughput with limits and quotas against that without, in thousandths.
const KEPT_WITH_LIMITS: u64 = 950;
/// What the quiet workspace may wait whatever it waits alone, in microseconds.
const P99_US_FREE: u64 = 20_000;
/// How many times what it waits alone it may wait beside a flood.
const P99_TIMES: u64 = 2;

/// A run of the quiet workspace.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct QuietRun {
    /// From the instant a request was due to its acknowledgement.
    pub(super) p50_us: u64,
    /// From the instant a request was due to its acknowledgement, for 99 in 100 of them.
    pub(super) p99_us: u64,
    /// From the acknowledgement to visibility.
    pub(super) visible_p99_us: Option<u64>,
    /// Requests that were refused and sent again.
    pub(super) refused: u64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FairnessReport {
    /// Batches without limits and quotas, and with them.
    pub(super) batches: KeyLoad,
    /// Single events without limits and quotas, and with them.
    pub(super) singles: KeyLoad,
    /// Events a second of the quiet workspace.
    pub(super) quiet_rate: u64,
    /// The limit of each workspace, in events a second.
    pub(super) limit: u64,
    /// The quiet workspace alone.
    pub(super) alone: Vec<QuietRun>,
    /// The quiet workspace beside the flood.
    pub(super) beside: Vec<QuietRun>,
    /// How the flood was answered.
    pub(super) flood: Answers,
}

impl FairnessReport {
    /// The numbers of the report, with their bounds.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let kept = |name: &str, compared: &Compared| {
            Measure::bounded(name, Unit::RatioKept, KEPT_WITH_LIMITS, compared.kept_thousandths())
        };
        let alone_us = median(&self.alone, |run| run.p99_us);
        let bound_us = (P99_TIMES * alone_us).max(P99_US_FREE);
        let unit = Unit::Microseconds;
        vec![
            kept("ingest in batches with limits and quotas, of that without", &self.batches.throughput),
            kept("single events with limits and quotas, of those without", &self.singles.throughput),
            Measure::unjudged("a quiet workspace alone, acknowledgement, p99", unit, alone_us),
            Measure::bounded(
                "the same beside a flood at 50 times its limit",
                unit,
                bound_us,
                median(&self.beside, |run| run.p99_us),
            ),
            Measure::unjudged(
                "the same, accepted to visible, p99",
                unit,
                median(&self.beside, |run| run.visible_p99_us.unwrap_or(0)),
            ),
        ]
    }
}

/// The median of a number of the runs; of an even number of runs the higher one of the two in the middle.
fn median(runs: &[QuietRun], of: fn(&QuietRun) -> u64) -> u64 {
    let mut values: Vec<u64> = runs.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

impl fmt::Display for FairnessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, singles, quiet_rate, limit, alone, beside, flood } = self;
        writeln!(f)?;
        for (name, KeyLoad { throughput, .. }) in [("batches", batches), ("singles", singles)] {
            let Compared { first, second, .. } = throughput;
            writeln!(
                f,
                "{name:<11} {first:.0} events/s without limits and quotas, {second:.0} with them: {throughput}"
            )?;
        }
        writeln!(f, "quiet       {quiet_rate} events/s; the limit is {limit} events/s")?;
        for (name, runs) in [("alone", alone), ("beside", beside)] {
            let p99: Vec<_> = runs.iter().map(|run| millis(run.p99_us)).collect();
            let refused: u64 = runs.iter().map(|run| run.refused).sum();
            writeln!(f, "{name:<11} p99 {}; refused {refused}", p99.join(", "))?;
        }
        let Answers { taken, limited, busy, seconds } = flood;
        writeln!(f, "flood       {} requests in {seconds:.1} s: 202 {taken}, 429 {limited}, 503 {busy}", flood.all())?;
        write!(f, "\n{}", table(&self.measures()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_the_runs() {
        let run = |p99_us| QuietRun { p50_us: 0, p99_us, visible_p99_us: None, refused: 0 };
        let runs = [9, 1, 5, 700, 3].map(run);
        assert_eq!(median(&runs, |run| run.p99_us), 5);
        assert_eq!(median(&[], |run| run.p99_us), 0);
    }
}
