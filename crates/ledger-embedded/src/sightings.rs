//! Which ids of a request were counted before: from memory where memory knows, which is so for nearly
//! all, and from the files of ids otherwise, on a thread that may block.

use std::io;
use std::sync::Arc;

use domain::limits::SIGHTING_READS_AT_ONCE_MAX;
use tokio::sync::Semaphore;

use crate::dedup::{FirstSeen, IdHash, IdLookup};
use crate::state::Snapshot;

/// What is known of each id of a request, in its order.
#[derive(Debug)]
pub(crate) struct Sightings {
    found: Vec<Option<FirstSeen>>,
    /// Ids that only files can tell, each with its place in `found`.
    unread: Vec<(IdHash, usize)>,
}

/// Bounds how many requests read files at once: a resource bound in order of arrival, not a scheduler.
#[derive(Debug)]
pub(crate) struct SightingReads(Arc<Semaphore>);

impl Default for SightingReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SIGHTING_READS_AT_ONCE_MAX)))
    }
}

impl Sightings {
    /// Looks in memory only. `active` is what the memtable being filled says of each of `hashes`.
    pub(crate) fn in_memory(hashes: &[IdHash], active: Vec<Option<FirstSeen>>, snapshot: &Snapshot) -> Self {
        let (mut found, mut unread) = (active, Vec::new());
        for (at, (hash, found)) in hashes.iter().zip(&mut found).enumerate() {
            if found.is_none() {
                *found = snapshot.frozen.as_ref().and_then(|frozen| frozen.find_id(*hash));
            }
            if found.is_none() && snapshot.segments.iter().any(|segment| segment.ids().may_hold(*hash)) {
                unread.push((*hash, at));
            }
        }
        Self { found, unread }
    }

    /// Reads the files of ids for what is left, if anything is. A file that cannot be read sees nothing.
    pub(crate) async fn complete(self, snapshot: Snapshot, reads: &SightingReads) -> Vec<Option<FirstSeen>> {
        if self.unread.is_empty() {
            return self.found;
        }
        let memory = self.found.clone();
        let Ok(permit) = Arc::clone(&reads.0).acquire_owned().await else { return memory };
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            self.read(&snapshot)
        });
        // Fails only when the runtime ends, which ends the request too.
        reading.await.unwrap_or(memory)
    }

    fn read(mut self, snapshot: &Snapshot) -> Vec<Option<FirstSeen>> {
        // In the order of the files, so that a page is read once for all ids on it.
        self.unread.sort_unstable();
        for segment in snapshot.segments.iter().rev() {
            let mut lookup = IdLookup::new(segment.ids());
            let found = &mut self.found;
            self.unread.retain(|(hash, at)| {
                let seen: io::Result<Option<FirstSeen>> = lookup.find(*hash);
                found[*at] = seen.unwrap_or_default();
                found[*at].is_none()
            });
        }
        self.found
    }
}
