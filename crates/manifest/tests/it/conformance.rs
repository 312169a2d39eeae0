//! The suite of the port.

use ports::testing::manifest::manifest_conformance;

use crate::Outcome;
use crate::place::Folder;

#[expect(clippy::unwrap_used, reason = "without a folder there is nothing to test")]
fn folder() -> Folder {
    Folder::new().unwrap()
}

#[tokio::test]
async fn sqlite_is_a_manifest() -> Outcome {
    Ok(manifest_conformance(folder).await?)
}
