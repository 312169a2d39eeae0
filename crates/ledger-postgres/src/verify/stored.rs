//! Stored sums in the order of their keys, read along with what is recomputed in the same order.

use std::fmt::Debug;

use futures::TryStreamExt;
use futures::stream::BoxStream;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::report::{Report, Subject};

/// The key and the sum of a row.
type Read<K, V> = fn(&PgRow) -> Result<(K, V), sqlx::Error>;

/// The rows of a statement.
pub(super) struct Stored<'c, K, V> {
    rows: BoxStream<'c, Result<PgRow, sqlx::Error>>,
    read: Read<K, V>,
    ahead: Option<(K, V)>,
}

impl<'c, K: Subject, V: PartialEq + Debug> Stored<'c, K, V> {
    /// Begins to read. The statement gives rows in the order of keys.
    pub(super) fn open(on: &'c mut PgConnection, sql: String, read: Read<K, V>) -> Self {
        Self { rows: sqlx::query(AssertSqlSafe(sql)).fetch(on), read, ahead: None }
    }

    /// Compares what raw events give under a key, which is behind all keys before. What stands before it is given by none.
    pub(super) async fn compare(&mut self, key: &K, expected: &V, report: &mut Report<'_>) -> Result<(), sqlx::Error> {
        while self.peek().await?.is_some_and(|(found, _)| found < key) {
            self.unexpected(report);
        }
        let found = self.ahead.take_if(|(found, _)| *found == *key);
        report.compare(key, Some(expected), found.as_ref().map(|(_, found)| found));
        Ok(())
    }

    /// Tells of all that is left: no raw events give it.
    pub(super) async fn finish(mut self, report: &mut Report<'_>) -> Result<(), sqlx::Error> {
        while self.peek().await?.is_some() {
            self.unexpected(report);
        }
        Ok(())
    }

    fn unexpected(&mut self, report: &mut Report<'_>) {
        if let Some((key, found)) = self.ahead.take() {
            report.compare(&key, None, Some(&found));
        }
    }

    async fn peek(&mut self) -> Result<Option<&(K, V)>, sqlx::Error> {
        if self.ahead.is_none() {
            self.ahead = self.rows.try_next().await?.map(|row| (self.read)(&row)).transpose()?;
        }
        Ok(self.ahead.as_ref())
    }
}
