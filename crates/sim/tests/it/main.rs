//! The real journal and the real ledger in the simulated world.

mod embedded;
mod random_worlds;
mod every_step;
