//! Several buckets in one transaction, and what becomes of the rest when one of them is lost.

use std::collections::BTreeSet;

use domain::bucket::BucketCount;
use ledger_postgres::{PostgresLedgerOptions, migrate_with};
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};

use crate::Outcome;
use crate::place::{Base, options};

/// Records of tenants "t1", "t2" and so on by turns, of one event each that is the record's own, and one that all have.
fn records(tenants: u64, from: u64, to: u64) -> Vec<Delivery> {
    let make = |seq: u64| {
        let events = [event(&format!("e{seq}"), 0).customer("c"), event("every", 0).customer("c")];
        record(seq, &scope(&format!("t{}", seq % tenants)), at(1), &events)
    };
    (from..=to).map(make).collect()
}

/// The bucket of each of so many tenants.
fn bucket_of(tenant: u64) -> u16 {
    BucketCount::default().bucket_of(scope(&format!("t{tenant}")).tenant())
}

/// That the records up to `last` of so many tenants count once.
fn counted(base: &Base, tenants: u64, last: u64) -> Outcome {
    let events = (last + tenants).to_string();
    let counts = base.sql(
        "SELECT (SELECT count(*) FROM event_ids), (SELECT count(*) FROM usage_events), \
         (SELECT sum(calls) FROM aggregation_windows), (SELECT sum(calls) FROM customers), \
         (SELECT sum(events) FROM received), (SELECT sum(events) FROM buckets), \
         (SELECT count(*) FROM event_ids i JOIN tenants t USING (tenant_no) WHERE i.bucket = t.bucket)",
    )?;
    assert_eq!(counts, vec![events; 7].join("|"));
    Ok(())
}

#[tokio::test]
async fn i3_records_of_all_buckets_are_one_transaction() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let buckets: BTreeSet<_> = (0..20).map(bucket_of).collect();
    assert!(buckets.len() > 4, "{buckets:?}");
    let applied = ledger.apply(&records(20, 1, 100)).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert_eq!(applied.applied[19].outcomes, [Of::Fresh, Of::Fresh]);
    assert_eq!(applied.applied[20].outcomes, [Of::Fresh, Of::Duplicate]);
    counted(&base, 20, 100)?;
    let rows = "SELECT count(*), count(DISTINCT xmin::text), min(cursor), max(cursor), min(record_no), max(record_no) FROM buckets";
    assert_eq!(base.sql(rows)?, "8|1|100|100|100|100");
    let writers = "SELECT count(DISTINCT xmin::text) FROM usage_events";
    assert_eq!(base.sql(writers)?, "1");
    Ok(())
}

/// Has another process take the bucket.
fn steal(base: &Base, bucket: u16) -> Outcome {
    base.sql(&format!("UPDATE buckets SET epoch = epoch + 1 WHERE bucket = {bucket}"))?;
    Ok(())
}

#[tokio::test]
async fn i1_without_a_bucket_that_is_lost_the_rest_goes_on_and_nothing_is_passed_over() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let records = records(20, 1, 60);
    assert!(ledger.apply(&records[..30]).await.failed.is_none());
    steal(&base, bucket_of(35 % 20))?;
    let lost = |seq: u64| bucket_of(seq % 20) == bucket_of(35 % 20);
    let first_lost = (31..=60).find(|seq| lost(*seq)).ok_or("none is lost")?;
    for _ in 0..2 {
        let applied = ledger.apply(&records[30..]).await;
        assert_eq!(applied.failed.map(|why| why.kind()), Some(ErrorKind::Closed));
        assert_eq!(applied.applied.len() as u64, first_lost - 31, "those before the first that is not applied");
        assert_eq!(ledger.cursor().0, first_lost - 1, "the journal keeps it");
        let rest = (31..=60).filter(|seq| !lost(*seq)).count();
        let counted = base.sql("SELECT count(*) FROM usage_events WHERE position >> 16 > 30 AND id <> 'every'")?;
        assert_eq!(counted, rest.to_string(), "the rest counts");
    }
    assert_eq!(ledger.failure(), Some(ErrorKind::Closed));
    ledger.close().await?;
    base.sql("UPDATE buckets SET owner = NULL")?;
    let ledger = base.open().await?;
    assert_eq!(ledger.cursor().0, 30);
    let applied = ledger.apply(&records[30..]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    counted(&base, 20, 60)?;
    let after = ledger.apply(&self::records(20, 61, 70)).await;
    assert!(after.failed.is_none(), "{:?}", after.failed);
    counted(&base, 20, 70)
}

/// Its numbers say nothing about those of the journal before.
#[tokio::test]
async fn i1_another_journal_is_read_from_its_beginning_and_ids_tell_what_it_repeats() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let with = |name: &str| PostgresLedgerOptions { journal: Some(name.to_owned()), takes_over: true, ..options() };
    let records = records(3, 1, 12);
    let ledger = base.open_with(&with("a")).await?;
    assert!(ledger.apply(&records[..6]).await.failed.is_none());
    ledger.close().await?;
    let ledger = base.open_with(&with("a")).await?;
    assert_eq!(ledger.cursor().0, 6, "it is the same");
    ledger.close().await?;
    for name in ["b", "a"] {
        let ledger = base.open_with(&with(name)).await?;
        assert_eq!(ledger.cursor().0, 0);
        // It has been trimmed.
        let begin = if name == "b" { 4 } else { 2 };
        let applied = ledger.apply(&records[begin..begin + 4]).await;
        assert!(applied.failed.is_none(), "{:?}", applied.failed);
        assert_eq!(ledger.cursor().0, begin as u64 + 4);
        let gap = ledger.apply(&records[begin + 5..]).await;
        assert_eq!(gap.failed.map(|why| why.kind()), Some(ErrorKind::Conflict), "from then on none is missing");
        ledger.close().await?;
    }
    counted(&base, 3, 8)?;
    assert_eq!(base.sql("SELECT count(DISTINCT position), min(record_no) FROM usage_events, buckets")?, "11|14");
    Ok(())
}

#[tokio::test]
async fn a_ledger_keeps_the_number_of_buckets_that_it_was_made_with() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let with = BucketCount::new;
    migrate_with(&base.owner_url(), &base.logins, with(64)?).await?;
    assert_eq!(migrate_with(&base.owner_url(), &base.logins, with(64)?).await?, 0);
    let refused = migrate_with(&base.owner_url(), &base.logins, with(8)?).await;
    let refused = refused.err().ok_or("it was changed")?;
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(ports::error_chain(&refused).contains("made with 64 buckets"), "{}", ports::error_chain(&refused));
    base.migrate().await?;
    let ledger = base.open().await?;
    assert!(ledger.apply(&records(200, 1, 600)).await.failed.is_none());
    counted(&base, 200, 600)?;
    assert_eq!(base.sql("SELECT count(*), max(bucket), count(DISTINCT cursor) FROM buckets")?, "64|63|1");
    ledger.close().await?;
    let none = base.open_with(&PostgresLedgerOptions { buckets: vec![64], ..options() }).await;
    assert_eq!(none.err().map(|why| why.kind()), Some(ErrorKind::Unacceptable));
    Ok(())
}
