//! The suites of the ports.

use fail::FailScenario;
use ports::testing::catalog::{
    audit_conformance, audit_fault_conformance, catalog_conformance, references_conformance, register_conformance,
};
use ports::testing::manifest::FaultPoint;

use crate::Outcome;
use crate::place::Folder;

#[expect(clippy::unwrap_used, reason = "without a folder there is nothing to test")]
fn folder() -> Folder {
    Folder::new().unwrap()
}

#[tokio::test]
async fn sqlite_is_a_catalog() -> Outcome {
    Ok(catalog_conformance(folder).await?)
}

#[tokio::test]
async fn sqlite_keeps_reference_tables() -> Outcome {
    Ok(references_conformance(folder).await?)
}

#[tokio::test]
async fn sqlite_is_a_register() -> Outcome {
    Ok(register_conformance(folder).await?)
}

#[tokio::test]
async fn sqlite_keeps_an_audit_log() -> Outcome {
    Ok(audit_conformance(folder).await?)
}

/// A full disk cannot be had on demand here.
#[tokio::test]
async fn i8_a_change_and_its_entry_count_together_or_not_at_all() -> Outcome {
    let _alone = FailScenario::setup();
    let fail_next = |_: &Folder, point| {
        let name = if point == FaultPoint::AfterCommit { "catalog::after_commit" } else { "catalog::before_commit" };
        let configured = fail::cfg(name, "1*return");
        assert_eq!(configured, Ok(()));
    };
    let points = [FaultPoint::BeforeCommit, FaultPoint::AfterCommit];
    Ok(audit_fault_conformance(folder, &points, fail_next).await?)
}
