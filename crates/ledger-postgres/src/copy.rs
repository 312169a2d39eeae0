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
use sqlx::postgres::PgConnection;

use crate::types::{Instant, Uuid, signed};

const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
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

    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(Some(&value.0.to_be_bytes()))
    }

    fn length(&mut self, length: usize) {
        // A record, of which every value is a part, is far shorter.
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    }

    /// Puts the rows into a table, all of them or none; `into` names it and its columns.
    pub(crate) async fn copy(mut self, on: &mut PgConnection, into: &str) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut copying = on.copy_in_raw(&format!("COPY {into} FROM STDIN (FORMAT binary)")).await?;
        copying.send(self.bytes).await?;
        let copied = copying.finish().await?;
        if copied == self.count {
            return Ok(());
        }
        Err(miscounted(into, copied, self.count))
    }
}

/// Other rows were changed than must have been: what is stored is not what it was read as.
pub(crate) fn miscounted(table: &str, changed: u64, expected: u64) -> Failure {
    let reason = format!("{changed} rows of {table} were written in place of {expected}");
    Failure::Refused { kind: ports::ErrorKind::Unavailable, reason }
}
