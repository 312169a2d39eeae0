//! What is in memory and what the manifest answers, of one moment. A flush moves sums from one to the
//! other in two steps, so a reader in between would count them twice or not at all. The manifest names
//! the last record that its answer counts, which tells what is to be added; a reader that was too slow
//! asks again, without holding flushes off. Recounts of a tenant's days move no cursor; they are
//! numbered instead.

use domain::position::Seq;
use ports::{ErrorKind, PortError};

use crate::ledger::Core;
use crate::memtable::Memtable;
use crate::state::Snapshot;

/// How often a reader asks again before it waits for the flush to end.
const ATTEMPTS_MAX: usize = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct ConsistentRead<A, T> {
    pub(crate) snapshot: Snapshot,
    /// The manifest's answer.
    pub(crate) stored: A,
    /// What was found in the memtable being filled.
    pub(crate) active: T,
    /// Whether `stored` counts the frozen memtable, which no segment of the snapshot has.
    pub(crate) counts_frozen: bool,
}

impl Core {
    /// The state, with what `look` finds in the memtable being filled: both of one instant.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&Memtable) -> T) -> (Snapshot, T) {
        let state = self.state.read();
        (state.snapshot(), look(&state.active))
    }

    /// What `ask` finds in the manifest, with the last record that it counts, and the state of that
    /// moment. `look` holds up applying, so it only takes out what is worked on later. Both may be called
    /// several times.
    ///
    /// # Errors
    /// Those of `ask`; `Unavailable` when a recount ended in doubt and only a restart can tell.
    pub(crate) async fn moment<A, T, F>(
        &self,
        ask: impl Fn() -> F,
        look: impl Fn(&Memtable) -> T,
    ) -> Result<ConsistentRead<A, T>, PortError>
    where
        F: Future<Output = Result<(Seq, A), PortError>>,
    {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(found) = self.try_moment(&ask, &look).await? {
                return Ok(found);
            }
            tokio::task::yield_now().await;
        }
        // What changes the sums in the manifest holds this.
        let _flushing = self.flushing.lock().await;
        let found = self.try_moment(&ask, &look).await?;
        found.ok_or_else(|| PortError::new(ErrorKind::Unavailable, "read: the ledger needs a restart"))
    }

    /// `None` when the moment of the answer has passed.
    async fn try_moment<A, T, F>(
        &self,
        ask: impl Fn() -> F,
        look: impl Fn(&Memtable) -> T,
    ) -> Result<Option<ConsistentRead<A, T>>, PortError>
    where
        F: Future<Output = Result<(Seq, A), PortError>>,
    {
        let recounts = self.state.read().recounts;
        let (counted, stored) = ask().await?;
        let (snapshot, active) = self.view(|active| look(active));
        let is_passed = snapshot.cursor > counted || snapshot.recounts != recounts || !recounts.is_multiple_of(2);
        if is_passed {
            return Ok(None);
        }
        let last = snapshot.frozen.as_ref().and_then(|frozen| frozen.span()).map(|(_, last)| last);
        let counts_frozen = last.is_some_and(|last| last <= counted);
        Ok(Some(ConsistentRead { snapshot, stored, active, counts_frozen }))
    }
}
