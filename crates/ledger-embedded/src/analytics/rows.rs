//! Rows of events as plain columns of numbers: what a scan hands out, whether the rows come from a file or
//! from a memtable. Only the columns asked for are filled; texts are [`Symbols`].

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use domain::event::EventView;
use domain::series::{FACETS, Facet, Metric, NONE, Points, SeriesQuery, Symbols, TooLarge, Values, totals_of};
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;
use parquet::errors::{ParquetError, Result as ParquetResult};

use crate::segment::columns::{Columns, unsigned};
use crate::segment::events::USER_NUMBER;

/// Which columns a question needs; the time of a row is one of them when it is grouped by time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    pub(super) times: bool,
    /// By `Facet as usize`.
    pub(super) facets: [bool; FACETS],
    pub(super) users: bool,
    /// The column of a measured number.
    pub(super) value: Option<&'static str>,
}

impl Fields {
    /// The fields with this facet too.
    #[must_use]
    pub(super) fn with(mut self, facet: Facet) -> Self {
        self.facets[facet as usize] = true;
        self
    }

    /// What raw events must have for a series.
    pub(super) fn of(query: &SeriesQuery) -> Self {
        let used = query.group_by.iter().copied().chain(query.filters.iter().map(|(facet, _)| *facet));
        let users = query.metric == Metric::UniqueUsers;
        let fields = Self { times: true, users, value: query.metric.column(), ..Self::default() };
        used.fold(fields, Self::with)
    }
}

/// The name of a facet's column.
pub(super) const fn facet_column(facet: Facet) -> &'static str {
    facet.as_str()
}

/// Some rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) len: usize,
    pub(super) times: Vec<Timestamp>,
    pub(super) facets: [Vec<u32>; FACETS],
    pub(super) users: Vec<Option<UserNumber>>,
    pub(super) values: Vec<Option<u64>>,
}

impl Rows {
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.times.clear();
        self.facets.iter_mut().for_each(Vec::clear);
        self.users.clear();
        self.values.clear();
    }

    /// Adds an event of a memtable.
    pub(super) fn push(
        &mut self,
        event: &EventView<'_>,
        user: Option<UserNumber>,
        fields: Fields,
        symbols: &mut Symbols,
    ) {
        self.len += 1;
        self.times.push(event.time);
        for facet in Facet::ALL.into_iter().filter(|facet| fields.facets[*facet as usize]) {
            let text = match facet {
                Facet::Project => event.project,
                Facet::Customer => event.customer,
                Facet::Type => Some(event.kind),
                Facet::Endpoint => event.endpoint,
                Facet::Model => event.usage.model,
            };
            self.facets[facet as usize].push(text.map_or(NONE, |text| symbols.number(text)));
        }
        self.users.push(user);
        let usage = &event.usage;
        self.values.push(match fields.value {
            Some("tokens") => usage.tokens,
            Some("input_tokens") => usage.input_tokens,
            Some("output_tokens") => usage.output_tokens,
            Some("cache_read_tokens") => usage.cache_read_tokens,
            Some("cache_write_tokens") => usage.cache_write_tokens,
            Some("reasoning_tokens") => usage.reasoning_tokens,
            Some("latency_us") => usage.latency_us,
            _ => None,
        });
    }
}

/// Adds the events that pass the filters of a series.
pub(super) fn add_events(points: &mut Points<'_>, metric: Metric, rows: &Rows) -> Result<(), TooLarge> {
    for row in 0..rows.len {
        let mut values: Values = [NONE; FACETS];
        for (value, column) in values.iter_mut().zip(&rows.facets) {
            *value = column.get(row).copied().unwrap_or(NONE);
        }
        if !points.wants(&values) {
            continue;
        }
        let value = rows.values.get(row).copied().flatten();
        let user = rows.users.get(row).copied().flatten();
        let totals = totals_of(metric, 1, value, u64::from(value.is_some()));
        points.add(rows.times[row], &values, &totals, user)?;
    }
    Ok(())
}

/// What rows of a batch must be checked for; what its pages prove is not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checks<'q> {
    pub(super) tenant: Option<&'q str>,
    pub(super) customer: Option<&'q str>,
    /// In order and apart.
    pub(super) ranges: Option<&'q [TimeRange]>,
}

/// Whether one of the ranges, which are in order and apart, holds an instant.
pub(super) fn any_holds(ranges: &[TimeRange], at: Timestamp) -> bool {
    match ranges {
        [range] => range.contains(at),
        _ => ranges.get(ranges.partition_point(|range| range.to() <= at)).is_some_and(|range| range.contains(at)),
    }
}

/// Turns the batches of files into rows.
#[derive(Debug, Default)]
pub(super) struct Loader {
    rows: Rows,
    kept: Vec<usize>,
    dictionaries: [Dictionary; FACETS],
}

impl Loader {
    /// The rows of a batch that pass the checks. `customer` is the one that all of them have, if that is
    /// known.
    pub(super) fn load(
        &mut self,
        batch: &RecordBatch,
        checks: Checks<'_>,
        customer: Option<&str>,
        fields: Fields,
        symbols: &mut Symbols,
    ) -> ParquetResult<&Rows> {
        let all = self.check(batch, checks)?;
        let kept = if all { TakenRows::All(batch.num_rows()) } else { TakenRows::Some(&self.kept) };
        let (columns, rows) = (Columns(batch), &mut self.rows);
        rows.clear();
        rows.len = kept.len();
        if fields.times {
            let times = columns.times("time")?.values();
            kept.gather(&mut rows.times, |row| Timestamp::from_micros(times[row]));
        }
        for facet in Facet::ALL.into_iter().filter(|facet| fields.facets[*facet as usize]) {
            let into = &mut rows.facets[facet as usize];
            match (facet, customer) {
                (Facet::Customer, Some(customer)) => into.resize(kept.len(), symbols.number(customer)),
                (Facet::Customer, None) => {
                    let mut known = Repeated::default();
                    let texts = columns.texts("customer")?;
                    kept.gather(into, |row| known.number(texts.value(row), symbols));
                }
                _ => {
                    let column = batch.column_by_name(facet_column(facet));
                    self.dictionaries[facet as usize].gather(column, kept, into, symbols)?;
                }
            }
        }
        if fields.users {
            let users = columns.users(USER_NUMBER)?;
            let values = users.values();
            kept.gather(&mut rows.users, |row| users.is_valid(row).then(|| UserNumber(values[row])));
        }
        if let Some(name) = fields.value {
            let numbers: &Int64Array = columns.numbers(name)?;
            let values = numbers.values();
            kept.gather(&mut rows.values, |row| numbers.is_valid(row).then(|| unsigned(values[row])));
        }
        Ok(rows)
    }

    /// Whether all rows pass; otherwise those that do are kept.
    fn check(&mut self, batch: &RecordBatch, checks: Checks<'_>) -> ParquetResult<bool> {
        let columns = Columns(batch);
        let text = |name, wanted: Option<_>| wanted.map(|_| columns.texts(name)).transpose();
        let tenants: Option<&StringArray> = text("tenant", checks.tenant)?;
        let customers: Option<&StringArray> = text("customer", checks.customer)?;
        let times = checks.ranges.map(|_| columns.times("time")).transpose()?;
        if tenants.is_none() && customers.is_none() && times.is_none() {
            return Ok(true);
        }
        let same = |column: Option<&StringArray>, wanted: Option<&str>, row| {
            column.zip(wanted).is_none_or(|(column, wanted)| column.value(row) == wanted)
        };
        self.kept.clear();
        self.kept.extend((0..batch.num_rows()).filter(|row| {
            times
                .zip(checks.ranges)
                .is_none_or(|(times, ranges)| any_holds(ranges, Timestamp::from_micros(times.value(*row))))
                && same(customers, checks.customer, *row)
                && same(tenants, checks.tenant, *row)
        }));
        Ok(self.kept.len() == batch.num_rows())
    }
}

/// Which rows of a batch are taken.
#[derive(Debug, Clone, Copy)]
enum TakenRows<'k> {
    All(usize),
    Some(&'k [usize]),
}

impl TakenRows<'_> {
    fn len(self) -> usize {
        match self {
            Self::All(count) => count,
            Self::Some(rows) => rows.len(),
        }
    }

    fn gather<T>(self, into: &mut Vec<T>, mut value: impl FnMut(usize) -> T) {
        match self {
            Self::All(count) => into.extend((0..count).map(value)),
            Self::Some(rows) => into.extend(rows.iter().map(|row| value(*row))),
        }
    }
}

/// The number of a text that mostly repeats the one before.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    text: Option<String>,
    number: u32,
}

impl Repeated {
    pub(super) fn number(&mut self, text: &str, symbols: &mut Symbols) -> u32 {
        if self.text.as_deref() != Some(text) {
            self.number = symbols.number(text);
            self.text = Some(text.to_owned());
        }
        self.number
    }
}

/// The numbers of a dictionary's texts, each looked up when first met. Batches of one row group share
/// their dictionary.
#[derive(Debug, Default)]
struct Dictionary {
    texts: Option<StringArray>,
    numbers: Vec<Option<u32>>,
}

impl Dictionary {
    fn gather(
        &mut self,
        column: Option<&ArrayRef>,
        kept: TakenRows<'_>,
        into: &mut Vec<u32>,
        symbols: &mut Symbols,
    ) -> ParquetResult<()> {
        let coded = column.and_then(|column| column.as_dictionary_opt::<Int32Type>());
        let missing = || ParquetError::General("no dictionary column".into());
        let coded = coded.ok_or_else(missing)?;
        self.keep(coded.values().as_string_opt().ok_or_else(missing)?);
        let keys = coded.keys();
        let codes = keys.values();
        if keys.null_count() == 0 && self.numbers.len() <= kept.len() {
            // Looking up every text once is less than asking for every row whether that has been done.
            let all = (0..self.numbers.len()).map(|code| self.number(code, symbols)).collect::<Vec<_>>();
            kept.gather(into, |row| usize::try_from(codes[row]).ok().and_then(|at| all.get(at)).map_or(NONE, |at| *at));
            return Ok(());
        }
        let code = |row: usize| usize::try_from(codes[row]).ok().filter(|_| keys.is_valid(row));
        kept.gather(into, |row| code(row).map_or(NONE, |code| self.number(code, symbols)));
        Ok(())
    }

    fn keep(&mut self, texts: &StringArray) {
        let same = |known: &StringArray| {
            known.len() == texts.len() && known.value_offsets().as_ptr() == texts.value_offsets().as_ptr()
        };
        // Holding the array keeps its memory from being used for another.
        if !self.texts.as_ref().is_some_and(same) {
            self.numbers.clear();
            self.numbers.resize(texts.len(), None);
            self.texts = Some(texts.clone());
        }
    }

    fn number(&mut self, at: usize, symbols: &mut Symbols) -> u32 {
        let (Some(texts), Some(number)) = (&self.texts, self.numbers.get_mut(at)) else { return NONE };
        *number.get_or_insert_with(|| if texts.is_valid(at) { symbols.number(texts.value(at)) } else { NONE })
    }
}
