//! A number beside the number it must reach and the one it aims for.

use std::fmt::Write;

use serde::Serialize;

/// What a value counts, hence how it is written and which side is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Events per second; more is better.
    EventsPerSecond,
    /// Requests per second; more is better.
    RequestsPerSecond,
    /// Microseconds; less is better.
    Microseconds,
    /// KiB; less is better.
    Kib,
    /// Nanoseconds; less is better.
    Nanoseconds,
    /// Things per second; more is better.
    PerSecond,
    /// A ratio in thousandths; more is better.
    RatioKept,
    /// A ratio in thousandths; less is better.
    RatioSpent,
}

impl Unit {
    fn reaches(self, found: u64, bound: u64) -> bool {
        match self {
            Self::EventsPerSecond | Self::RequestsPerSecond | Self::PerSecond | Self::RatioKept => found >= bound,
            Self::Microseconds | Self::Kib | Self::Nanoseconds | Self::RatioSpent => found <= bound,
        }
    }

    fn write(self, value: u64) -> String {
        match self {
            Self::EventsPerSecond => format!("{} events/s", grouped(value)),
            Self::RequestsPerSecond => format!("{} req/s", grouped(value)),
            Self::Microseconds if value >= 1_000_000 => {
                format!("{}.{:02} s", value / 1_000_000, value % 1_000_000 / 10_000)
            }
            Self::Microseconds => format!("{}.{:02} ms", value / 1_000, value % 1_000 / 10),
            Self::Kib => format!("{} MiB", value.div_ceil(1_024)),
            Self::Nanoseconds => format!("{}.{:02} us", value / 1_000, value % 1_000 / 10),
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::RatioKept | Self::RatioSpent => format!("{}.{:03}", value / 1_000, value % 1_000),
        }
    }
}

/// How good a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
    /// It reaches the goal.
    Goal,
    /// It reaches the floor.
    Floor,
    /// It reaches neither.
    Missed,
    /// There is nothing to reach.
    None,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Goal => "yes, goal",
            Self::Floor => "yes",
            Self::Missed => "**no**",
            Self::None => "",
        }
    }
}

/// A measured value.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measure {
    name: String,
    unit: Unit,
    floor: Option<u64>,
    goal: Option<u64>,
    found: u64,
    grade: Grade,
}

impl Measure {
    /// A value that has to reach `floor` and should reach `goal`.
    pub(super) fn new(name: impl Into<String>, unit: Unit, (floor, goal): (u64, u64), found: u64) -> Self {
        let grade = if unit.reaches(found, goal) {
            Grade::Goal
        } else if unit.reaches(found, floor) {
            Grade::Floor
        } else {
            Grade::Missed
        };
        Self { name: name.into(), unit, floor: Some(floor), goal: Some(goal), found, grade }
    }

    /// A value that has to reach `bound`, with nothing beyond it to aim for.
    pub(super) fn bounded(name: impl Into<String>, unit: Unit, bound: u64, found: u64) -> Self {
        let grade = if unit.reaches(found, bound) { Grade::Floor } else { Grade::Missed };
        Self { name: name.into(), unit, floor: Some(bound), goal: None, found, grade }
    }

    /// A value without a floor or a goal.
    pub(super) fn unjudged(name: impl Into<String>, unit: Unit, found: u64) -> Self {
        Self { name: name.into(), unit, floor: None, goal: None, found, grade: Grade::None }
    }

    /// How good it is.
    #[cfg(test)]
    fn grade(&self) -> Grade {
        self.grade
    }
}

/// The measures as a table in Markdown.
pub(super) fn table(measures: &[Measure]) -> String {
    let mut text = String::from("| measure | floor | goal | found | ok |\n|---|---|---|---|---|");
    for Measure { name, unit, floor, goal, found, grade } in measures {
        let bound = |bound: &Option<u64>| bound.map(|bound| unit.write(bound)).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n| {name} | {} | {} | {} | {} |",
            bound(floor),
            bound(goal),
            unit.write(*found),
            grade.word()
        );
    }
    text
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_throughput_and_less_latency_are_better() {
        let grade = |unit, found| Measure::new("m", unit, (100, 200), found).grade();
        assert_eq!(
            [99, 100, 199, 200].map(|found| grade(Unit::EventsPerSecond, found)),
            [Grade::Missed, Grade::Floor, Grade::Floor, Grade::Goal]
        );
        let grade = |unit, found| Measure::new("m", unit, (200, 100), found).grade();
        assert_eq!(
            [201, 200, 101, 100].map(|found| grade(Unit::Kib, found)),
            [Grade::Missed, Grade::Floor, Grade::Floor, Grade::Goal]
        );
    }

    #[test]
    fn the_table_reads_as_it_is_printed_in_the_documents() {
        let measures = [
            Measure::new("ingest", Unit::EventsPerSecond, (150_000, 400_000), 234_567),
            Measure::new("ack p99", Unit::Microseconds, (20_000, 5_000), 20_010),
            Measure::new("restart", Unit::Microseconds, (10_000_000, 2_000_000), 1_204_000),
            Measure::unjudged("memory", Unit::Kib, 1_025),
            Measure::bounded("kept", Unit::RatioKept, 970, 969),
            Measure::bounded("spent", Unit::RatioSpent, 1_500, 1_042),
            Measure::unjudged("token", Unit::Nanoseconds, 1_239),
        ];
        assert_eq!(
            table(&measures),
            "| measure | floor | goal | found | ok |\n\
             |---|---|---|---|---|\n\
             | ingest | 150,000 events/s | 400,000 events/s | 234,567 events/s | yes |\n\
             | ack p99 | 20.00 ms | 5.00 ms | 20.01 ms | **no** |\n\
             | restart | 10.00 s | 2.00 s | 1.20 s | yes, goal |\n\
             | memory |  |  | 2 MiB |  |\n\
             | kept | 0.970 |  | 0.969 | **no** |\n\
             | spent | 1.500 |  | 1.042 | yes |\n\
             | token |  |  | 1.23 us |  |"
        );
    }
}
