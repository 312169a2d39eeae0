//! What every ordered journal does, whatever it is made of. A check opens its own empty place; `Err` means
//! that the journal failed where it must not, a panic that it answered wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::{RecordId, Seq};
use tokio::task::JoinSet;

use crate::journal::{Backlog, Delivery, Journal, JournalHealth, OrderedJournal};
use crate::testing::ledger::records::{admitted, at, event, scope};
use crate::{ErrorKind, PortError};

/// The limit of the backlog that a journal under test is opened with.
pub const BACKLOG_BYTES_MAX: u64 = 64 << 10;

/// Where a journal under test keeps its records; empty at first.
#[async_trait]
pub trait JournalPlace: Send + Sync {
    /// Opens the journal there after the record `after`, which never goes back, with what an earlier one
    /// has made durable and with a backlog of [`BACKLOG_BYTES_MAX`]. The earlier one is gone.
    async fn open(&self, after: Seq) -> Result<Arc<dyn OrderedJournal>, PortError>;
}

/// Checks every promise of [`Journal`] and [`OrderedJournal`] that needs no fault.
///
/// # Errors
/// When the journal fails where it must not.
pub async fn journal_conformance<P: JournalPlace>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    what_was_appended_is_handed_out_in_order(&new_place()).await?;
    concurrent_appends_are_numbered_without_gaps(&new_place()).await?;
    next_waits_and_may_be_dropped(&new_place()).await?;
    a_dropped_append_holds_up_no_other(&new_place()).await?;
    after_a_restart_the_rest_is_handed_out(&new_place()).await?;
    numbers_begin_after_what_is_known_elsewhere(&new_place()).await?;
    acknowledged_records_leave_the_backlog(&new_place()).await?;
    records_are_acknowledged_in_any_order(&new_place()).await?;
    acknowledging_again_or_too_early_changes_nothing(&new_place()).await?;
    a_full_backlog_refuses_until_it_is_acknowledged(&new_place()).await?;
    trimming_keeps_what_is_not_flushed(&new_place()).await?;
    a_closed_journal_drains_and_ends(&new_place()).await
}

fn batch(id: &str) -> Admitted {
    admitted(&scope("acme"), at(0), &[event(id, 0)])
}

/// A record of more than a thousand bytes.
fn large_batch(id: &str) -> Admitted {
    let properties = format!("{{\"text\":\"{}\"}}", "x".repeat(1_000));
    admitted(&scope("acme"), at(0), &[event(id, 0).properties(&properties)])
}

async fn append_all(journal: &dyn Journal, ids: &[&str]) -> Result<Vec<Bytes>, PortError> {
    let mut payloads = Vec::new();
    for id in ids {
        let batch = batch(id);
        journal.append(&batch).await?;
        payloads.push(batch.payload().clone());
    }
    Ok(payloads)
}

/// The next `count` records.
async fn read(journal: &dyn Journal, count: usize) -> Result<Vec<Delivery>, PortError> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let more = journal.next().await?;
        assert!(!more.is_empty(), "next ended after {} of {count} records", entries.len());
        entries.extend(more);
    }
    assert_eq!(entries.len(), count, "I4: records that were never appended");
    Ok(entries)
}

fn assert_follows(entries: &[Delivery], after: u64, payloads: &[Bytes]) {
    let found: Vec<u64> = entries.iter().map(|entry| Seq::of_record(entry.id).0).collect();
    let expected: Vec<u64> = (after + 1..).take(payloads.len()).collect();
    assert_eq!(found, expected, "records are handed out in order, without gaps");
    for (entry, payload) in entries.iter().zip(payloads) {
        assert_eq!(entry.payload, payload, "record {} is what was appended", Seq::of_record(entry.id));
    }
}

fn ids(entries: &[Delivery]) -> Vec<RecordId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// Whether `next` has nothing to hand out now. Polls it once and drops it.
async fn next_waits(journal: &dyn Journal) -> bool {
    tokio::select! {
        biased;
        _ = journal.next() => false,
        () = std::future::ready(()) => true,
    }
}

async fn what_was_appended_is_handed_out_in_order(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    assert_eq!(journal.backlog().await, Backlog::default());
    assert_eq!(journal.health().await, JournalHealth::Ready);
    let payloads = append_all(&*journal, &["a", "b", "c"]).await?;
    assert_eq!((journal.last_durable(), journal.backlog().await.records), (Seq(3), 3), "I8: durable on return");
    assert_follows(&read(&*journal, 3).await?, 0, &payloads);
    Ok(())
}

async fn concurrent_appends_are_numbered_without_gaps(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let mut given = Vec::new();
            for index in 0..20 {
                let batch = batch(&format!("{task}-{index}"));
                given.push((journal.seq(journal.append(&batch).await?), batch.payload().clone()));
            }
            Ok::<_, PortError>(given)
        });
    }
    let mut given = BTreeMap::new();
    while let Some(task) = tasks.join_next().await {
        let pairs = task.map_err(|why| PortError::new(ErrorKind::Closed, "run a task").because(why))??;
        assert!(pairs.is_sorted_by_key(|(seq, _)| *seq), "numbers ascend in the order of durability");
        given.extend(pairs);
    }
    assert_eq!(given.len(), 160, "no number is given twice");
    let payloads: Vec<Bytes> = given.into_values().collect();
    assert_follows(&read(&*journal, 160).await?, 0, &payloads);
    Ok(())
}

async fn next_waits_and_may_be_dropped(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    assert!(next_waits(&*journal).await);
    let payloads = append_all(&*journal, &["a", "b"]).await?;
    assert_follows(&read(&*journal, 2).await?, 0, &payloads);
    assert!(next_waits(&*journal).await);
    let (read, appended) = tokio::join!(read(&*journal, 1), append_all(&*journal, &["c"]));
    assert_follows(&read?, 2, &appended?);
    Ok(())
}

async fn a_dropped_append_holds_up_no_other(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let dropped = batch("dropped");
    tokio::select! {
        biased;
        _ = journal.append(&dropped) => {}
        () = std::future::ready(()) => {}
    }
    let kept = batch("kept");
    let seq = journal.seq(journal.append(&kept).await?);
    let entries = read(&*journal, usize::try_from(seq.0).unwrap_or(usize::MAX)).await?;
    assert_eq!(entries.last().map(|entry| &entry.payload), Some(kept.payload()));
    assert!(entries.len() == 1 || entries[0].payload == dropped.payload(), "I4");
    Ok(())
}

async fn after_a_restart_the_rest_is_handed_out(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let mut payloads = append_all(&*journal, &["a", "b", "c"]).await?;
    journal.close().await;
    drop(journal);
    let journal = place.open(Seq(1)).await?;
    assert_eq!((journal.last_durable(), journal.acked_through()), (Seq(3), Seq(1)), "I1");
    let backlog = journal.backlog().await;
    assert_eq!(backlog.records, 2);
    assert!(backlog.bytes > 0);
    payloads.extend(append_all(&*journal, &["d"]).await?);
    assert_follows(&read(&*journal, 3).await?, 1, &payloads[1..]);
    drop(journal);
    let journal = place.open(Seq(1)).await?;
    assert_follows(&read(&*journal, 3).await?, 1, &payloads[1..]);
    assert!(next_waits(&*journal).await);
    Ok(())
}

async fn numbers_begin_after_what_is_known_elsewhere(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq(41)).await?;
    assert_eq!((journal.last_durable(), journal.acked_through()), (Seq(41), Seq(41)));
    assert_eq!(journal.backlog().await, Backlog::default());
    let payloads = append_all(&*journal, &["a", "b"]).await?;
    assert_follows(&read(&*journal, 2).await?, 41, &payloads);
    drop(journal);
    let journal = place.open(Seq(50)).await?;
    let payloads = append_all(&*journal, &["c"]).await?;
    assert_follows(&read(&*journal, 1).await?, 50, &payloads);
    Ok(())
}

async fn acknowledged_records_leave_the_backlog(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    append_all(&*journal, &["a", "b", "c"]).await?;
    let whole = journal.backlog().await;
    let ids = ids(&read(&*journal, 3).await?);
    assert_eq!(journal.backlog().await, whole, "handing out is not applying");
    journal.ack(&ids[..2]).await;
    let backlog = journal.backlog().await;
    assert_eq!((backlog.records, journal.acked_through()), (1, Seq(2)));
    assert!(0 < backlog.bytes && backlog.bytes < whole.bytes);
    journal.ack(&ids[2..]).await;
    assert_eq!((journal.backlog().await, journal.acked_through()), (Backlog::default(), Seq(3)));
    assert_eq!(journal.last_durable(), Seq(3));
    Ok(())
}

async fn records_are_acknowledged_in_any_order(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let after = journal.last_durable();
        append_all(&*journal, &["a", "b", "c", "d"]).await?;
        let (ids, whole) = (ids(&read(&*journal, 4).await?), journal.backlog().await.bytes);
        let (mut acked, mut left) = ([false; 4], 4);
        for index in order {
            journal.ack(&[ids[index]]).await;
            (acked[index], left) = (true, left - 1);
            let backlog = journal.backlog().await;
            assert_eq!(backlog.records, left, "{order:?}: each leaves the backlog at once");
            assert!(backlog.bytes * 4 <= whole * left + whole, "{order:?}: with its bytes");
            let contiguous = acked.iter().take_while(|acked| **acked).count() as u64;
            assert_eq!(journal.acked_through(), Seq(after.0 + contiguous), "{order:?}: the mark passes no gap");
        }
        assert_eq!(journal.backlog().await, Backlog::default(), "{order:?}");
    }
    drop(journal);
    let journal = place.open(Seq::ZERO).await?;
    let entries = read(&*journal, 16).await?;
    assert_eq!(journal.seq(entries[0].id), Seq(1), "an acknowledgement alone forgets nothing");
    Ok(())
}

async fn acknowledging_again_or_too_early_changes_nothing(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    journal.ack(&[Seq(1).into(), Seq(7).into()]).await;
    append_all(&*journal, &["a", "b", "c"]).await?;
    assert_eq!(journal.backlog().await.records, 3, "what is not durable cannot be acknowledged");
    let ids = ids(&read(&*journal, 3).await?);
    journal.ack(&[ids[0], ids[0], ids[2]]).await;
    let once = journal.backlog().await;
    journal.ack(&[ids[2], ids[0]]).await;
    assert_eq!((journal.backlog().await, journal.acked_through()), (once, Seq(1)));
    journal.ack(&ids).await;
    journal.ack(&ids).await;
    assert_eq!((journal.backlog().await, journal.acked_through()), (Backlog::default(), Seq(3)));
    Ok(())
}

async fn a_full_backlog_refuses_until_it_is_acknowledged(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let mut taken = 0;
    let refused = loop {
        match journal.append(&large_batch(&format!("id-{taken}"))).await {
            Ok(_) => taken += 1,
            Err(why) => break why,
        }
        assert!(taken * 1_000 <= BACKLOG_BYTES_MAX + 1_000, "I6: the backlog has a limit");
    };
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(taken > 1);
    journal.ack(&ids(&read(&*journal, usize::try_from(taken).unwrap_or(usize::MAX)).await?)).await;
    assert_eq!(journal.append(&batch("after")).await?, Seq(taken + 1).into(), "a refused record has no number");
    Ok(())
}

async fn trimming_keeps_what_is_not_flushed(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let payloads = append_all(&*journal, &["a", "b", "c", "d"]).await?;
    journal.ack(&ids(&read(&*journal, 4).await?)).await;
    journal.trim(Seq(2)).await?;
    journal.trim(Seq(1)).await?;
    drop(journal);
    let journal = place.open(Seq(2)).await?;
    let entries = read(&*journal, 2).await?;
    assert_follows(&entries, 2, &payloads[2..]);
    journal.ack(&ids(&entries)).await;
    journal.trim(Seq(4)).await?;
    drop(journal);
    let journal = place.open(Seq(4)).await?;
    assert!(next_waits(&*journal).await);
    assert_eq!(journal.append(&batch("e")).await?, Seq(5).into());
    Ok(())
}

async fn a_closed_journal_drains_and_ends(place: &dyn JournalPlace) -> Result<(), PortError> {
    let journal = place.open(Seq::ZERO).await?;
    let payloads = append_all(&*journal, &["a", "b"]).await?;
    journal.close().await;
    journal.close().await;
    assert_eq!(journal.health().await, JournalHealth::Closed);
    let refused = journal.append(&batch("late")).await.map_err(|why| why.kind());
    assert_eq!(refused, Err(ErrorKind::Closed));
    assert_follows(&read(&*journal, 2).await?, 0, &payloads);
    assert!(journal.next().await?.is_empty());
    assert!(journal.next().await?.is_empty());
    drop(journal);
    let journal = place.open(Seq(2)).await?;
    let (ended, ()) = tokio::join!(journal.next(), journal.close());
    assert!(ended?.is_empty(), "closing ends a call that waits");
    Ok(())
}
