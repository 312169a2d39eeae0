//! A server that follows, and answers.

use std::time::Duration;

use ledger_postgres::{PostgresLedgerOptions, ReplicaOptions};
use ports::ledger::Ledger;
use ports::reports::{EventFilter, EventQuery, Order, Reports};
use ports::testing::ledger::records::{at, event, record, scope};
use postgres::PostgresLimits;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use testservers::Postgres;

use crate::Outcome;
use crate::place::{Base, options};

const ALL: EventQuery = EventQuery {
    filter: EventFilter {
        range: domain::time::TimeRange::ALL,
        customer: None,
        user: None,
        kind: None,
        endpoint: None,
        project: None,
    },
    order: Order::Ascending,
    after: None,
    limit: 100,
    bytes_max: 1 << 20,
};

/// An address at another server.
fn moved(url: &str, from: &Postgres, to: &Postgres) -> String {
    url.replace(&format!(":{}/", from.port()), &format!(":{}/", to.port()))
}

fn with_replica(url: String, wait: Duration) -> PostgresLedgerOptions {
    let limits = PostgresLimits { connections: 2, ..PostgresLimits::default() };
    PostgresLedgerOptions { replica: Some(ReplicaOptions { url, limits, wait }), ..options() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_answers_with_what_was_written_before_the_question_or_not_at_all() -> Outcome {
    let Some(primary) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&primary)?;
    base.migrate().await?;
    let standby = primary.follow()?;
    let acme = scope("acme");
    let ledger =
        base.open_with(&with_replica(moved(&base.app_url(), &primary, &standby), Duration::from_secs(20))).await?;
    let mut superuser = PgConnection::connect(&moved(&base.superuser_url(), &primary, &standby)).await?;
    for seq in 1..=20 {
        assert!(ledger.apply(&[record(seq, &acme, at(1), &[event(&format!("e{seq}"), 0)])]).await.failed.is_none());
        assert_eq!(ledger.events(&acme, &ALL).await?.rows.len() as u64, seq, "what was written is read");
    }
    let readers = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND query LIKE '%ROLLBACK%'";
    let readers: i64 = sqlx::query_scalar(readers).bind(&base.logins.app).fetch_one(&mut superuser).await?;
    assert!(readers > 0, "the replica has answered");
    ledger.close().await?;

    // It stands still: what comes after that is read where it was written.
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut superuser).await?;
    let url = moved(&base.app_url(), &primary, &standby);
    let ledger = base.open_with(&with_replica(url, Duration::from_millis(200))).await?;
    assert!(ledger.apply(&[record(21, &acme, at(1), &[event("e21", 0)])]).await.failed.is_none());
    assert_eq!(ledger.events(&acme, &ALL).await?.rows.len(), 21);
    ledger.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_another_server_or_is_not_there_answers_nothing() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let Some(other) = Base::migrated().await? else { return Ok(()) };
    let acme = scope("acme");
    for url in [other.app_url(), base.app_url(), "postgres://nobody:x@127.0.0.1:1/none".to_owned()] {
        let ledger = base.open_with(&with_replica(url.clone(), Duration::from_secs(1))).await?;
        let seq = ledger.applied().0 + 1;
        assert!(ledger.apply(&[record(seq, &acme, at(1), &[event(&format!("e{seq}"), 0)])]).await.failed.is_none());
        assert_eq!(ledger.events(&acme, &ALL).await?.rows.len() as u64, seq, "{url}");
        ledger.close().await?;
    }
    Ok(())
}
