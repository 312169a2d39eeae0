//! What two builds measured, side by side: values pair by pair, the ratio B/A with its interval, and
//! whether a bound is broken. Pure.

use std::fmt::Write;

use anyhow::ensure;
use serde::Serialize;

use super::interval::{Interval, median};

/// What a value is, hence which side is worse, which bound holds, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Quantity {
    /// Events or rows per second; less is worse.
    PerSecond,
    /// Processor time in microseconds for one event or row.
    ProcessorUs,
    /// Latency in microseconds that half of the requests do not exceed.
    P50Us,
    /// Latency in microseconds that 99 of 100 requests do not exceed.
    P99Us,
    /// The most resident memory, in KiB.
    PeakKib,
}

impl Quantity {
    fn write(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::ProcessorUs => format!("{value:.2} us"),
            Self::P50Us | Self::P99Us => format!("{:.3} ms", value / 1_000.0),
            Self::PeakKib => format!("{:.1} MiB", value / 1_024.0),
        }
    }
}

/// By how much B may be worse than A, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Bounds {
    /// Throughput.
    pub(crate) throughput_pct: f64,
    /// Processor time.
    pub(crate) processor_pct: f64,
    /// Median latency.
    pub(crate) p50_pct: f64,
    /// The latency of the slowest hundredth.
    pub(crate) p99_pct: f64,
    /// Peak memory.
    pub(crate) memory_pct: f64,
}

impl Bounds {
    fn pct(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::PerSecond => self.throughput_pct,
            Quantity::ProcessorUs => self.processor_pct,
            Quantity::P50Us => self.p50_pct,
            Quantity::P99Us => self.p99_pct,
            Quantity::PeakKib => self.memory_pct,
        }
    }

    /// The ratio B/A at which the bound lies.
    fn limit(&self, quantity: Quantity) -> f64 {
        let part = self.pct(quantity) / 100.0;
        if quantity == Quantity::PerSecond { 1.0 - part } else { 1.0 + part }
    }

    /// A bound is broken when the whole interval lies beyond it.
    fn judge(&self, quantity: Quantity, interval: Option<Interval>) -> Verdict {
        let Some(interval) = interval else { return Verdict::TooFewPairs };
        let limit = self.limit(quantity);
        let is_beyond = if quantity == Quantity::PerSecond { interval.high < limit } else { interval.low > limit };
        if is_beyond { Verdict::Broken } else { Verdict::Held }
    }
}

/// What a comparison says about one measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The interval reaches to the bound or better.
    Held,
    /// The whole interval is worse than the bound.
    Broken,
    /// There is no interval.
    TooFewPairs,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "**broken**",
            Self::TooFewPairs => "too few pairs",
        }
    }
}

/// One value of a run; `None` when the system does not tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// The measure.
    pub(super) measure: String,
    /// What it is.
    pub(super) quantity: Quantity,
    /// How much.
    pub(super) value: Option<f64>,
}

impl Value {
    /// A value of `measure`.
    pub(super) fn new(measure: impl Into<String>, quantity: Quantity, value: Option<f64>) -> Self {
        Self { measure: measure.into(), quantity, value }
    }
}

/// All pairs of one measure.
#[derive(Debug)]
struct Series {
    measure: String,
    quantity: Quantity,
    pairs: Vec<(f64, f64)>,
}

/// All measures, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    series: Vec<Series>,
}

impl Comparison {
    /// Adds one run of each build. A measure that one of both lacks, or that is zero, is left out.
    pub(super) fn add(&mut self, a: &[Value], b: &[Value]) {
        for Value { measure, quantity, value } in a {
            let of_b = b.iter().find(|other| other.measure == *measure).and_then(|other| other.value);
            let (Some(a), Some(b)) = (*value, of_b) else { continue };
            if a <= 0.0 || b <= 0.0 {
                continue;
            }
            match self.series.iter_mut().find(|series| series.measure == *measure) {
                Some(series) => series.pairs.push((a, b)),
                None => {
                    let pairs = vec![(a, b)];
                    self.series.push(Series { measure: measure.clone(), quantity: *quantity, pairs });
                }
            }
        }
    }

    /// One row for each measure.
    pub(super) fn rows(&self, bounds: &Bounds) -> Vec<Row> {
        self.series.iter().filter_map(|series| Row::of(series, bounds)).collect()
    }
}

/// The comparison of one measure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    measure: String,
    quantity: Quantity,
    a_median: f64,
    b_median: f64,
    /// B/A, pair by pair.
    ratios: Vec<f64>,
    /// The median of the ratios.
    ratio: f64,
    interval: Option<Interval>,
    /// The ratio at which the bound lies.
    bound: f64,
    verdict: Verdict,
}

impl Row {
    fn of(series: &Series, bounds: &Bounds) -> Option<Self> {
        let sorted = |values: &mut dyn Iterator<Item = f64>| {
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let Series { measure, quantity, pairs } = series;
        let ratios: Vec<f64> = pairs.iter().map(|(a, b)| b / a).collect();
        let in_order = sorted(&mut ratios.iter().copied());
        let interval = Interval::of(&in_order);
        Some(Self {
            measure: measure.clone(),
            quantity: *quantity,
            a_median: median(&sorted(&mut pairs.iter().map(|(a, _)| *a)))?,
            b_median: median(&sorted(&mut pairs.iter().map(|(_, b)| *b)))?,
            ratio: median(&in_order)?,
            ratios,
            interval,
            bound: bounds.limit(*quantity),
            verdict: bounds.judge(*quantity, interval),
        })
    }
}

/// What the whole comparison comes to.
///
/// # Errors
/// When a bound is broken; the message names each such measure.
pub(super) fn conclude(rows: &[Row]) -> anyhow::Result<()> {
    let broken: Vec<&str> =
        rows.iter().filter(|row| row.verdict == Verdict::Broken).map(|row| row.measure.as_str()).collect();
    ensure!(broken.is_empty(), "B breaks its bounds: {}", broken.join("; "));
    Ok(())
}

/// The rows as a table in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| measure | A, median | B, median | B/A, median | interval | bound | verdict |\n|---|---|---|---|---|---|---|",
    );
    for Row { measure, quantity, a_median, b_median, ratio, interval, bound, verdict, .. } in rows {
        let interval = interval.map_or_else(String::new, |Interval { low, high, coverage }| {
            format!("{low:.3} to {high:.3} ({:.0} %)", coverage * 100.0)
        });
        let side = if *quantity == Quantity::PerSecond { '≥' } else { '≤' };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n| {measure} | {} | {} | {ratio:.3} | {interval} | {side} {bound:.3} | {} |",
            quantity.write(*a_median),
            quantity.write(*b_median),
            verdict.word()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { throughput_pct: 3.0, processor_pct: 3.0, p50_pct: 5.0, p99_pct: 25.0, memory_pct: 5.0 };

    /// The verdicts on five pairs whose ratios B/A spread from `low` to `high`.
    fn verdict(quantity: Quantity, low: f64, high: f64) -> Verdict {
        let mut comparison = Comparison::default();
        for step in 0..5 {
            let ratio = low + (high - low) * f64::from(step) / 4.0;
            let value = |value| [Value::new("m", quantity, Some(value))];
            comparison.add(&value(10.0), &value(10.0 * ratio));
        }
        let rows = comparison.rows(&BOUNDS);
        assert_eq!(rows.len(), 1);
        let conclusion = conclude(&rows).map_err(|why| why.to_string());
        let broken = (rows[0].verdict == Verdict::Broken).then(|| "B breaks its bounds: m".to_owned());
        assert_eq!(conclusion.err(), broken);
        rows[0].verdict
    }

    #[test]
    fn a_bound_is_broken_only_when_the_whole_interval_lies_beyond_it() {
        for (quantity, limit) in
            [(Quantity::ProcessorUs, 1.03), (Quantity::P50Us, 1.05), (Quantity::P99Us, 1.25), (Quantity::PeakKib, 1.05)]
        {
            assert_eq!(verdict(quantity, limit + 0.001, limit + 0.2), Verdict::Broken, "{quantity:?}");
            assert_eq!(verdict(quantity, limit - 0.001, limit + 0.2), Verdict::Held, "{quantity:?}");
            assert_eq!(verdict(quantity, 0.5, 0.6), Verdict::Held, "{quantity:?}: better is never broken");
        }
    }

    #[test]
    fn less_throughput_is_worse() {
        assert_eq!(verdict(Quantity::PerSecond, 0.5, 0.969), Verdict::Broken);
        assert_eq!(verdict(Quantity::PerSecond, 0.5, 0.971), Verdict::Held);
        assert_eq!(verdict(Quantity::PerSecond, 1.1, 2.0), Verdict::Held);
    }

    #[test]
    fn fewer_than_five_pairs_decide_nothing() {
        let mut comparison = Comparison::default();
        for _ in 0..4 {
            let value = |value| [Value::new("m", Quantity::P50Us, Some(value))];
            comparison.add(&value(1.0), &value(100.0));
        }
        assert_eq!(comparison.rows(&BOUNDS)[0].verdict, Verdict::TooFewPairs);
    }

    #[test]
    fn a_value_that_one_build_lacks_is_left_out() {
        let mut comparison = Comparison::default();
        let value = |value| [Value::new("m", Quantity::PeakKib, value)];
        comparison.add(&value(None), &value(Some(1.0)));
        comparison.add(&value(Some(1.0)), &value(None));
        comparison.add(&value(Some(0.0)), &value(Some(1.0)));
        assert!(comparison.rows(&BOUNDS).is_empty());
    }

    #[test]
    fn the_table_says_medians_ratio_interval_bound_and_verdict() {
        let mut comparison = Comparison::default();
        for (a, b) in [(100.0, 90.0), (200.0, 180.0), (300.0, 270.0), (400.0, 360.0), (500.0, 450.0)] {
            let value = |value| [Value::new("ingest", Quantity::PerSecond, Some(value))];
            comparison.add(&value(a), &value(b));
        }
        assert_eq!(
            table(&comparison.rows(&BOUNDS)),
            "| measure | A, median | B, median | B/A, median | interval | bound | verdict |\n\
             |---|---|---|---|---|---|---|\n\
             | ingest | 300/s | 270/s | 0.900 | 0.900 to 0.900 (94 %) | ≥ 0.970 | **broken** |"
        );
    }
}
