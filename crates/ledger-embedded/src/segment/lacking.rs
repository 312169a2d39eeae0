//! Columns that files of an earlier version lack. They are read as if they had them: empty where a value may be
//! absent, else 0. The one place where versions of Parquet files are told apart, so that every reader sees the
//! columns of the newest.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt8Array, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Columns that are not in a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Lacking(Vec<FieldRef>);

impl Lacking {
    /// The columns of `newest` that a file with columns `found` does not have.
    pub(super) fn of(found: &Schema, newest: &Fields) -> Self {
        let lacks = |field: &&FieldRef| found.field_with_name(field.name()).is_err();
        Self(newest.iter().filter(lacks).cloned().collect())
    }

    /// Only the columns of these names.
    pub(super) fn among(&self, names: &[&str]) -> Self {
        let wanted = |field: &&FieldRef| names.contains(&field.name().as_str());
        Self(self.0.iter().filter(wanted).cloned().collect())
    }

    /// The batch with these columns behind its own.
    pub(super) fn add_to(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let schema = batch.schema();
        let fields: Vec<_> = schema.fields().iter().chain(&self.0).cloned().collect();
        let mut columns = batch.columns().to_vec();
        for field in &self.0 {
            columns.push(default(field, rows)?);
        }
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
    }
}

fn default(field: &FieldRef, rows: usize) -> Result<ArrayRef, ArrowError> {
    match field.data_type() {
        kind if field.is_nullable() => Ok(new_null_array(kind, rows)),
        DataType::Int64 => Ok(Arc::new(Int64Array::from_value(0, rows))),
        DataType::UInt8 => Ok(Arc::new(UInt8Array::from_value(0, rows))),
        _ => Err(ArrowError::SchemaError(format!("column {} is missing", field.name()))),
    }
}
