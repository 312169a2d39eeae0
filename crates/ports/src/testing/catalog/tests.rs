//! The twin runs its own suites, and fails the way it is told to.

use super::*;
use crate::testing::manifest::{Place, scope};

#[async_trait]
impl Place<dyn Catalog> for MemoryCatalog {
    async fn open(&self) -> Result<Arc<dyn Catalog>, PortError> {
        Ok(Arc::new(self.reopen()))
    }
}

#[async_trait]
impl Place<dyn References> for MemoryCatalog {
    async fn open(&self) -> Result<Arc<dyn References>, PortError> {
        Ok(Arc::new(self.reopen()))
    }
}

#[tokio::test]
async fn the_twin_is_a_catalog() -> Result<(), PortError> {
    catalog_conformance(MemoryCatalog::new).await
}

#[tokio::test]
async fn the_twin_keeps_reference_tables() -> Result<(), PortError> {
    references_conformance(MemoryCatalog::new).await
}

#[tokio::test]
async fn a_fault_is_told_refuses_what_follows_and_ends_with_a_restart() -> Result<(), PortError> {
    let poisoned = Some(ErrorKind::Poisoned);
    for (fault, told, next, stored) in [
        (FaultPoint::BeforeCommit, poisoned, poisoned, 0),
        (FaultPoint::AfterCommit, poisoned, poisoned, 1),
        (FaultPoint::DiskFull, Some(ErrorKind::Full), None, 1),
    ] {
        let twin = MemoryCatalog::new();
        let decide = async |twin: &MemoryCatalog| {
            let decided = twin.store_settings(&scope("a"), &TenantSettings::default(), Timestamp::MIN).await;
            decided.err().map(|error| error.kind())
        };
        twin.fail_next(fault);
        assert_eq!((decide(&twin).await, decide(&twin).await), (told, next), "{fault:?}");
        let again = twin.reopen();
        assert_eq!(again.settings().await?.len(), stored, "{fault:?}");
        assert_eq!(decide(&again).await, None, "{fault:?}");
    }
    Ok(())
}
