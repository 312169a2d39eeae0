//! The suites of the ports.

use ports::testing::catalog::{catalog_conformance, references_conformance};

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
