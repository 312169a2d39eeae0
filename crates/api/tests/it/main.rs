//! The API over real HTTP on a loopback port, with the pipeline over memory twins. Files under
//! `routes` mirror the URLs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod harness;
mod access;
mod admission;
mod statuses;
mod auth;
mod browsers;
mod reached;
mod tls;
mod bodies;
mod connections;
mod documents;
mod heads;
mod cursors;
mod problems;
mod routes;
