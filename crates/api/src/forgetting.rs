//! Remembers of which erasures the catalog has something to forget still.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The erasures of which the catalog has something to forget still, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forgetting(Arc<Mutex<BTreeSet<String>>>);

/// One of them, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Turn {
    of: Forgetting,
    pub(crate) id: String,
}

impl Forgetting {
    /// Whether the catalog may still hold some of what this erasure removes.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.lock().contains(id)
    }

    /// Begins one, unless it is under way.
    pub(crate) fn begin(&self, id: &str) -> Option<Turn> {
        let is_new = self.0.lock().insert(id.to_owned());
        is_new.then(|| Turn { of: self.clone(), id: id.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.id);
    }
}
