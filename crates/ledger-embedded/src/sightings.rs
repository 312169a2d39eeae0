//! Which ids of a request were counted before: from memory where memory knows, which is so for nearly
//! all; a few others from pages of files that the kernel holds in memory; and the rest from the files of
//! ids, on a thread that may block.
//!
//! A segment's filter has eight bits for each id, so of new ids it lets through one of 256. Of a batch of n
//! new ids over k segments about n·k/256 are looked up for nothing: some of 100 ids are, with a probability of
//! 1 − (255/256)^(100·k), which is 32 % with one segment and 98 % with ten. A hop to another thread for each of
//! those requests costs more than all else here, so their pages are first asked of the kernel, which answers
//! without waiting for a disk; memory has told all others, which are not looked at again.

use std::io;
use std::sync::Arc;

use domain::limits::{PERMIT_WAIT_MAX, SIGHTING_READS_AT_ONCE_MAX, SIGHTING_WAIT_MAX};
use ports::{ErrorKind, PortError};
use tokio::sync::Semaphore;

use crate::dedup::{FirstSeen, IdHash, IdLookup};
use crate::segment::corrupt;
use crate::state::Snapshot;

/// What is known of each id of a request, in its order.
#[derive(Debug)]
pub(crate) struct Sightings {
    found: Vec<Option<FirstSeen>>,
    /// Ids that only files can tell, each with its place in `found`.
    unread: Vec<(IdHash, usize)>,
}

/// Bounds how many requests read files at once, in order of arrival. It knows no tenants and need not: what it
/// gives is a hint, for which no request waits for long.
#[derive(Debug)]
pub(crate) struct SightingReads(Arc<Semaphore>);

impl Default for SightingReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SIGHTING_READS_AT_ONCE_MAX)))
    }
}

/// Ids of a request that are looked up on the thread that asks; with more it goes to another at once.
const CACHED_LOOKUPS_MAX: usize = 64;

impl Sightings {
    /// Looks in memory only. `active` is what the memtable being filled says of each of `hashes`.
    pub(crate) fn in_memory(hashes: &[IdHash], active: Vec<Option<FirstSeen>>, snapshot: &Snapshot) -> Self {
        let (mut found, mut unread) = (active, Vec::new());
        let marks = snapshot.marks(hashes);
        for (at, ((hash, is_marked), found)) in hashes.iter().zip(marks).zip(&mut found).enumerate() {
            if found.is_none() {
                *found = snapshot.frozen.as_ref().and_then(|frozen| frozen.find_id(*hash));
            }
            if found.is_none() && is_marked {
                unread.push((*hash, at));
            }
        }
        Self { found, unread }
    }

    /// Looks up a few ids as far as the kernel holds the pages they may be on.
    fn look_in_cache(&mut self, snapshot: &Snapshot) {
        if self.unread.len() > CACHED_LOOKUPS_MAX {
            return;
        }
        let found = &mut self.found;
        self.unread.retain(|(hash, at)| {
            let mut is_told = true;
            for segment in snapshot.segments.iter().rev().filter(|segment| segment.ids().may_hold(*hash)) {
                match IdLookup::cached_only(segment.ids()).find(*hash) {
                    Ok(None) => {}
                    Ok(seen) => {
                        found[*at] = seen;
                        return false;
                    }
                    Err(_) => is_told = false,
                }
            }
            !is_told
        });
    }

    /// Reads the files of ids for what is left, if anything is. A file that cannot be read sees nothing, and
    /// memory alone answers when the reads of others leave no room in time.
    pub(crate) async fn complete(mut self, snapshot: Snapshot, reads: &SightingReads) -> Vec<Option<FirstSeen>> {
        self.look_in_cache(&snapshot);
        if self.unread.is_empty() {
            return self.found;
        }
        let memory = self.found.clone();
        let permit = tokio::time::timeout(SIGHTING_WAIT_MAX, Arc::clone(&reads.0).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return memory };
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            self.read(&snapshot);
            self.found
        });
        // Fails only when the runtime ends, which ends the request too.
        reading.await.unwrap_or(memory)
    }

    /// Reads the files of ids for what is left. Waits for the reads of others as long as any request may.
    pub(crate) async fn complete_exactly(
        mut self,
        snapshot: Snapshot,
        reads: &SightingReads,
    ) -> Result<Vec<Option<FirstSeen>>, PortError> {
        self.look_in_cache(&snapshot);
        if self.unread.is_empty() {
            return Ok(self.found);
        }
        let permit = tokio::time::timeout(PERMIT_WAIT_MAX, Arc::clone(&reads.0).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(PortError::new(ErrorKind::Overloaded, "look ids up: other lookups take long"));
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let unreadable = self.read(&snapshot);
            unreadable.map_or(Ok(self.found), |why| Err(corrupt("an id run", why)))
        });
        let ended = |_| PortError::new(ErrorKind::Unavailable, "look ids up: the process ends");
        reading.await.map_err(ended)?
    }

    /// Reads the files for what is left. A file that cannot be read sees nothing; the first such failure is
    /// returned.
    fn read(&mut self, snapshot: &Snapshot) -> Option<io::Error> {
        // In the order of the files, so that a page is read once for all ids on it.
        self.unread.sort_unstable();
        let mut unreadable = None;
        for segment in snapshot.segments.iter().rev() {
            let mut lookup = IdLookup::new(segment.ids());
            let found = &mut self.found;
            self.unread.retain(|(hash, at)| {
                found[*at] = lookup.find(*hash).unwrap_or_else(|why| {
                    unreadable.get_or_insert(why);
                    None
                });
                found[*at].is_none()
            });
        }
        unreadable
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use domain::event::EventId;
    use ports::ledger::{Ledger, Outcome};
    use ports::testing::clock::ManualClock;
    use ports::testing::ledger::records::{at, event, record, scope};

    use super::*;
    use crate::fixture::open;
    use crate::options::LedgerOptions;

    #[tokio::test]
    async fn i6_an_id_is_looked_up_in_memory_alone_when_the_lookups_of_others_leave_no_room() {
        let options = LedgerOptions { background: false, ..LedgerOptions::default() };
        let ledger = open(options, Arc::new(ManualClock::new(at(0)))).await;
        let tenant = scope("one");
        assert!(ledger.apply(&[record(1, &tenant, at(0), &[event("flushed", 0)])]).await.failed.is_none());
        ledger.flush().await.expect("a flush");
        let second = [event("unflushed", 0), event("flushed", 0)];
        let reads = u32::try_from(SIGHTING_READS_AT_ONCE_MAX).expect("few");
        let others = Arc::clone(&ledger.core.sighting_reads.0).try_acquire_many_owned(reads).expect("free places");
        assert!(ledger.apply(&[record(2, &tenant, at(0), &second[..1])]).await.failed.is_none());
        let known = async |id: &str| ledger.seen(&tenant, &[EventId::native(id)]).await[0].is_some();
        assert!(known("unflushed").await, "memory tells");
        assert!(!known("flushed").await, "no file is read");
        let applied = ledger.apply(&[record(3, &tenant, at(0), &second[1..])]).await;
        assert_eq!(applied.applied[0].outcomes, [Outcome::Duplicate], "what decides waits for nothing");
        let flushed = [EventId::native("flushed")];
        let exactly = ledger.seen_exactly(&tenant, &flushed);
        tokio::pin!(exactly);
        let waits = tokio::time::timeout(SIGHTING_WAIT_MAX * 2, &mut exactly).await.is_err();
        drop(others);
        assert!(waits, "what must not be missed waits for a place");
        assert!(exactly.await.expect("a lookup")[0].is_some());
        assert!(known("flushed").await);
    }
}
