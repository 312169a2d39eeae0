//! How far the live view is and how many streams are open, for the view, its tasks and the metrics.

use std::sync::atomic::{AtomicBool, AtomicUsize};

/// How far the live view is, and who reads it.
#[derive(Debug, Default)]
pub(crate) struct LiveStatus {
    /// Whether what was applied before the start has been counted.
    pub(crate) rebuilt: AtomicBool,
    /// Streams that are open.
    pub(crate) streams: AtomicUsize,
}
