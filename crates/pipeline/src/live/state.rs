//! What the live view, its tasks and the metrics share.

use std::sync::atomic::{AtomicBool, AtomicUsize};

/// How far the live view is, and who reads it.
#[derive(Debug, Default)]
pub(crate) struct LiveState {
    /// Whether what was applied before the start has been counted.
    pub(crate) rebuilt: AtomicBool,
    /// Streams that are open.
    pub(crate) streams: AtomicUsize,
}
