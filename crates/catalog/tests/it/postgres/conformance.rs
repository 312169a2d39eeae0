//! The suites of the ports, as SQLite runs them. That of faults is not among them: nothing is poisoned here, see
//! [`super::faults`].

use ports::testing::catalog::{audit_conformance, catalog_conformance, references_conformance, register_conformance};

use super::place::Base;
use crate::Outcome;

/// Whether there is a server; and what is made for each check.
fn is_there() -> Result<bool, testservers::Error> {
    Ok(Base::new()?.is_some())
}

#[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
fn base() -> Base {
    Base::new().unwrap().unwrap()
}

#[tokio::test]
async fn postgresql_is_a_catalog() -> Outcome {
    if is_there()? {
        catalog_conformance(base).await?;
    }
    Ok(())
}

#[tokio::test]
async fn postgresql_keeps_reference_tables() -> Outcome {
    if is_there()? {
        references_conformance(base).await?;
    }
    Ok(())
}

#[tokio::test]
async fn postgresql_is_a_register() -> Outcome {
    if is_there()? {
        register_conformance(base).await?;
    }
    Ok(())
}

#[tokio::test]
async fn postgresql_keeps_an_audit_log() -> Outcome {
    if is_there()? {
        audit_conformance(base).await?;
    }
    Ok(())
}
