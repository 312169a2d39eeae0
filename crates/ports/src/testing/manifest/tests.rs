//! The twin runs its own suite, and fails the way it is told to.

use super::*;

fn place() -> MemoryManifest {
    MemoryManifest::new()
}

#[async_trait]
impl Place<dyn Manifest> for MemoryManifest {
    async fn open(&self) -> Result<Arc<dyn Manifest>, PortError> {
        Ok(Arc::new(self.reopen()))
    }
}

#[tokio::test]
async fn the_twin_is_a_manifest() -> Result<(), PortError> {
    manifest_conformance(place).await
}

fn moved(from: u64, to: u64) -> Commit {
    Commit { cursor: Some((Seq(from), Seq(to))), ..Commit::default() }
}

/// Commits 0 to 1 with this fault; what the caller is told, what it is told next, and the cursor
/// that a restart finds.
async fn with_fault(fault: FaultPoint) -> Result<(Option<ErrorKind>, Option<ErrorKind>, Seq), PortError> {
    let identity = Identity { key: [1; 16], rule: domain::window::WindowRule::default() };
    let twin = MemoryManifest::new();
    twin.load(&identity).await?;
    twin.fail_next(fault);
    let told = twin.commit(&moved(0, 1)).await.err().map(|error| error.kind());
    let next = twin.commit(&moved(0, 1)).await.err().map(|error| error.kind());
    let again = twin.reopen();
    let found = again.load(&identity).await?.cursor;
    again.commit(&moved(found.0, 2)).await?;
    Ok((told, next, found))
}

#[tokio::test]
async fn a_fault_is_told_refuses_what_follows_and_ends_with_a_restart() -> Result<(), PortError> {
    let poisoned = Some(ErrorKind::Poisoned);
    assert_eq!(with_fault(FaultPoint::BeforeCommit).await?, (poisoned, poisoned, Seq(0)));
    assert_eq!(with_fault(FaultPoint::AfterCommit).await?, (poisoned, poisoned, Seq(1)));
    assert_eq!(with_fault(FaultPoint::DiskFull).await?, (Some(ErrorKind::Full), None, Seq(1)), "I7: it heals");
    Ok(())
}
