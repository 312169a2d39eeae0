//! Rows for `COPY … FROM STDIN (FORMAT binary)`, <https://www.postgresql.org/docs/15/sql-copy.html>.
//!
//! ```text
//! file   "PGCOPY\n\xff\r\n\0" | flags i32 = 0 | extension i32 = 0 | rows | -1 i16
//! row    number of columns i16 | columns
//! column length i32, -1 for NULL | bytes
//! ```
//! Integers are big-endian.

use domain::time::Timestamp;
use postgres::Failure;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgCopyIn};

use crate::types::{Instant, Uuid, signed};

const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What the server says of a row that is there already.
const UNIQUE_VIOLATION: &str = "23505";
/// Version of the binary form of JSONB.
const JSONB_VERSION: u8 = 1;

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    columns: i16,
    count: u64,
}

impl Rows {
    /// No rows yet, of so many columns, with room for about `capacity` bytes.
    pub(crate) fn new(columns: i16, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD.len() + capacity);
        bytes.extend_from_slice(HEAD);
        Self { bytes, columns, count: 0 }
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Begins a row, of which every column has to follow in order.
    pub(crate) fn row(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self.count += 1;
        self
    }

    pub(crate) fn bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        let Some(value) = value else { return self.null() };
        self.length(value.len());
        self.bytes.extend_from_slice(value);
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(Some(value.as_bytes()))
    }

    pub(crate) fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        self.bytes(value.map(str::as_bytes))
    }

    /// The text of a JSON value, as JSONB.
    pub(crate) fn json_or_null(&mut self, value: Option<&str>) -> &mut Self {
        let Some(value) = value else { return self.null() };
        self.length(value.len() + 1);
        self.bytes.push(JSONB_VERSION);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes(Some(&value.to_be_bytes()))
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(Some(&value.to_be_bytes()))
    }

    pub(crate) fn i32_or_null(&mut self, value: Option<i32>) -> &mut Self {
        match value {
            Some(value) => self.i32(value),
            None => self.null(),
        }
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(Some(&value.to_be_bytes()))
    }

    pub(crate) fn number_or_null(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.i64(signed(value)),
            None => self.null(),
        }
    }

    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes(Some(&[u8::from(value)]))
    }

    pub(crate) fn instant(&mut self, value: Timestamp) -> &mut Self {
        self.bytes(Some(&Instant(value).to_bytes()))
    }

    /// An instant, or `-infinity` if there is none.
    pub(crate) fn instant_or_never(&mut self, value: Option<Timestamp>) -> &mut Self {
        match value {
            Some(value) => self.instant(value),
            None => self.i64(i64::MIN),
        }
    }

    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(Some(&value.0.to_be_bytes()))
    }

    /// An array of values without NULL, each as its type's binary form has it.
    pub(crate) fn array<V: AsRef<[u8]>>(&mut self, of: Oid, values: impl ExactSizeIterator<Item = V>) -> &mut Self {
        let begin = self.bytes.len();
        self.length(0);
        // One dimension, no NULL, the type; how many values, the first of which is number 1.
        let (type_no, count) = (of.0.cast_signed(), i32::try_from(values.len()).unwrap_or(i32::MAX));
        for part in [1, 0, type_no, count, 1] {
            self.bytes.extend_from_slice(&i32::to_be_bytes(part));
        }
        for value in values {
            self.bytes(Some(value.as_ref()));
        }
        let length = i32::try_from(self.bytes.len() - begin - size_of::<i32>()).unwrap_or(i32::MAX);
        self.bytes[begin..begin + size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        self
    }

    fn length(&mut self, length: usize) {
        // A record, of which every value is a part, is far shorter.
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    }

    /// Puts the rows into a table, all of them or none; `into` names it and its columns.
    pub(crate) async fn copy(self, on: &mut PgConnection, into: &str) -> Result<(), Failure> {
        self.begin(on, into).await?.end().await
    }

    /// Sends the rows to a table, as [`Rows::copy`]. The server works on them until [`Copying::end`] is asked.
    pub(crate) async fn begin<'c>(mut self, on: &'c mut PgConnection, into: &str) -> Result<Copying<'c>, Failure> {
        if self.count == 0 {
            return Ok(Copying { sent: None, count: 0, into: String::new() });
        }
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut sent = on.copy_in_raw(&format!("COPY {into} FROM STDIN (FORMAT binary)")).await?;
        sent.send(self.bytes).await?;
        Ok(Copying { sent: Some(sent), count: self.count, into: into.to_owned() })
    }
}

/// Puts rows into tables, unless one of them is there already: then none, and returns nothing. Otherwise returns what is
/// made `meanwhile`.
pub(crate) async fn copy_if_new<T>(
    on: &mut PgConnection,
    all: Vec<(Rows, String)>,
    meanwhile: impl FnOnce() -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    if all.iter().all(|(rows, _)| rows.count == 0) {
        return meanwhile().map(Some);
    }
    sqlx::raw_sql("SAVEPOINT new_rows").execute(&mut *on).await?;
    let (after, made) = match copy_all(on, all, meanwhile).await {
        Ok(made) => ("RELEASE SAVEPOINT new_rows", Some(made)),
        Err(failure) if failure.code().as_deref() == Some(UNIQUE_VIOLATION) => {
            ("ROLLBACK TO SAVEPOINT new_rows; RELEASE SAVEPOINT new_rows", None)
        }
        Err(failure) => return Err(failure),
    };
    sqlx::raw_sql(after).execute(on).await?;
    Ok(made)
}

/// Puts rows into tables, and returns what is made `meanwhile`, while the server works on the last of them.
pub(crate) async fn copy_all<T>(
    on: &mut PgConnection,
    mut all: Vec<(Rows, String)>,
    meanwhile: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some((rows, into)) = all.pop() else { return meanwhile() };
    for (rows, into) in all {
        rows.copy(on, &into).await?;
    }
    let copying = rows.begin(on, &into).await?;
    let made = meanwhile()?;
    copying.end().await?;
    Ok(made)
}

/// Rows that were sent and may not be in their table yet.
#[must_use]
pub(crate) struct Copying<'c> {
    sent: Option<PgCopyIn<&'c mut PgConnection>>,
    count: u64,
    into: String,
}

impl Copying<'_> {
    /// Waits until all of them are in the table.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        let Some(sent) = self.sent else { return Ok(()) };
        let copied = sent.finish().await?;
        if copied == self.count { Ok(()) } else { Err(miscounted(&self.into, copied, self.count)) }
    }
}

/// Other rows were changed than must have been: what is stored is not what it was read as.
pub(crate) fn miscounted(table: &str, changed: u64, expected: u64) -> Failure {
    let reason = format!("{changed} rows of {table} were written in place of {expected}");
    Failure::Refused { kind: ports::ErrorKind::Unavailable, reason }
}
