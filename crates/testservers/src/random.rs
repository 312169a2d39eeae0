//! Numbers nobody can guess, for names, ports and passwords of servers that live for minutes. Not for anything else.

use std::hash::{BuildHasher, RandomState};

/// A random number: a keyed hash whose key comes from the operating system.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Sixteen random hexadecimal digits.
pub(crate) fn word() -> String {
    format!("{:016x}", number())
}
