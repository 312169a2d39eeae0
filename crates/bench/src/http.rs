//! HTTP from the client's side, as cheap as it gets: the load shares the machine with the server.

pub(super) mod connection;
pub(super) mod delivery;
pub(super) mod reader;
