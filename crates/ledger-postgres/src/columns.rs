//! Values of many rows, a column each: as arrays for statements that read and change rows by their keys, and as rows
//! for `COPY`.

use domain::time::Timestamp;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::copy::Rows;
use crate::types::Instant;

/// A column of many rows.
#[derive(Debug)]
pub(crate) enum Column {
    Small(Vec<i16>),
    Int(Vec<i32>),
    Big(Vec<Option<i64>>),
    Text(Vec<String>),
    /// Texts of JSON.
    Json(Vec<Option<String>>),
    Instant(Vec<Timestamp>),
    Bytes(Vec<Vec<u8>>),
}

impl Column {
    /// The type of its array in SQL.
    pub(crate) fn array_type(&self) -> &'static str {
        match self {
            Self::Small(_) => "int2[]",
            Self::Int(_) => "int4[]",
            Self::Big(_) => "int8[]",
            Self::Text(_) | Self::Json(_) => "text[]",
            Self::Instant(_) => "timestamptz[]",
            Self::Bytes(_) => "bytea[]",
        }
    }

    /// How a value of the array becomes one of the table.
    pub(crate) fn cast(&self) -> &'static str {
        match self {
            Self::Json(_) => "::jsonb",
            _ => "",
        }
    }

    /// The next argument of a statement.
    pub(crate) fn bind<'q>(&'q self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
        match self {
            Self::Small(values) => query.bind(values),
            Self::Int(values) => query.bind(values),
            Self::Big(values) => query.bind(values),
            Self::Text(values) => query.bind(values),
            Self::Json(values) => query.bind(values),
            Self::Instant(values) => query.bind(values.iter().copied().map(Instant).collect::<Vec<_>>()),
            Self::Bytes(values) => query.bind(values),
        }
    }

    /// Appends the value of one row.
    pub(crate) fn put(&self, rows: &mut Rows, at: usize) {
        match self {
            Self::Small(values) => rows.i16(values[at]),
            Self::Int(values) => rows.i32(values[at]),
            Self::Big(values) => match values[at] {
                Some(value) => rows.i64(value),
                None => rows.null(),
            },
            Self::Text(values) => rows.text(&values[at]),
            Self::Json(values) => rows.json_or_null(values[at].as_deref()),
            Self::Instant(values) => rows.instant(values[at]),
            Self::Bytes(values) => rows.bytes(Some(&values[at])),
        };
    }
}
