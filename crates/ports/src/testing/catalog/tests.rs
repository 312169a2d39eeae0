//! The twin runs its own suites, and fails the way it is told to.

use super::*;

use domain::access::audit::Cause;

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

/// A twin, and its handle that was opened last, which a fault is for.
#[derive(Debug, Default)]
struct Faulty {
    disk: MemoryCatalog,
    open: Mutex<Arc<MemoryCatalog>>,
}

#[async_trait]
impl Place<dyn WholeCatalog> for Faulty {
    async fn open(&self) -> Result<Arc<dyn WholeCatalog>, PortError> {
        let opened = Arc::new(self.disk.reopen());
        *self.open.lock() = Arc::clone(&opened);
        Ok(opened)
    }
}

#[tokio::test]
async fn the_twin_is_a_register() -> Result<(), PortError> {
    register_conformance(Faulty::default).await
}

#[tokio::test]
async fn i8_the_twin_keeps_an_audit_log() -> Result<(), PortError> {
    audit_conformance(Faulty::default).await?;
    let points = [FaultPoint::BeforeCommit, FaultPoint::AfterCommit, FaultPoint::DiskFull];
    audit_fault_conformance(Faulty::default, &points, |place, point| place.open.lock().fail_next(point)).await
}

#[tokio::test]
async fn handles_of_one_twin_see_what_the_others_store() -> Result<(), PortError> {
    let one = MemoryCatalog::new();
    let other = one.reopen();
    one.ensure_tenants(&[scope("a").tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
    assert_eq!(other.tenants().await?.len(), 1);
    assert_eq!((one.calls(), other.calls()), (1, 1));
    Ok(())
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
    let audit = Cause::server().draft(Some(scope("a").tenant()), Timestamp::MIN, "settings.change", "settings");
    for (fault, told, next, stored) in [
        (FaultPoint::BeforeCommit, poisoned, poisoned, 0),
        (FaultPoint::AfterCommit, poisoned, poisoned, 1),
        (FaultPoint::DiskFull, Some(ErrorKind::Full), None, 1),
    ] {
        let twin = MemoryCatalog::new();
        let decide = async |twin: &MemoryCatalog| {
            let decided = twin.store_settings(&scope("a"), &TenantSettings::default(), &audit).await;
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
