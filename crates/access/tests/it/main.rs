//! The register of one process beside that of another over the same store, and over time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod external;
mod handles;
mod master;
mod seeking;
mod upkeep;
