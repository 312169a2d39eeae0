//! The real journal and the real ledger in the simulated world.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod embedded;
mod every_step;
mod fairness;
mod flaws;
mod found;
mod random_worlds;
