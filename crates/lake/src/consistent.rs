//! What is in memory and what is in the manifest, of one moment. A flush moves sums from one to the other
//! in two steps, so a reader in between would count them twice or not at all: it compares cursors and
//! looks again, without holding flushes off. Recounts of a tenant's days move no cursor; they are
//! numbered instead.

use domain::position::Seq;
use ports::{ErrorKind, PortError};

use crate::lake::Core;
use crate::memtable::Memtable;
use crate::state::Snapshot;

/// How often a reader looks again before it waits for the flush that is in its way.
const LOOKS: usize = 3;

impl Core {
    /// The state, what `look` finds in the memtable being filled, and what `ask` finds in the manifest,
    /// which says the cursor of its answer: all of one moment. Both may be called several times.
    ///
    /// # Errors
    /// Those of `ask`; `Unavailable` when a recount ended in doubt and only a restart can tell.
    pub(crate) async fn consistent<L, A, F>(
        &self,
        look: impl Fn(&Memtable) -> L,
        ask: impl Fn() -> F,
    ) -> Result<(Snapshot, L, A), PortError>
    where
        F: Future<Output = Result<(Seq, A), PortError>>,
    {
        for _ in 0..LOOKS {
            let (snapshot, looked) = self.view(&look);
            let (cursor, asked) = ask().await?;
            let recounts = self.state.read().recounts;
            if cursor == snapshot.cursor && recounts == snapshot.recounts && recounts.is_multiple_of(2) {
                return Ok((snapshot, looked, asked));
            }
            tokio::task::yield_now().await;
        }
        let _flushing = self.flushing.lock().await;
        let (snapshot, looked) = self.view(&look);
        if !snapshot.recounts.is_multiple_of(2) {
            return Err(PortError::new(ErrorKind::Unavailable, "read: the ledger needs a restart"));
        }
        Ok((snapshot, looked, ask().await?.1))
    }
}
