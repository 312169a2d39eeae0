//! Live state: what only the last half hour needs. Never on the path of exactness: everything here
//! can be rebuilt from what is stored.

pub mod memory;

pub use memory::MemoryLive;
