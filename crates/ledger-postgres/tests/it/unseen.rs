//! What this process has not seen and is stored all the same: it goes in as new, is refused, and is then read. Whatever is
//! believed to be new, each event counts once, in every table.

use std::collections::HashSet;

use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{EventSpec, at, event, event_at, instant, record, scope};

use crate::Outcome;
use crate::place::Base;

/// An event whose window, customer, project and type are told by a number.
fn of(number: u64) -> EventSpec {
    event(&format!("e{number}"), (number % 5 * 40).cast_signed())
        .customer(&format!("c{}", number % 3))
        .project(if number.is_multiple_of(2) { "even" } else { "odd" })
        .kind("call")
        .user(&format!("u{}", number % 7))
        .tokens(number, 0)
}

fn batch(seq: u64, numbers: &[u64]) -> Delivery {
    record(seq, &scope("acme"), at(300), &numbers.iter().copied().map(of).collect::<Vec<_>>())
}

/// That these events count once, in every table.
fn counted(base: &Base, numbers: &HashSet<u64>) -> Outcome {
    let counts = base.sql(
        "SELECT (SELECT count(*) FROM event_ids), (SELECT count(*) FROM usage_events), \
         (SELECT sum(calls) FROM aggregation_windows), (SELECT sum(calls) FROM customers), \
         (SELECT sum(calls) FROM rollups WHERE grain = 0), (SELECT sum(calls) FROM rollups WHERE grain = 1), \
         (SELECT sum(events) FROM received), (SELECT sum(events) FROM buckets), \
         (SELECT coalesce(sum(tokens), 0) FROM usage_events), \
         (SELECT coalesce(sum(tokens), 0) FROM aggregation_windows), \
         (SELECT coalesce(sum(tokens), 0) FROM customers), \
         (SELECT coalesce(sum(tokens), 0) FROM rollups WHERE grain = 0)",
    )?;
    let (events, tokens) = (numbers.len().to_string(), numbers.iter().sum::<u64>().to_string());
    assert_eq!(counts, [vec![events; 8], vec![tokens; 4]].concat().join("|"));
    Ok(())
}

#[tokio::test]
async fn i1_ids_and_sums_that_an_earlier_process_stored_are_found_when_they_are_refused() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let first = base.open().await?;
    assert!(first.apply(&[batch(1, &[1, 2, 3, 4])]).await.failed.is_none());
    first.close().await?;
    let ledger = base.open().await?;
    // Nothing of it is stored, so what this process has not seen is taken for new from here on: ids and sums alike.
    assert_eq!(
        ledger
            .apply(&[record(2, &scope("acme"), at(4_000), &[of(100).customer("z").project("x")])])
            .await
            .applied
            .len(),
        1
    );
    let applied = ledger.apply(&[batch(3, &[5, 2, 6, 2])]).await;
    assert_eq!(applied.failed.map(|why| why.to_string()), None);
    assert_eq!(applied.applied[0].outcomes, [Of::Fresh, Of::Duplicate, Of::Fresh, Of::Duplicate]);
    let numbers = [1, 2, 3, 4, 5, 6];
    let counts = base.sql(
        "SELECT count(*), (SELECT count(*) FROM usage_events), (SELECT sum(calls) FROM aggregation_windows), \
         (SELECT sum(calls) FROM customers), (SELECT sum(calls) FROM rollups WHERE grain = 0) FROM event_ids",
    )?;
    assert_eq!(counts, vec![(numbers.len() + 1).to_string(); 5].join("|"));
    // It has learned them.
    let again = ledger.apply(&[batch(4, &[1, 2, 3, 4, 5, 6, 7])]).await;
    let expected = [vec![Of::Duplicate; 6], vec![Of::Fresh]].concat();
    assert_eq!(again.applied[0].outcomes, expected);
    Ok(())
}

#[tokio::test]
async fn i1_whatever_is_believed_to_be_new_each_event_counts_once() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let mut ledger = base.open().await?;
    let (mut dice, mut counted_so_far) = (7_u64, HashSet::new());
    let mut roll = |below: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % below
    };
    for seq in 1..=60 {
        if roll(4) == 0 {
            ledger.close().await?;
            ledger = base.open().await?;
        }
        // Now nothing but new ids, so that they are believed to be new, now many that are stored.
        let (from, span) = if roll(2) == 0 { (seq * 20, 20) } else { (0, seq * 20) };
        let numbers: Vec<_> = (0..=roll(12)).map(|_| from + roll(span)).collect();
        let applied = ledger.apply(&[batch(seq, &numbers)]).await;
        assert_eq!(applied.failed.map(|why| why.to_string()), None, "record {seq}");
        let expected: Vec<_> = numbers
            .iter()
            .map(|number| if counted_so_far.insert(*number) { Of::Fresh } else { Of::Duplicate })
            .collect();
        assert_eq!(applied.applied[0].outcomes, expected, "record {seq}");
        counted(&base, &counted_so_far)?;
    }
    Ok(())
}

#[tokio::test]
async fn sums_go_into_the_partition_of_their_month_as_long_as_it_is_there() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    // Two months that nothing has made partitions for, of which one gets one.
    let owner = base.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'customers'")?;
    base.sql(&format!(
        "SET ROLE {owner}; CREATE TABLE aggregation_windows_20400101 PARTITION OF aggregation_windows \
         FOR VALUES FROM ('2040-01-01+00') TO ('2040-02-01+00')"
    ))?;
    base.migrate().await?;
    let ledger = base.open().await?;
    let make = |seq: u64| {
        let late = |time: &str, n: u64| event_at(&format!("e{seq}-{n}"), instant(time)).tokens(1, 0);
        let events =
            [late("2040-01-01T00:00:00Z", 0), late("2040-01-31T23:59:59.999Z", 1), late("2040-02-01T00:00:00Z", 2)];
        record(seq, &scope("acme"), instant("2041-01-01T00:00:00Z"), &events)
    };
    for seq in 1..=3 {
        assert_eq!(ledger.apply(&[make(seq)]).await.failed.map(|why| why.to_string()), None);
    }
    let sums = |table: &str| base.sql(&format!("SELECT count(*), sum(calls), sum(tokens), max(version) FROM {table}"));
    assert_eq!(sums("aggregation_windows_20400101")?, "2|6|6|3");
    assert_eq!(sums("aggregation_windows_default")?, "1|3|3|3");
    base.sql("DROP TABLE aggregation_windows_20400101")?;
    let refused = ledger.apply(&[make(4)]).await;
    assert_eq!(refused.failed.map(|why| why.kind()), Some(ErrorKind::Unavailable), "it is tried again");
    assert_eq!(ledger.apply(&[make(4)]).await.failed.map(|why| why.to_string()), None);
    assert_eq!(sums("aggregation_windows_default")?, "3|6|6|4");
    Ok(())
}
