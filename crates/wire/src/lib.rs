//! Turns the bytes of an ingest request into event candidates: [`decode()`] undoes the compression
//! within its caps, [`parse()`] tells the events apart. Decides nothing about a value; that is
//! [`domain::admit`]'s part. The accepted forms are described in `docs/formats/ingest.md`.

mod error;
mod decode;
mod media;
mod parse;
mod event;
mod field;
mod json;

pub use decode::decode;
pub use error::BodyError;
pub use event::Item;
pub use parse::{Parsed, parse};
