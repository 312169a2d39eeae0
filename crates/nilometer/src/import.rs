//! `nilometer import`, below the command: a file is read and checked row by row on a thread of its own
//! while earlier batches become durable and are applied. Reads top to bottom in [`files::read`] (bytes
//! to rows), [`batcher::Batcher`] (rows to batches), [`into_folder`] and [`into_server`] (batches to
//! counts), [`session::ImportSession`] (what became of them).

pub(crate) mod files;
mod foreign;
mod input_reader;
pub(crate) mod options;
pub(crate) mod rows;
mod lines;
mod nulls;
mod csv_rows;
mod table;
mod content_id;
pub(crate) mod batcher;
pub(crate) mod into_folder;
pub(crate) mod into_server;
mod event_json;
mod rejects;
mod summary;
pub(crate) mod checkpoint;
pub(crate) mod progress;
pub(crate) mod session;
