//! The partitions that sums are read and written in, by name: a statement that names the parent locks all of them and
//! their indexes. A partition ends by being dropped, not by being detached first, so a name that is kept here is that of
//! the partition or of nothing; and one that is made later refuses its rows to the partition for all others. Either
//! fails a statement, after which the names are looked up again.

use domain::calendar::Day;
use domain::time::{MICROS_PER_DAY, Timestamp};
use hashbrown::HashMap;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::postgres::PgConnection;

/// What the server says of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// The partitions that were found, by the names that they would have.
#[derive(Debug, Default)]
pub(crate) struct Leaves(HashMap<String, String>);

impl Leaves {
    /// The partition of `table` that has rows of a month, which [`month_of`] writes.
    pub(crate) async fn find(&mut self, on: &mut PgConnection, table: &str, month: &str) -> Result<String, Failure> {
        let name = format!("{table}_{month}01");
        if let Some(found) = self.0.get(&name) {
            return Ok(found.clone());
        }
        let sql =
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass($2))";
        let is_there: bool = sqlx::query_scalar(sql).bind(&name).bind(table).fetch_one(on).await?;
        let found = if is_there { name.clone() } else { format!("{table}_default") };
        self.0.insert(name, found.clone());
        Ok(found)
    }
}

/// The month of an instant in UTC, as it stands in names of partitions: `YYYYMM`.
pub(crate) fn month_of(at: Timestamp) -> String {
    let day = at.micros().div_euclid(MICROS_PER_DAY);
    let mut text = Day::from_number(i32::try_from(day).unwrap_or(i32::MAX)).to_string();
    text.truncate("YYYY-MM".len());
    text.retain(|letter| letter != '-');
    text
}

/// What became of a statement that named a partition: one that is gone is looked for again.
pub(crate) fn gone(failure: Failure) -> Failure {
    if failure.code().as_deref() != Some(UNDEFINED_TABLE) {
        return failure;
    }
    Failure::Refused { kind: ErrorKind::Unavailable, reason: "a partition was dropped meanwhile".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_written_as_in_names_of_partitions() {
        for (text, month) in [
            ("2026-11-30T23:59:59.999999Z", "202611"),
            ("2026-12-01T00:00:00Z", "202612"),
            ("1969-12-31T23:59:59Z", "196912"),
        ] {
            assert_eq!(Timestamp::parse(text).map(month_of), Ok(month.to_owned()));
        }
    }
}
