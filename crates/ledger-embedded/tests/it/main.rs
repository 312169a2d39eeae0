//! The embedded ledger against its contract, over the memory twins and the real disk.

mod audit;
mod conformance;
mod differential;
mod erasure;
mod files;
mod fixture;
mod lingering;
mod folder;
mod old_files;
mod sightings;
mod users;
mod queries;
mod questions;
mod received;
mod retention;
