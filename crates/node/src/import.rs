//! `nilometer import`, below the command: a file is read and checked row by row on a thread of its own
//! while earlier batches become durable and are applied. Reads top to bottom in [`files::read`] (bytes
//! to rows), [`packing::Packing`] (rows to batches), [`into_folder`] and [`into_server`] (batches to
//! counts), [`desk::Desk`] (what became of them).

pub(crate) mod files;
mod feed;
pub(crate) mod rows;
mod table;
mod content_id;
pub(crate) mod packing;
pub(crate) mod into_folder;
pub(crate) mod into_server;
mod event_json;
mod rejects;
pub(crate) mod checkpoint;
pub(crate) mod progress;
pub(crate) mod desk;
