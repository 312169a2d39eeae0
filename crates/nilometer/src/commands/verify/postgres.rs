//! Verification of a database, beside servers that may go on.

use catalog::postgres::{PostgresCatalog, PostgresLimits};
use ports::register::{Register, Revision};

use super::audit;
use super::verified::{Differences, Verified};

/// Verifies the ledger and the audit log in a database, and prints each difference.
pub(in crate::commands) async fn verify_database(app_url: &str, worker_url: &str) -> anyhow::Result<Verified> {
    let limits = PostgresLimits { connections: 1, ..PostgresLimits::default() };
    let catalog = PostgresCatalog::open(app_url, &limits).await?;
    let mut differences = Differences::default();
    let ledger =
        ledger_postgres::verify(worker_url, &mut |difference| differences.tell(&difference.to_string())).await?;
    // Every record has a checksum, which is held against it on the way.
    catalog.load(Revision::default(), &mut |_| ()).await?;
    let log = audit::follow_chains(&catalog, &mut |line| differences.tell(&line)).await?;
    differences.written?;
    catalog.close().await?;
    Ok(Verified { ledger, log })
}
