//! Real servers: what a test gets, what is left when it ends, however it ends, and who shares one.
#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;
mod postgres;
mod brokers;
mod ending;
mod sharing;
mod missing;
