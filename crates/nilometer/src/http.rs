//! HTTP from the client's side: what the benchmark and the import over a URL share.

pub(crate) mod connection;
pub(crate) mod delivery;
pub(crate) mod reader;
