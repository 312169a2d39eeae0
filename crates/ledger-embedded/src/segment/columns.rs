//! Typed access to the columns of a record batch by name, with errors instead of panics.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt8Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use domain::time::Timestamp;
use domain::users::UserNumber;
use parquet::errors::{ParquetError, Result};

/// A batch whose columns are looked up by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'b>(pub(crate) &'b RecordBatch);

impl<'b> Columns<'b> {
    fn get<A>(self, name: &str, of: impl FnOnce(&'b ArrayRef) -> Option<&'b A>) -> Result<&'b A> {
        let column = self.0.column_by_name(name).and_then(of);
        column.ok_or_else(|| ParquetError::General(format!("no column {name} of the expected type")))
    }

    /// Whether a column was read.
    pub(crate) fn has(self, name: &str) -> bool {
        self.0.column_by_name(name).is_some()
    }

    pub(crate) fn texts(self, name: &str) -> Result<&'b StringArray> {
        self.get(name, |column| column.as_string_opt())
    }

    pub(crate) fn blobs(self, name: &str) -> Result<&'b BinaryArray> {
        self.get(name, |column| column.as_binary_opt())
    }

    pub(crate) fn numbers(self, name: &str) -> Result<&'b Int64Array> {
        self.get(name, |column| column.as_primitive_opt::<Int64Type>())
    }

    /// Sums, which the format lets be below 0 in one file: whoever cannot add such up must not read them as 0.
    pub(crate) fn sums(self, name: &str) -> Result<&'b Int64Array> {
        let sums = self.numbers(name)?;
        match sums.values().iter().all(|sum| *sum >= 0) {
            true => Ok(sums),
            false => Err(ParquetError::General(format!("a sum of {name} is below 0"))),
        }
    }

    pub(crate) fn positions(self, name: &str) -> Result<&'b UInt64Array> {
        self.get(name, |column| column.as_primitive_opt::<UInt64Type>())
    }

    pub(crate) fn users(self, name: &str) -> Result<&'b UInt32Array> {
        self.get(name, |column| column.as_primitive_opt::<UInt32Type>())
    }

    pub(crate) fn codes(self, name: &str) -> Result<&'b UInt8Array> {
        self.get(name, |column| column.as_primitive_opt::<UInt8Type>())
    }

    pub(crate) fn times(self, name: &str) -> Result<&'b TimestampMicrosecondArray> {
        self.get(name, |column| column.as_primitive_opt::<TimestampMicrosecondType>())
    }
}

/// The text at `row`, unless null.
pub(crate) fn text_at(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

/// The count at `row`, unless null.
pub(crate) fn count_at(array: &Int64Array, row: usize) -> Option<u64> {
    array.is_valid(row).then(|| unsigned(array.value(row)))
}

/// The instant at `row`, unless null.
pub(crate) fn time_at(array: &TimestampMicrosecondArray, row: usize) -> Option<Timestamp> {
    array.is_valid(row).then(|| Timestamp::from_micros(array.value(row)))
}

/// The user at `row`, unless null.
pub(crate) fn user_at(array: &UInt32Array, row: usize) -> Option<UserNumber> {
    array.is_valid(row).then(|| UserNumber(array.value(row)))
}

/// Counts are stored as `i64` and are never negative.
pub(crate) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Counts are capped at `i64::MAX` by admission and by saturating sums.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
