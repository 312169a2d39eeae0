//! F23: the connection is cut when PostgreSQL has made a commit and its answer is on the way.

use std::time::Duration;

use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};
use testservers::Cutter;

use crate::Outcome;
use crate::place::{Base, options};

/// Whose commits are the test's alone: it renews nothing meanwhile.
fn patient() -> PostgresLedgerOptions {
    PostgresLedgerOptions { lease: Duration::from_secs(300), ..options() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_commit_whose_answer_is_lost_counts_once_and_is_told() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let worker = Cutter::new(&base.worker_url())?;
    let ledger = PostgresLedger::open(&base.app_url(), worker.url(), &patient()).await?;
    let tenant = scope("acme");
    for seq in 1..6_u64 {
        let events = [event(&format!("e{seq}"), 0), event("every", 0)];
        worker.cut_commits(1);
        let applied = ledger.apply(&[record(seq, &tenant, at(1), &events)]).await;
        assert_eq!(worker.left(), 0, "it was cut");
        assert!(applied.failed.is_none(), "the cursor tells that it counts: {:?}", applied.failed);
        let every = if seq == 1 { Of::Fresh } else { Of::Duplicate };
        assert_eq!(applied.applied[0].outcomes, [Of::Fresh, every]);
        assert_eq!(base.sql("SELECT min(cursor), sum(events) FROM buckets")?, format!("{seq}|{}", seq + 1));
    }
    for (seq, what) in [(6, "a dead letter"), (7, "another")] {
        worker.cut_commits(1);
        let letter = record(seq, &tenant, at(1), &[event("never", 0)]);
        assert!(ledger.dead_letter(&letter, what).await.is_err(), "its outcome is unknown");
        ledger.dead_letter(&letter, what).await?;
        assert_eq!(ledger.cursor().0, seq);
    }
    assert_eq!(base.sql("SELECT sum(dead_letters), (SELECT count(*) FROM dead_letters) FROM buckets")?, "2|2");
    worker.cut_commits(1);
    assert!(ledger.meter_customer(&tenant, "c").await.is_err());
    ledger.meter_customer(&tenant, "c").await?;
    let applied = ledger.apply(&[record(8, &tenant, at(1), &[event("metered", 0).customer("c")])]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert_eq!(base.sql("SELECT events FROM received WHERE customer = 'c'")?, "1");
    Ok(())
}
