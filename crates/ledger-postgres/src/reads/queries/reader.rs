//! Reading the sources of a query event by event, from rows as the table has them.

use domain::encryption::Lens;
use domain::query::{Field, Number, Source, json};
use domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::found::Found;
use super::sources::{Sources, Use};
use crate::types::{Instant, unsigned};

/// The whole text of the properties: what JSONB would write otherwise stands beside it.
const PROPERTIES: &str = "coalesce(convert_from(t.properties_raw, 'UTF8'), t.properties::text)";

/// Where a field stands in the table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    /// A number of so many decimal places.
    Number(&'static str, i32),
    Time(&'static str),
}

impl Column {
    pub(super) const fn of(field: Field) -> Self {
        match field {
            Field::Id => Self::Text("id"),
            Field::Type => Self::Text("kind"),
            Field::Project => Self::Text("project"),
            Field::Customer => Self::Text("customer"),
            Field::User => Self::Text("user_name"),
            Field::Endpoint => Self::Text("endpoint"),
            Field::Model => Self::Text("model"),
            Field::Time => Self::Time("time"),
            Field::ReceivedAt => Self::Time("received_at"),
            Field::Tokens => Self::Number("tokens", 0),
            Field::InputTokens => Self::Number("input_tokens", 0),
            Field::OutputTokens => Self::Number("output_tokens", 0),
            Field::CacheReadTokens => Self::Number("cache_read_tokens", 0),
            Field::CacheWriteTokens => Self::Number("cache_write_tokens", 0),
            Field::ReasoningTokens => Self::Number("reasoning_tokens", 0),
            Field::LatencyMs => Self::Number("latency_us", 3),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name, _) | Self::Time(name) => name,
        }
    }

    /// What stands in a column of a row.
    pub(super) fn read(self, row: &PgRow, at: usize) -> Result<Found<'_>, sqlx::Error> {
        let found = match self {
            Self::Text(_) => row.try_get::<Option<&str>, _>(at)?.map(Found::Text),
            Self::Time(_) => row.try_get::<Option<Instant>, _>(at)?.map(|at| Found::Time(at.0)),
            Self::Number(_, places) => {
                row.try_get::<Option<i64>, _>(at)?.and_then(|number| stored(number, places)).map(Found::Number)
            }
        };
        Ok(found.unwrap_or(Found::Nothing))
    }
}

/// A number that is stored as a whole one, without its point.
pub(super) fn stored(number: i64, places: i32) -> Option<Number> {
    Number::new(i128::from(unsigned(number)), -i64::from(places))
}

/// A property as the lens shows it, of its JSON.
pub(super) fn property<'r>(json: Option<&'r str>, path: &str, lens: &Lens) -> Found<'r> {
    let value = json.filter(|value| json::is_there(value));
    value.map_or(Found::Nothing, |value| Found::Json(lens.value_at(path, value)))
}

/// Reads events one by one, from rows whose first column is the time.
#[derive(Debug)]
pub(super) struct Reader {
    sources: Vec<ReadAs>,
    has_properties: bool,
}

#[derive(Debug)]
enum ReadAs {
    Column(Column),
    Property(Box<json::Path>, String),
}

impl Reader {
    pub(super) fn of(sources: &Sources<'_>) -> Self {
        let read = |(source, _): &(&Source, Use)| match source {
            Source::Property(path) => ReadAs::Property(Box::new(json::Path::new(path)), path.joined()),
            Source::Field(field) => ReadAs::Column(Column::of(*field)),
        };
        Self { sources: sources.all.iter().map(read).collect(), has_properties: sources.has_properties() }
    }

    /// The columns that it reads.
    pub(super) fn columns(&self) -> String {
        let mut columns = "t.time".to_owned();
        for read in &self.sources {
            if let ReadAs::Column(column) = read {
                columns.extend([", t.", column.name()]);
            }
        }
        if self.has_properties {
            columns.extend([", ", PROPERTIES]);
        }
        columns
    }

    /// The time of an event, and what stands at each source.
    pub(super) fn read<'r>(&self, row: &'r PgRow, lens: &Lens) -> Result<(Timestamp, Vec<Found<'r>>), sqlx::Error> {
        let Instant(time) = row.try_get(0)?;
        let properties: Option<&str> = if self.has_properties { row.try_get(row.len() - 1)? } else { None };
        let (mut at, mut all) = (0, Vec::with_capacity(self.sources.len()));
        for read in &self.sources {
            all.push(match read {
                ReadAs::Column(column) => {
                    at += 1;
                    column.read(row, at)?
                }
                ReadAs::Property(path, joined) => property(properties.and_then(|json| path.find(json)), joined, lens),
            });
        }
        Ok((time, all))
    }
}
