//! Group commit, and the limit of what waits.

use bytes::Bytes;
use domain::position::{RecordId, Seq};
use journal::JournalOptions;
use ports::ErrorKind;
use ports::journal::{Journal, JournalHealth, OrderedJournal};
use vfs::testing::{Call, EIO, Fault, SimVfs};

use crate::support::{append_all, assert_records, batch, kind, next_waits, one_segment, open, queued, read_all};

#[tokio::test]
async fn what_gathers_during_a_sync_is_made_durable_by_one() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..1).await;
    let batches: Vec<_> = (1..65).map(batch).collect();
    let hold = disk.hold_syncs();
    let first = queued(journal.append(&batches[0]));
    hold.reached();
    let (syncs, appends) = (disk.calls(Call::Sync), disk.calls(Call::Append));
    let others: Vec<_> = batches[1..].iter().map(|batch| queued(journal.append(batch))).collect();
    assert_eq!(journal.last_durable(), Seq(1), "I8: nothing is durable before its sync");
    assert_records(&journal.next().await.unwrap(), 0, 0..1);
    assert!(next_waits(&journal), "nothing is handed out before it is durable");
    drop(hold);
    assert_eq!(first.await.unwrap(), Seq(2).into());
    for (append, seq) in others.into_iter().zip(3..) {
        assert_eq!(append.await.unwrap(), Seq(seq).into());
    }
    assert_eq!(disk.calls(Call::Sync) - syncs, 2, "one sync for the first, one for all others");
    assert_eq!(disk.calls(Call::Append) - appends, 1, "one write for all others");
    assert_records(&journal.next().await.unwrap(), 1, 1..65);
}

#[tokio::test]
async fn a_group_has_a_limit_and_a_larger_record_is_a_group_alone() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, JournalOptions { group_bytes_max: 1, ..one_segment() }).unwrap();
    append_all(&journal, 0..1).await;
    let batches: Vec<_> = (1..4).map(batch).collect();
    let syncs = disk.calls(Call::Sync);
    let hold = disk.hold_syncs();
    let appends: Vec<_> = batches.iter().map(|batch| queued(journal.append(batch))).collect();
    drop(hold);
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(disk.calls(Call::Sync) - syncs, 3);
}

/// F15, I6.
#[tokio::test]
async fn on_a_slow_disk_what_waits_has_a_limit() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, JournalOptions { backlog_bytes_max: 2_000, ..one_segment() }).unwrap();
    append_all(&journal, 0..1).await;
    let hold = disk.hold_syncs();
    let batches: Vec<_> = (1..100).map(batch).collect();
    let largest = batches.iter().map(|batch| batch.payload().len() + 24).max().unwrap();
    let mut waiting = Vec::new();
    let mut bytes = journal.backlog().await.bytes;
    for batch in &batches {
        let append = queued(journal.append(batch));
        if bytes < 2_000 {
            bytes += batch.payload().len() as u64 + 24;
            waiting.push(append);
        } else {
            assert_eq!(kind(append.await), ErrorKind::Overloaded);
        }
    }
    assert!(bytes <= 2_000 + largest as u64, "I6");
    assert!(waiting.len() > 3 && waiting.len() < 90);
    drop(hold);
    for (append, seq) in waiting.into_iter().zip(2..) {
        assert_eq!(append.await.unwrap(), Seq(seq).into(), "slow is not lost");
    }
    assert_eq!(journal.backlog().await.bytes, bytes);
    assert_eq!(kind(journal.append(&batch(100)).await), ErrorKind::Overloaded, "not applied is not gone");
    let ids: Vec<RecordId> = (1..=journal.last_durable().0).map(|seq| Seq(seq).into()).collect();
    journal.ack(&ids).await;
    assert_eq!(journal.backlog().await.bytes, 0);
    append_all(&journal, [100]).await;
}

/// I8, F12.
#[tokio::test]
async fn a_failed_sync_fails_its_group_and_all_that_waits() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..1).await;
    let batches: Vec<_> = (1..9).map(batch).collect();
    let hold = disk.hold_syncs();
    let first = queued(journal.append(&batches[0]));
    hold.reached();
    let others: Vec<_> = batches[1..].iter().map(|batch| queued(journal.append(batch))).collect();
    disk.fail_next(Call::Sync, Fault::Error(EIO));
    drop(hold);
    assert_eq!(kind(first.await), ErrorKind::Poisoned);
    for append in others {
        assert_eq!(kind(append.await), ErrorKind::Poisoned);
    }
    assert!(matches!(journal.health().await, JournalHealth::Poisoned(_)));
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..1);
    assert!(next_waits(&journal), "I4: what was not made durable is not handed out");
}

#[tokio::test]
async fn closing_finishes_what_waits() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    let batches: Vec<_> = (0..5).map(batch).collect();
    let hold = disk.hold_syncs();
    let appends: Vec<_> = batches.iter().map(|batch| queued(journal.append(batch))).collect();
    let closing = queued(journal.close());
    assert_eq!(kind(journal.append(&batch(9)).await), ErrorKind::Closed);
    drop(hold);
    closing.await;
    for (append, seq) in appends.into_iter().zip(1..) {
        assert_eq!(append.await.unwrap(), Seq(seq).into());
    }
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..5);
    assert!(journal.next().await.unwrap().is_empty());
}

#[tokio::test]
async fn dropping_finishes_what_waits() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    let batches: Vec<_> = (0..5).map(batch).collect();
    for batch in &batches {
        drop(queued(journal.append(batch)));
    }
    drop(journal);
    disk.crash(0);
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..5);
}

#[tokio::test]
async fn a_long_replay_comes_in_bounded_pieces_and_live_records_follow_it() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, JournalOptions { segment_bytes: 3 << 20, ..one_segment() }).unwrap();
    let text = "x".repeat(60_000);
    let large = |number: u64| {
        let event = ports::testing::ledger::records::event(&format!("large-{number}"), 0);
        let event = event.properties(&format!("{{\"text\":\"{text}\"}}"));
        let scope = ports::testing::ledger::records::scope("acme");
        ports::testing::ledger::records::admitted(&scope, ports::testing::ledger::records::at(0), &[event])
    };
    for number in 0..200 {
        let batch = large(number);
        journal.append(&batch).await.unwrap();
    }
    drop(journal);
    let journal = open(&disk, 0, one_segment()).unwrap();
    let live = large(200);
    journal.append(&live).await.unwrap();
    let mut seen: Vec<Bytes> = Vec::new();
    while seen.len() < 201 {
        let entries = journal.next().await.unwrap();
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        assert!(bytes <= (4 << 20) + 61_000, "I6: {bytes} bytes at once");
        seen.extend(entries.into_iter().map(|entry| entry.payload));
    }
    for (payload, number) in seen.iter().zip(0..) {
        assert_eq!(payload, large(number).payload(), "record {number}");
    }
}

/// What was erased must not wait for a file to be full.
#[tokio::test]
async fn a_file_with_records_to_be_forgotten_goes_as_soon_as_all_in_it_is_flushed() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_eq!(journal.first_kept(), Seq(1));
    append_all(&journal, 0..5).await;
    journal.trim(Seq(5)).await.unwrap();
    assert_eq!(journal.first_kept(), Seq(1), "it is written to");
    for _ in 0..2 {
        journal.part_after(Seq(3)).await.unwrap();
        journal.trim(Seq(4)).await.unwrap();
        assert_eq!(journal.first_kept(), Seq(1), "the fifth is not flushed");
    }
    append_all(&journal, 5..7).await;
    journal.trim(Seq(5)).await.unwrap();
    assert_eq!(journal.first_kept(), Seq(6));
    drop(journal);
    let journal = open(&disk, 5, one_segment()).unwrap();
    assert_records(&journal.next().await.unwrap(), 5, 5..7);
}
