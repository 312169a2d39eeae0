//! The real binary: its command line, its settings, its folder, its end.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod harness;
mod commands;
mod settings;
mod shutdown;
mod folder;
mod live;
mod faults;
mod figures;
mod exact_sums;
mod sending;
mod readme;
mod register;
mod encryption;
mod external;
mod transport;
mod web_requests;
mod streams;
mod unanswered;
mod injection;
mod questions;
mod import;
mod bench;
mod clock_jumps;
mod migrate;
mod moving;
#[cfg(feature = "cluster")]
mod postgres;
