//! Settings are checked and not believed.

use super::*;
use std::error::Error;

use crate::file::tests::Numbers;

#[tokio::test]
async fn a_connection_that_would_not_sync_is_refused() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let draft = Draft::begin::<Numbers>(&path).await?;
    draft.finish().await?;
    draft.publish(&path).await?;
    open::<Numbers>(&path).await?.close().await?;
    check_settings(&pool(options(&path), 1).await?).await?;
    let lax = [
        options(&path).synchronous(SqliteSynchronous::Normal),
        options(&path).foreign_keys(false),
        options(&path).pragma("trusted_schema", "ON"),
        options(&path).pragma("cell_size_check", "OFF"),
        options(&path).busy_timeout(Duration::ZERO),
        options(&path).pragma("journal_mode", "DELETE"),
    ];
    for options in lax {
        let connection = pool(options, 1).await?;
        assert!(check_settings(&connection).await.is_err());
        connection.close().await?;
    }
    Ok(())
}
