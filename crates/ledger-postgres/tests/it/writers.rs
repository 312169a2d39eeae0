//! More than one process that believes to own the bucket (F20): one of them is fenced, and nothing counts twice.

use std::sync::Arc;
use std::time::Duration;

use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{at, event, record, scope};

use crate::Outcome;
use crate::child;
use crate::place::{Base, options};

/// Ends the lease of whoever has the bucket, as if it had been stopped for so long.
const STOPPED: &str = "WITH locked AS MATERIALIZED (SELECT bucket FROM buckets ORDER BY bucket FOR NO KEY UPDATE) \
                       UPDATE buckets b SET expires_at = clock_timestamp() - interval '1 second' \
                       FROM locked l WHERE b.bucket = l.bucket";

fn records(count: u64) -> Vec<Delivery> {
    let make = |seq| {
        let events: Vec<_> =
            (0..5).map(|n| event(&format!("e{}", seq * 3 + n), 0).customer("c").tokens(1, 0)).collect();
        record(seq, &scope("acme"), at(1), &events)
    };
    (1..=count).map(make).collect()
}

/// That each id is counted once in every table.
fn counted_once(base: &Base, ids: u64) -> Outcome {
    let counts = base.sql(
        "SELECT (SELECT count(*) FROM event_ids), (SELECT count(*) FROM usage_events), \
         (SELECT sum(calls) FROM aggregation_windows), (SELECT sum(calls) FROM customers), \
         (SELECT sum(calls) FROM rollups WHERE grain = 0), (SELECT sum(calls) FROM rollups WHERE grain = 1), \
         (SELECT sum(tokens) FROM received), (SELECT sum(events) FROM buckets)",
    )?;
    assert_eq!(counts, vec![ids.to_string(); 8].join("|"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_who_was_stopped_beyond_its_lease_is_fenced() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let records = records(40);
    let first = base.open().await?;
    assert!(first.apply(&records[..10]).await.failed.is_none());
    base.sql(STOPPED)?;
    let second = base.open().await?;
    assert_eq!(second.cursor().0, 10);
    let refused = first.apply(&records[10..12]).await;
    assert!(refused.applied.is_empty());
    assert_eq!(refused.failed.map(|why| why.kind()), Some(ErrorKind::Closed));
    assert_eq!(first.failure(), Some(ErrorKind::Closed));
    assert_eq!(first.close_through(at(9)).await.err().map(|why| why.kind()), Some(ErrorKind::Closed));
    assert_eq!(first.dead_letter(&records[10], "no").await.err().map(|why| why.kind()), Some(ErrorKind::Closed));
    assert!(second.apply(&records).await.failed.is_none());
    first.close().await?;
    assert!(base.open_with(&hasty()).await.is_err(), "who was fenced gives nothing away");
    counted_once(&base, 40 * 3 + 2)
}

fn hasty() -> PostgresLedgerOptions {
    PostgresLedgerOptions { lease: Duration::from_millis(300), ..options() }
}

/// Each takes the bucket from the other again and again, in the middle of what that one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_writers_that_take_the_bucket_from_each_other_count_each_event_once() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let base = Arc::new(base);
    let records = Arc::new(records(120));
    let work = async |base: Arc<Base>, records: Arc<Vec<Delivery>>| -> Result<u32, String> {
        let mut fenced = 0;
        loop {
            let Ok(ledger) = base.open_with(&hasty()).await else { continue };
            for delivery in records.iter() {
                let applied = ledger.apply(std::slice::from_ref(delivery)).await;
                match applied.failed.map(|why| why.kind()) {
                    None => {}
                    Some(ErrorKind::Closed) => {
                        fenced += 1;
                        break;
                    }
                    // The other one has moved the bucket before it lost it.
                    Some(ErrorKind::Unavailable | ErrorKind::Conflict) => break,
                    Some(kind) => return Err(format!("{kind:?}")),
                }
            }
            if ledger.cursor().0 == 120 {
                return Ok(fenced);
            }
        }
    };
    let workers = [(); 2].map(|()| tokio::spawn(work(Arc::clone(&base), Arc::clone(&records))));
    let stopping = tokio::spawn({
        let base = Arc::clone(&base);
        async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                let base = Arc::clone(&base);
                let stopped = tokio::task::spawn_blocking(move || base.sql(STOPPED).is_ok()).await;
                assert!(stopped.unwrap_or(false));
            }
        }
    });
    for worker in workers {
        worker.await??;
    }
    stopping.await?;
    counted_once(&base, 120 * 3 + 2)
}

#[tokio::test]
async fn a_bucket_that_another_keeps_is_a_conflict_and_one_that_is_given_away_is_taken() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let lease = Duration::from_millis(600);
    let options = PostgresLedgerOptions { lease, ..options() };
    let first = base.open_with(&options).await?;
    let refused = base.open_with(&options).await.err().ok_or("both have it")?;
    assert_eq!(refused.kind(), ErrorKind::Conflict, "it is renewed");
    first.close().await?;
    let second: Arc<PostgresLedger> = base.open_with(&options).await?;
    drop(second);
    base.open_with(&options).await?;
    Ok(())
}

/// Real processes: one is stopped beyond its lease, another takes its buckets, and then the first goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_process_that_was_stopped_beyond_its_lease_is_fenced_when_it_goes_on() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let base = Arc::new(base);
    let cursor = |base: &Base| -> Result<u64, Box<dyn std::error::Error>> {
        Ok(base.sql("SELECT min(cursor) FROM buckets")?.parse()?)
    };
    let mut last = 0;
    for _ in 0..2 {
        let mut first = child::start(&base, 1_000_000, "")?;
        let begun = last;
        while cursor(&base)? < begun + 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        signal(&first, "STOP")?;
        last = cursor(&base)? + 30;
        let mut second = child::start(&base, last, "")?;
        assert!(tokio::task::spawn_blocking(move || second.wait()).await??.success());
        signal(&first, "CONT")?;
        let ended = tokio::task::spawn_blocking(move || first.wait()).await??;
        assert_eq!(ended.code(), Some(child::FENCED));
        assert_eq!(cursor(&base)?, last, "it has changed nothing");
        child::counted(&base, last)?;
    }
    Ok(())
}

fn signal(child: &std::process::Child, name: &str) -> std::io::Result<()> {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err(std::io::Error::other("no signal was sent")) }
}
