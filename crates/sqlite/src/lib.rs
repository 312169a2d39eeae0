//! What the manifest and the catalog have in common: an SQLite file that is opened the one way that
//! makes a commit durable, has one writer, and takes no write after a failed one until it is opened
//! again. Which tables it holds is for its [`Schema`] to say.

mod file;
mod connection;
mod place;
mod failure;
mod columns;
mod seal;
mod packed;

pub use columns::{signed, tenant_id, unsigned};
pub use connection::{Draft, Schema, owe_scrub};
pub use failure::Failure;
pub use file::{FileAsItLies, PreparedFile, SqliteFile, Write};
pub use packed::{Packed, put_number, put_text};
pub use seal::Seal;
