//! The columns that a query works on, each computed from the stored ones: a field, the bucket of an
//! event's time, a property read in one of its ways. What a bucket is decides `domain::calendar`
//! alone.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Builder, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use domain::calendar::{Calendar, Interval};
use domain::encryption::Lens;
use domain::query::{Field, Kind, PropertyPath, json};
use domain::time::{MICROS_PER_SECOND, Timestamp};

use super::numbers::{self, BITS};

/// How a property is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The text of a scalar.
    Text,
    /// A number, and what else is there: see [`numbers::read`].
    Number,
    /// The rank of a number among all.
    Rank,
    /// `true` where there is anything but null, else absent.
    Presence,
}

/// A column computed from stored ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Derived {
    /// The start of the bucket that the event's time lies in.
    Bucket(Interval, Calendar),
    /// A field; a latency in whole microseconds.
    Field(Field),
    /// A value in the properties.
    Property(PropertyPath, Reading),
}

/// The type of all instants.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

impl Derived {
    /// The stored column it is computed from.
    pub(super) fn stored(&self) -> &'static str {
        match self {
            Self::Bucket(..) => "time",
            Self::Field(Field::LatencyMs) => "latency_us",
            Self::Field(field) => field.name(),
            Self::Property(..) => "properties",
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Bucket(..) => instant(),
            Self::Field(field) => match field.kind() {
                Kind::Time => instant(),
                Kind::Count | Kind::Millis => DataType::Int64,
                Kind::Text | Kind::Property => DataType::Utf8View,
            },
            Self::Property(_, Reading::Text) => DataType::Utf8View,
            Self::Property(_, Reading::Number | Reading::Rank) => BITS,
            Self::Property(_, Reading::Presence) => DataType::Boolean,
        }
    }

    fn compute(&self, stored: &ArrayRef, lens: &Lens) -> Result<ArrayRef, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("column {} has another type", self.stored()));
        match self {
            Self::Bucket(interval, calendar) => {
                let times = stored.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
                let mut buckets = Buckets::new(calendar, *interval);
                let starts = times.values().iter().map(|at| buckets.start_of(Timestamp::from_micros(*at)).micros());
                Ok(Arc::new(TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC")))
            }
            // Events without a customer are stored under the empty name.
            Self::Field(Field::Customer) => {
                let names = stored.as_string_view_opt().ok_or_else(wrong)?;
                if names.lengths().all(|len| len > 0) {
                    return Ok(Arc::clone(stored));
                }
                let empty: BooleanArray = names.lengths().map(|len| Some(len == 0)).collect();
                arrow::compute::nullif(stored, &empty)
            }
            Self::Field(_) => Ok(Arc::clone(stored)),
            Self::Property(path, reading) => {
                let objects = stored.as_string_view_opt().ok_or_else(wrong)?;
                Ok(property(objects, path, *reading, lens))
            }
        }
    }
}

fn property(objects: &StringViewArray, path: &PropertyPath, reading: Reading, lens: &Lens) -> ArrayRef {
    let (joined, path) = (path.joined(), json::Path::new(path));
    let found = (0..objects.len()).map(|row| {
        let object = objects.is_valid(row).then(|| objects.value(row))?;
        path.find(object).map(|value| lens.value_at(&joined, value))
    });
    match reading {
        Reading::Text => {
            let mut texts = StringViewBuilder::with_capacity(objects.len());
            found.for_each(|value| texts.append_option(value.as_deref().and_then(json::text)));
            Arc::new(texts.finish())
        }
        Reading::Number => bits(found, numbers::read),
        Reading::Rank => bits(found, json::rank),
        Reading::Presence => Arc::new(
            found
                .map(|value| value.is_some_and(|value| json::is_there(&value)).then_some(true))
                .collect::<BooleanArray>(),
        ),
    }
}

fn bits<'j>(found: impl ExactSizeIterator<Item = Option<Cow<'j, str>>>, read: fn(&str) -> Option<i128>) -> ArrayRef {
    let mut bits = Decimal128Builder::with_capacity(found.len()).with_data_type(BITS);
    found.for_each(|value| bits.append_option(value.as_deref().and_then(read)));
    Arc::new(bits.finish())
}

/// The name of column `at`.
pub(super) fn name(at: usize) -> String {
    format!("c{at}")
}

/// The schema of these columns.
pub(super) fn schema(columns: &[Derived]) -> SchemaRef {
    let fields = columns.iter().enumerate();
    let fields = fields.map(|(at, column)| arrow::datatypes::Field::new(name(at), column.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Computes the columns from a batch of stored ones.
pub(super) fn derive(
    columns: &[Derived],
    schema: &SchemaRef,
    stored: &RecordBatch,
    lens: &Lens,
) -> Result<RecordBatch, ArrowError> {
    let compute = |column: &Derived| {
        let missing = || ArrowError::SchemaError(format!("column {} is missing", column.stored()));
        column.compute(stored.column_by_name(column.stored()).ok_or_else(missing)?, lens)
    };
    let arrays = columns.iter().map(compute).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
}

/// Slots of remembered buckets.
const SLOTS: usize = 4_096;

/// Finds the buckets of many instants; those of earlier ones are remembered.
struct Buckets<'c> {
    calendar: &'c Calendar,
    interval: Interval,
    slot_us: i64,
    /// Where a bucket is known to hold, half-open, and its start.
    known: Vec<(Timestamp, Timestamp, Timestamp)>,
}

impl<'c> Buckets<'c> {
    fn new(calendar: &'c Calendar, interval: Interval) -> Self {
        let slot_us = if interval == Interval::Minute { 60 } else { 900 } * MICROS_PER_SECOND;
        Self { calendar, interval, slot_us, known: vec![(Timestamp::MAX, Timestamp::MIN, Timestamp::MIN); SLOTS] }
    }

    fn start_of(&mut self, at: Timestamp) -> Timestamp {
        let slot = usize::try_from(at.micros().div_euclid(self.slot_us).rem_euclid(SLOTS as i64)).unwrap_or(0);
        let (from, to, start) = self.known[slot];
        if from <= at && at < to {
            return start;
        }
        let bucket = |at| self.calendar.bucket_of(at, self.interval);
        let start = bucket(at);
        // Where clocks change inside a bucket, its ends may lie in others: then nothing is remembered.
        let end = self.calendar.bucket_after(start, self.interval);
        let from = if start <= at && bucket(start) == start { start } else { at };
        let to = if at < end && bucket(end.plus_micros(-1)) == start { end } else { at.plus_micros(1) };
        self.known[slot] = (from, to, start);
        start
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::calendar::{Period, WeekStart, Zone};

    use super::*;

    #[test]
    fn remembered_buckets_are_the_calendars() {
        let mut seed = 7_u64;
        for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            let calendar = Calendar { zone: Zone::parse(zone).unwrap(), week_start: WeekStart::Sunday };
            for interval in
                [Interval::Minute, Interval::Hour, Interval::Days(Period::Day), Interval::Days(Period::Month)]
            {
                let mut buckets = Buckets::new(&calendar, interval);
                for _ in 0..3_000 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // A year whose clocks change twice, most instants near one of the changes.
                    let base = [1_774_700_000, 1_792_880_000, 1_759_500_000, 1_775_300_000][(seed >> 60) as usize % 4];
                    let at = Timestamp::from_micros(
                        (base + i64::try_from(seed >> 20).unwrap() % 400_000) * MICROS_PER_SECOND,
                    );
                    assert_eq!(buckets.start_of(at), calendar.bucket_of(at, interval), "{zone} {interval:?} {at}");
                }
            }
        }
    }
}
