//! Recomputes everything that is added up of events from the raw ones, as one moment has them, and names each difference
//! (I3): windows, customers, rollups, what was received, users and their days; and the entries of ids that dedup rests on
//! (I2), positions and counters. The server hands each table over in the order of its key, so memory does not grow with
//! the store. What lies before a tenant's floor can no longer be recomputed and is left out.

mod moment;
mod report;
mod stored;
mod raw;
mod customers;
mod hours;
mod days;
mod received;
mod ids;
mod users;
mod counters;

use ports::PortError;
use ports::verification::{Difference, VerifySummary};
use postgres::Failure;

use crate::identity::identity;
use moment::Moment;
use report::Report;

/// Compares everything stored with what the raw events give. Servers may go on meanwhile.
///
/// # Errors
/// `Unacceptable` when the schema is not the one of this program, or the worker's login may do less or more than it is to.
/// Otherwise when something cannot be read; differences are no errors.
pub async fn verify(
    worker_url: &str,
    on_difference: &mut (dyn FnMut(&Difference) + Send),
) -> Result<VerifySummary, PortError> {
    let verified = recompute(worker_url, on_difference).await;
    verified.map_err(|failure| failure.during("verify the ledger in PostgreSQL"))
}

async fn recompute(
    worker_url: &str,
    on_difference: &mut (dyn FnMut(&Difference) + Send),
) -> Result<VerifySummary, Failure> {
    let moment = Moment::open(worker_url).await?;
    let mut reader = moment.reader().await?;
    let Some(identity) = identity(reader.on()).await? else {
        // No server has opened it yet.
        return Ok(VerifySummary::default());
    };
    let mut report = Report::new(report::tenants(reader.on()).await?, on_difference);
    reader.end().await?;
    customers::compare(&moment, identity.rule, &mut report).await?;
    hours::compare(&moment, &mut report).await?;
    days::compare(&moment, &mut report).await?;
    received::compare(&moment, &mut report).await?;
    ids::compare(&moment, &mut report).await?;
    users::compare(&moment, &mut report).await?;
    counters::compare(&moment, &mut report).await?;
    moment.close().await;
    Ok(report.summary)
}
