//! Settings are checked and not believed.

use super::*;
use std::error::Error;

#[tokio::test]
async fn a_connection_that_would_not_sync_is_refused() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("manifest.sqlite");
    drop(open(&path).await?);
    let lax = [
        options(&path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal),
        options(&path).journal_mode(SqliteJournalMode::Wal).foreign_keys(false),
        options(&path).journal_mode(SqliteJournalMode::Wal).pragma("trusted_schema", "ON"),
        options(&path).journal_mode(SqliteJournalMode::Delete),
    ];
    for options in lax {
        let connection = pool(options, 1).await?;
        assert!(check_settings(&connection).await.is_err());
        connection.close().await?;
    }
    check_settings(&connect_writer(&path, SqliteJournalMode::Wal).await?).await?;
    Ok(())
}
