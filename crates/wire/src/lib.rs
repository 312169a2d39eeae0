//! Turns the bytes of an ingest request into event candidates: [`decode()`] undoes the compression
//! within its caps, [`parse()`] tells the events apart. Decides nothing about a value; that is
//! [`domain::admit`]'s part. The accepted forms are described in `docs/formats/ingest.md`. Files are
//! read by the same rules, piece by piece: [`inflate()`], [`line()`], [`CsvReader`] and [`Columns`];
//! see `docs/import.md`.

mod error;
mod decode;
mod media;
mod parse;
mod event;
mod draft;
mod cloud_event;
mod slot;
mod measures;
mod usage_objects;
mod hints;
mod usage;
mod values;
mod names;
mod field;
mod json;
mod stream;
mod table;
mod time_name;
mod csv;

pub use csv::{CsvReader, CsvRow, Cut, has_escaped_quote, likely_delimiters, separator_line};
pub use decode::decode;
pub use draft::Item;
pub use error::BodyError;
pub use names::is_read_property;
pub use parse::{Parsed, line, parse};
pub use stream::inflate;
pub use table::{ColumnUse, Columns, ColumnsError, Mapping};
