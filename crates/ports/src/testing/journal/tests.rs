//! The memory twin itself, and its faults.

use super::*;
use crate::testing::ledger::records::{admitted, at, event, scope};

struct InMemory(MemoryLog);

#[async_trait]
impl JournalPlace for InMemory {
    async fn open(&self, after: Seq) -> Result<Arc<dyn OrderedJournal>, PortError> {
        Ok(Arc::new(MemoryJournal::open(self.0.clone(), after, BACKLOG_BYTES_MAX)?))
    }
}

#[tokio::test]
async fn the_memory_twin_conforms() -> Result<(), PortError> {
    journal_conformance(|| InMemory(MemoryLog::default())).await
}

#[tokio::test]
async fn a_failed_append_is_kept_only_when_asked() -> Result<(), PortError> {
    let journal = MemoryJournal::default();
    let batch = admitted(&scope("acme"), at(0), &[event("a", 0)]);
    journal.fail_appends(Some(AppendFault { kind: ErrorKind::Full, kept: false }));
    assert_eq!(journal.append(&batch).await.map_err(|why| why.kind()), Err(ErrorKind::Full));
    assert_eq!((journal.last_durable(), journal.health().await), (Seq(0), JournalHealth::Full));
    journal.fail_appends(Some(AppendFault { kind: ErrorKind::Unavailable, kept: true }));
    assert_eq!(journal.append(&batch).await.map_err(|why| why.kind()), Err(ErrorKind::Unavailable));
    assert_eq!(journal.last_durable(), Seq(1));
    journal.fail_appends(None);
    assert_eq!(journal.append(&batch).await?, Seq(2).into());
    Ok(())
}
