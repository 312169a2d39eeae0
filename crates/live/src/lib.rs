//! Live state: what only the last half hour needs. Never on the path of exactness: everything here
//! can be rebuilt from what is stored.

pub mod memory;
mod timeline;
mod counts;
mod second;
mod slots;
mod enrichment;

pub use memory::{LiveOptions, MemoryLive};
