//! The statements of this crate: what PostgreSQL would get, and along which indexes SQLite goes.

mod plans;
mod postgres;
pub(crate) mod samples;
