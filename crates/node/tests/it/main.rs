//! The real binary: its command line, its settings, its folder, its end.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod harness;
mod commands;
mod settings;
mod shutdown;
mod live;
mod faults;
mod figures;
mod web_requests;
mod questions;
mod import;
