//! How the rows of the Parquet files are laid out: which columns they are sorted by, and how pages and row
//! groups are cut, so that a reader finds one customer's rows through the page index.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// Bytes of one row group, about: what a writer holds in memory.
const GROUP_BYTES: usize = 32 << 20;

/// The sort columns of a Parquet file, by name; all are required and have page statistics.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    pub(crate) tenant: &'static str,
    pub(crate) grain: Option<&'static str>,
    pub(crate) customer: &'static str,
    pub(crate) time: &'static str,
}

/// How instants are stored.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// The column of the instants gathered, and an empty builder again.
pub(super) fn utc(builder: &mut TimestampMicrosecondBuilder) -> ArrayRef {
    Arc::new(builder.finish().with_timezone("UTC"))
}

/// Properties shared by the Parquet files: pages cut by rows alone, statistics per page for the sort
/// columns only.
pub(super) fn key_properties(
    page_rows: usize,
    group_rows: usize,
    prefixed: &[&str],
    sorted: &[&str],
) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_write_batch_size(page_rows)
        .set_data_page_row_count_limit(page_rows)
        .set_data_page_size_limit(64 << 20)
        .set_max_row_group_row_count(Some(group_rows))
        .set_max_row_group_bytes(Some(GROUP_BYTES));
    for name in prefixed {
        let path = ColumnPath::from(*name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = properties.set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY);
    }
    for name in sorted {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::Page);
    }
    properties
}

/// Stores these columns as differences between neighbours.
pub(super) fn delta_packed(
    properties: WriterPropertiesBuilder,
    names: impl IntoIterator<Item = &'static str>,
) -> WriterPropertiesBuilder {
    names.into_iter().fold(properties, |properties, name| {
        let path = ColumnPath::from(name);
        let properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
    })
}
