//! The catalog in PostgreSQL, on a real server.

mod place;
mod conformance;
mod schema;
mod fences;
mod instances;
mod faults;
mod cut;
mod stored;
mod erasing;

pub(crate) use place::Base;
