//! What became of records, asked of a process that has not applied them.

use std::sync::Arc;
use std::time::Duration;

use domain::bucket::BucketCount;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::receipts::{Fate, Receipts};
use ports::testing::ledger::records::{at, event, record, scope};
use ports::testing::receipts::receipts_conformance;
use postgres::PostgresLimits;
use testservers::Postgres;

use crate::Outcome;
use crate::place::{Base, options};

/// Who applies the records of "acme", and another process that has the bucket of somebody else.
async fn two(base: &Base, connections: u32) -> Result<[Arc<PostgresLedger>; 2], ports::PortError> {
    let mine = BucketCount::default().bucket_of(scope("acme").tenant());
    let app = PostgresLimits { connections, ..options().app };
    let of = |buckets: Vec<u16>| PostgresLedgerOptions { buckets, app, ..options() };
    let (one, other) = (of((0..8).filter(|no| *no != (mine + 1) % 8).collect()), of(vec![(mine + 1) % 8]));
    Ok([base.open_with(&one).await?, base.open_with(&other).await?])
}

async fn conformance([one, other]: [Arc<PostgresLedger>; 2]) {
    let apply = async |record: &Delivery| {
        let applied = one.apply(std::slice::from_ref(record)).await;
        assert!(applied.failed.is_none(), "{:?}", applied.failed);
    };
    let give_up = async |record: &Delivery| assert!(one.dead_letter(record, "no").await.is_ok());
    receipts_conformance(other.clone(), apply, give_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_tells_what_became_of_a_record() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    conformance(two(&base, 2).await?).await;
    Ok(())
}

/// Nobody is told of commits, since the login has one connection and that is for looking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_without_a_hint() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledgers = two(&base, 1).await?;
    base.sql(&format!(
        "ALTER ROLE {app} CONNECTION LIMIT 1; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{app}'",
        app = base.logins.app
    ))?;
    conformance(ledgers).await;
    assert_eq!(base.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")?, "0");
    Ok(())
}

#[tokio::test]
async fn i5_a_receipt_is_told_to_its_tenant_alone_and_for_a_day() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let (acme, other) = (scope("acme"), scope("other"));
    let records = [record(1, &acme, at(1), &[event("e", 0)]), record(2, &other, at(1), &[event("e", 0)])];
    assert!(ledger.apply(&records).await.failed.is_none());
    assert!(matches!(ledger.fate(&acme, records[0].id).await?, Some(Fate::Applied(_))));
    assert_eq!(ledger.fate(&other, records[0].id).await?, None);
    assert_eq!(ledger.fate(&scope("nobody"), records[0].id).await?, None);
    base.sql("UPDATE receipts SET applied_at = applied_at - interval '25 hours'")?;
    assert_eq!(ledger.fate(&acme, records[0].id).await?, None);
    Ok(())
}

/// However the server is, the wait ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_wait_ends_when_the_server_is_away_or_has_no_connection_left() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    let one = PostgresLimits { connections: 1, wait: Duration::from_secs(2), ..PostgresLimits::default() };
    let ledger = base.open_with(&PostgresLedgerOptions { app: one, worker: one, ..options() }).await?;
    let (acme, wait) = (scope("acme"), Duration::from_millis(300));
    let make = |seq| record(seq, &acme, at(1), &[event("e", 0)]);
    assert_eq!(ledger.wait_for(&acme, make(1).id, wait).await?, None);
    base.sql(&format!(
        "ALTER ROLE {} CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        base.logins.app, base.logins.app
    ))?;
    assert!(!matches!(ledger.wait_for(&acme, make(1).id, wait).await, Ok(Some(_))));
    base.sql(&format!("ALTER ROLE {} CONNECTION LIMIT -1", base.logins.app))?;
    let waiting = tokio::spawn({
        let (ledger, acme, id) = (Arc::clone(&ledger), acme.clone(), make(1).id);
        async move { ledger.wait_for(&acme, id, Duration::from_secs(300)).await }
    });
    server.kill()?;
    assert!(!matches!(ledger.wait_for(&acme, make(1).id, wait).await, Ok(Some(_))), "it is away");
    server.start()?;
    while ledger.apply(&[make(1)]).await.failed.is_some() {}
    assert!(matches!(waiting.await??, Some(Fate::Applied(_))), "who waited meanwhile is told");
    Ok(())
}
