//! Free-form questions over raw events.

use async_trait::async_trait;
use domain::limits::QUERY_ANSWER_BYTES_MAX;
use domain::query::{Query, Value};
use domain::tenant::TenantScope;

use crate::{ErrorKind, PortError};

/// The answer to a [`Query`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryAnswer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with one value per column.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than the query's limit.
    pub truncated: bool,
    /// What has entered each aggregation, of all rows, also of those beyond the limit.
    pub aggregations: Vec<AggregationCounts>,
}

impl QueryAnswer {
    /// The answer.
    ///
    /// # Errors
    /// `Exhausted` when its values are too long as JSON.
    pub fn within_limit(self) -> Result<Self, PortError> {
        let bytes: usize = self.rows.iter().flatten().map(bytes_of).sum();
        if bytes <= QUERY_ANSWER_BYTES_MAX {
            return Ok(self);
        }
        let context = format!(
            "answer the query within {} MiB of text: ask for fewer rows, or shorter values",
            QUERY_ANSWER_BYTES_MAX >> 20
        );
        Err(PortError::new(ErrorKind::Exhausted, context))
    }
}

/// What a value takes in an answer, about.
fn bytes_of(value: &Value) -> usize {
    let written = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    match value {
        Value::Text(text) => text.bytes().map(written).sum::<usize>() + 3,
        _ => 40,
    }
}

/// What has entered an aggregation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregationCounts {
    /// Values: for numbers those that are one, for a count what is counted.
    pub values: u64,
    /// Numbers among them that were written as texts.
    pub texts_read: u64,
    /// What is there and no number, where numbers are asked for.
    pub skipped: u64,
}

/// Runs structured queries, as many at once as are asked: bounding them is the caller's. Work that outlives
/// the future of a call keeps what is held for it ([`crate::held`]).
#[async_trait]
pub trait Queries: Send + Sync + std::fmt::Debug {
    /// Runs a query over all raw events, flushed or not, of one consistent state.
    ///
    /// # Errors
    /// `Exhausted` when it takes more memory than a query may, which depends on the query and on the
    /// events alone. `TimedOut` when it had to run for too long. `Corrupt` or `Unavailable` when stored data
    /// cannot be read.
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError>;
}
