//! Remembers whether somebody sees to what the catalog has to forget.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody sees to what the catalog has to forget.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forgetting(Arc<AtomicBool>);

/// The turn of whoever sees to what the catalog has to forget, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Turn(Forgetting);

impl Forgetting {
    /// Begins, unless somebody does already.
    pub(crate) fn begin(&self) -> Option<Turn> {
        let is_free = !self.0.swap(true, Ordering::AcqRel);
        is_free.then(|| Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}
