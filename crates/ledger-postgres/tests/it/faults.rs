//! What goes wrong between this program and PostgreSQL (F22, F23, F38): each batch counts whole or not at all, and once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fail::FailScenario;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};
use postgres::PostgresLimits;
use testservers::Postgres;

use crate::Outcome;
use crate::place::{Base, options};

/// A record of four events, one of which its neighbours have as well.
fn make(seq: u64) -> Delivery {
    let events: Vec<_> = (0..4)
        .map(|n| event(&format!("e{}", seq * 3 + n), (seq * 20).cast_signed()).customer("c").user(&format!("u{n}")))
        .collect();
    record(seq, &scope("acme"), at(1), &events)
}

/// That the first `records` count, each event once, in every table.
fn counted(base: &Base, records: u64) -> Outcome {
    let counts = base.sql(
        "SELECT (SELECT max(cursor) FROM buckets), (SELECT count(*) FROM receipts), (SELECT count(*) FROM event_ids), \
         (SELECT count(*) FROM usage_events), (SELECT sum(calls) FROM aggregation_windows), \
         (SELECT sum(calls) FROM customers), (SELECT sum(calls) FROM rollups WHERE grain = 0), \
         (SELECT sum(calls) FROM rollups WHERE grain = 1), (SELECT sum(events) FROM received), \
         (SELECT sum(events) FROM buckets)",
    )?;
    let (records, events) = (records.to_string(), (records * 3 + 1).to_string());
    let expected: Vec<_> = [vec![records; 2], vec![events; 8]].concat();
    assert_eq!(counts, expected.join("|"));
    Ok(())
}

/// Few waits, since the server is away for long.
fn hasty() -> PostgresLedgerOptions {
    let limits = PostgresLimits { connections: 2, wait: Duration::from_secs(2), ..PostgresLimits::default() };
    PostgresLedgerOptions { app: limits, worker: limits, lease: Duration::from_secs(60), ..options() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_killed_in_the_middle_of_commits_it_has_each_batch_whole_or_not_at_all() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    let ledger = base.open_with(&hasty()).await?;
    let mut last = 0;
    for round in 0..6_u64 {
        let writing = tokio::spawn({
            let ledger = Arc::clone(&ledger);
            async move {
                let mut seq = ledger.cursor().0;
                loop {
                    match ledger.apply(&[make(seq + 1)]).await.failed {
                        None => seq += 1,
                        Some(why) => return (seq, why.kind()),
                    }
                }
            }
        });
        // After some commits, and each time at another moment of one.
        while ledger.cursor().0 < last + 3 && !writing.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        server.kill()?;
        let (answered, kind) = writing.await?;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert_eq!(ledger.failure(), None, "nothing is poisoned");
        assert!(ledger.apply(&[make(answered + 1)]).await.failed.is_some(), "it is away");
        server.start()?;
        // The same ledger finds the server again; the next record counts once, whether or not it did before.
        let applied = ledger.apply(&[make(answered + 1)]).await;
        assert!(applied.failed.is_none(), "{:?}", applied.failed);
        assert_eq!(ledger.cursor().0, answered + 1);
        assert!(answered > last, "round {round} has changed nothing");
        last = answered + 1;
        counted(&base, last)?;
    }
    Ok(())
}

#[tokio::test]
async fn f23_a_commit_without_an_answer_is_told_by_the_cursor() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let _alone = FailScenario::setup();
    let ledger = base.open().await?;
    let fresh = [[Of::Fresh; 4].to_vec(), vec![Of::Mismatch, Of::Fresh, Of::Fresh, Of::Fresh]];
    assert_eq!(ledger.apply(&[make(1)]).await.applied[0].outcomes, fresh[0]);

    fail::cfg("ledger_postgres::before_commit", "1*return")?;
    let failed = ledger.apply(&[make(2)]).await;
    assert_eq!((failed.applied.len(), failed.failed.map(|why| why.kind())), (0, Some(ErrorKind::Unavailable)));
    counted(&base, 1)?;
    assert_eq!(ledger.apply(&[make(2)]).await.applied[0].outcomes, fresh[1]);

    fail::cfg("ledger_postgres::after_commit", "1*return")?;
    let applied = ledger.apply(&[make(3)]).await;
    assert!(applied.failed.is_none(), "the cursor says that it counts: {:?}", applied.failed);
    assert_eq!(applied.applied[0].outcomes, fresh[1]);
    counted(&base, 3)?;
    assert_eq!(ledger.cursor().0, 3);
    assert_eq!(ledger.apply(&[make(3)]).await.applied[0].outcomes, fresh[1], "and remembers what came of it");
    counted(&base, 3)
}

/// Whether `future` is done after being asked `polls` times; else it is dropped.
async fn is_done_after<F: Future>(polls: u64, future: F) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// Given up at every await, on one connection.
#[tokio::test]
async fn f38_a_batch_that_is_given_up_leaves_nothing_or_all_of_it() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let one = PostgresLimits { connections: 1, wait: Duration::from_secs(20), ..PostgresLimits::default() };
    let ledger: Arc<PostgresLedger> =
        base.open_with(&PostgresLedgerOptions { app: one, worker: one, ..options() }).await?;
    let mut given_up = 0;
    for polls in (0..30).chain(0..30) {
        let next = ledger.cursor().0 + 1;
        given_up += u64::from(!is_done_after(polls, ledger.apply(&[make(next)])).await);
        let applied = ledger.apply(&[make(next)]).await;
        assert!(applied.failed.is_none(), "after {polls} polls: {:?}", applied.failed);
        assert!(ledger.cursor().0 >= next, "after {polls} polls");
    }
    assert!(given_up > 8, "{given_up} were given up");
    counted(&base, ledger.cursor().0)
}
