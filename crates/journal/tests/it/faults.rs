//! F12, F13, F14: failing syncs, a full disk, short writes, too many open files.

use domain::position::Seq;
use journal::JournalOptions;
use ports::ErrorKind;
use ports::journal::{Journal, JournalHealth, OrderedJournal};
use vfs::testing::{Call, EFBIG, EIO, EMFILE, ENOSPC, Fault, SimVfs};

use crate::support::{
    append_all, assert_records, batch, kind, one_segment, open, queued, read_all, segments, small_segments,
};

/// F12 once: I8, and I1 after the restart, whether the machine stayed up or not.
#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_a_restart_loses_nothing() {
    for seed in 0..50 {
        let disk = SimVfs::new();
        let journal = open(&disk, 0, one_segment()).unwrap();
        append_all(&journal, 0..3).await;
        disk.fail_next(Call::Sync, Fault::Error(EIO));
        assert_eq!(kind(journal.append(&batch(3)).await), ErrorKind::Poisoned);
        let steps = disk.steps();
        assert_eq!(kind(journal.append(&batch(4)).await), ErrorKind::Poisoned);
        assert!(matches!(journal.health().await, JournalHealth::Poisoned(_)));
        journal.close().await;
        assert_eq!(disk.steps(), steps, "a poisoned journal touches no file");
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..3);
        drop(journal);

        // The page cache shows the record that the disk has lost. What is handed out of it is built on.
        disk.kill();
        let journal = open(&disk, 0, one_segment()).unwrap();
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..4);
        append_all(&journal, [5]).await;
        drop(journal);
        disk.crash(seed);
        let journal = open(&disk, 0, one_segment()).unwrap();
        assert_records(&read_all(&journal).await.unwrap(), 0, [0, 1, 2, 3, 5]);
    }
}

/// F12 for ever.
#[tokio::test]
async fn while_syncs_fail_nothing_is_acknowledged() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..2).await;
    drop(journal);
    for call in [Call::Sync, Call::SyncDir] {
        disk.fail_always(call, Fault::Error(EIO));
        assert_eq!(kind(open(&disk, 0, one_segment())), ErrorKind::Unavailable);
        let empty = SimVfs::new();
        let journal = open(&empty, 0, one_segment()).unwrap();
        empty.fail_always(call, Fault::Error(EIO));
        assert_eq!(kind(journal.append(&batch(0)).await), ErrorKind::Poisoned);
        assert_eq!(kind(journal.append(&batch(1)).await), ErrorKind::Poisoned);
        disk.heal();
    }
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..2);
}

/// F13: I7.
#[tokio::test]
async fn a_full_disk_refuses_and_heals() {
    for room in 0..200 {
        let disk = SimVfs::new();
        let journal = open(&disk, 0, small_segments()).unwrap();
        append_all(&journal, 0..4).await;
        let used: u64 = segments(&disk).iter().map(|path| disk.contents(path).unwrap().len() as u64).sum();
        disk.set_capacity(Some(used + room));
        let mut taken = 4;
        let refused = loop {
            match journal.append(&batch(taken)).await {
                Ok(_) => taken += 1,
                Err(why) => break why,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::Full, "{refused:?}");
        assert_eq!(kind(journal.append(&batch(taken)).await), ErrorKind::Full);
        assert_eq!(journal.health().await, JournalHealth::Full);
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..taken);
        disk.set_capacity(Some(used + room + 1_000));
        assert_eq!(journal.health().await, JournalHealth::Ready, "seen without an append");
        append_all(&journal, taken..taken + 2).await;
        assert_eq!(journal.health().await, JournalHealth::Ready);
        drop(journal);
        disk.set_capacity(None);
        disk.crash(room);
        let journal = open(&disk, 0, small_segments()).unwrap();
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..taken + 2);
    }
}

/// F13: nothing was put off at the start, and nobody has tried to append.
#[tokio::test]
async fn a_disk_that_is_full_at_a_start_is_told_before_the_first_append() {
    for (reserve_bytes, room, full) in [(0, 0, true), (0, 1, false), (1_000, 999, true), (1_000, 1_000, false)] {
        let disk = SimVfs::new();
        disk.set_capacity(Some(room));
        let options = JournalOptions { reserve_bytes, ..JournalOptions::default() };
        let journal = open(&disk, 0, options).unwrap();
        let wanted = if full { JournalHealth::Full } else { JournalHealth::Ready };
        assert_eq!(journal.health().await, wanted, "{room} free, {reserve_bytes} kept");
        disk.set_capacity(None);
        assert_eq!(journal.health().await, JournalHealth::Ready);
    }
}

/// F13: recovery writes the last segment anew. Without room that is put off: everything is read, nothing is taken,
/// and no attempt to take something harms what is there.
#[tokio::test]
async fn i1_i7_a_start_on_a_full_disk_reads_everything_and_takes_records_once_there_is_room() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..4).await;
    drop(journal);
    let used = disk.contents(&segments(&disk)[0]).unwrap().len() as u64;
    for room in [0, 10, 39, 40, 41, used - 1] {
        disk.set_capacity(Some(used + room));
        let journal = open(&disk, 0, one_segment()).unwrap();
        assert_eq!(journal.health().await, JournalHealth::Full, "told before the first append");
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..4);
        assert_eq!(kind(journal.settle().await), ErrorKind::Full);
        assert_eq!(kind(journal.append(&batch(4)).await), ErrorKind::Full);
        assert_eq!(journal.last_durable(), Seq(4));
        drop(journal);
        disk.crash(room);
    }
    for ready_without_an_append in [true, false] {
        disk.set_capacity(Some(used));
        let journal = open(&disk, 0, one_segment()).unwrap();
        disk.set_capacity(Some(10 * used));
        if ready_without_an_append {
            assert_eq!(journal.health().await, JournalHealth::Ready);
            continue;
        }
        append_all(&journal, 4..6).await;
        assert_eq!(journal.health().await, JournalHealth::Ready);
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..6);
    }
    disk.crash(1);
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..6);
}

/// I8: what only the page cache holds can be read on a full disk, but it is settled only once it would survive.
#[tokio::test]
async fn i8_what_a_full_disk_put_off_is_durable_when_it_is_settled_and_not_before() {
    for seed in 0..32 {
        for room in [0, 10_000] {
            let disk = SimVfs::new();
            let journal = open(&disk, 0, one_segment()).unwrap();
            append_all(&journal, 0..2).await;
            disk.fail_next(Call::Sync, Fault::Error(EIO));
            assert_eq!(kind(journal.append(&batch(2)).await), ErrorKind::Poisoned);
            drop(journal);
            disk.kill();
            let used = disk.contents(&segments(&disk)[0]).unwrap().len() as u64;
            disk.set_capacity(Some(used));
            let journal = open(&disk, 0, one_segment()).unwrap();
            let found = read_all(&journal).await.unwrap().len() as u64;
            disk.set_capacity(Some(used + room));
            let settled = journal.settle().await.is_ok();
            assert_eq!(settled, room > 0);
            drop(journal);
            disk.crash(seed);
            let journal = open(&disk, 0, one_segment()).unwrap();
            let survived = read_all(&journal).await.unwrap().len() as u64;
            assert!(survived >= if settled { found } else { 2 }, "seed {seed}: {survived} of {found}");
        }
    }
}

/// F13.
#[tokio::test]
async fn the_reserve_is_left_alone() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, JournalOptions { reserve_bytes: 5_000, ..one_segment() }).unwrap();
    append_all(&journal, 0..2).await;
    disk.set_capacity(Some(5_000));
    append_all(&journal, 2..3).await;
    drop(journal);
    let journal = open(&disk, 0, JournalOptions { reserve_bytes: 5_000, ..one_segment() }).unwrap();
    let appends = disk.calls(Call::Append);
    assert_eq!(kind(journal.append(&batch(3)).await), ErrorKind::Full);
    assert_eq!(journal.health().await, JournalHealth::Full);
    assert_eq!(disk.calls(Call::Append), appends, "refused before writing");
    disk.set_capacity(Some(7_000));
    assert_eq!(journal.health().await, JournalHealth::Ready);
    append_all(&journal, 3..4).await;
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..4);
}

/// F14.
#[tokio::test]
async fn a_failed_write_is_taken_back_and_its_number_given_again() {
    let faults = [
        (Fault::ShortWrite, ErrorKind::Full),
        (Fault::Error(ENOSPC), ErrorKind::Full),
        (Fault::Error(EFBIG), ErrorKind::Full),
        (Fault::Error(EIO), ErrorKind::Unavailable),
    ];
    for (fault, expected) in faults {
        for seed in 0..20 {
            let disk = SimVfs::new();
            let journal = open(&disk, 0, one_segment()).unwrap();
            append_all(&journal, 0..2).await;
            disk.fail_next(Call::Append, fault);
            assert_eq!(kind(journal.append(&batch(9)).await), expected, "{fault:?}");
            assert_eq!(journal.append(&batch(2)).await.unwrap(), Seq(3).into(), "{fault:?}");
            assert_eq!(journal.health().await, JournalHealth::Ready);
            disk.fail_next(Call::Append, fault);
            assert_eq!(kind(journal.append(&batch(9)).await), expected, "{fault:?}");
            disk.crash(seed);
            drop(journal);
            let journal = open(&disk, 0, one_segment()).unwrap();
            let entries = read_all(&journal).await.unwrap();
            assert_records(&entries[..3], 0, 0..3);
            assert!(entries.len() == 3 || *batch(9).payload() == entries[3].payload, "I4");
            assert!(entries.len() <= 4, "I4");
        }
    }
}

/// F14: what `ulimit -f` does.
#[tokio::test]
async fn a_file_that_may_not_grow_is_left_for_a_new_one() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..2).await;
    disk.fail_next(Call::Append, Fault::Error(EFBIG));
    assert_eq!(kind(journal.append(&batch(9)).await), ErrorKind::Full);
    append_all(&journal, 2..4).await;
    assert_eq!(segments(&disk).len(), 2);
    drop(journal);
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..4);
}

/// The leftovers of a refused group, valid as they are, never stand in for what was written instead.
#[tokio::test]
async fn a_refused_record_left_in_an_earlier_segment_is_not_read() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..2).await;
    let path = segments(&disk).remove(0);
    let good = disk.contents(&path).unwrap().len();
    append_all(&journal, [9]).await;
    let with_leftover = disk.contents(&path).unwrap();
    drop(journal);

    disk.put(&path, &with_leftover[..good]);
    let journal = open(&disk, 0, JournalOptions { segment_bytes: 1, ..one_segment() }).unwrap();
    append_all(&journal, 2..4).await;
    drop(journal);
    let id = disk.contents(&path).unwrap();
    assert_ne!(id[12..28], with_leftover[12..28], "recovery has given the segment a new id");
    // As if the process had gone on with the old file: cut, begun anew, and the cut undone by a crash.
    disk.put(&path, &with_leftover);
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..4);
}

#[tokio::test]
async fn a_write_that_cannot_be_taken_back_poisons() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..2).await;
    disk.fail_next(Call::Append, Fault::ShortWrite);
    disk.fail_next(Call::Truncate, Fault::Error(EIO));
    assert_eq!(kind(journal.append(&batch(9)).await), ErrorKind::Poisoned);
    assert!(matches!(journal.health().await, JournalHealth::Poisoned(_)));
    drop(journal);
    disk.kill();
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..2);
}

/// Found by the simulation: windows close past a refused request, so it must never come back (I10).
#[tokio::test]
async fn i10_what_was_refused_for_want_of_space_is_gone_for_good() {
    for seed in 0..64 {
        let disk = SimVfs::new();
        let journal = open(&disk, 0, one_segment()).unwrap();
        append_all(&journal, 0..2).await;
        let (first, refused) = (batch(2), [batch(3), batch(4), batch(5)]);
        let hold = disk.hold_syncs();
        let first = queued(journal.append(&first));
        hold.reached();
        disk.fail_next(Call::Append, Fault::ShortWrite);
        let refused: Vec<_> = refused.iter().map(|batch| queued(journal.append(batch))).collect();
        drop(hold);
        first.await.unwrap();
        for append in refused {
            assert_eq!(kind(append.await), ErrorKind::Full);
        }
        drop(journal);
        disk.crash(seed);
        let journal = open(&disk, 0, one_segment()).unwrap();
        assert_records(&read_all(&journal).await.unwrap(), 0, 0..3);
    }
}

/// Whatever single call fails, nothing acknowledged is lost, and a restart brings the journal back.
#[tokio::test]
async fn an_error_at_any_step_loses_nothing() {
    for code in [EIO, ENOSPC, EMFILE, EFBIG] {
        let mut step = 0;
        loop {
            let disk = SimVfs::new();
            disk.fail_at(step, Fault::Error(code));
            let mut acked = Vec::new();
            let opened = open(&disk, 0, small_segments());
            if let Ok(journal) = &opened {
                for number in 0..8 {
                    if let Ok(seq) = journal.append(&batch(number)).await {
                        acked.push((seq, number));
                    }
                }
            }
            drop(opened);
            let ended = disk.steps() < step;
            disk.crash(step);
            disk.heal();
            let journal = open(&disk, 0, small_segments()).unwrap_or_else(|why| panic!("step {step}: {why:?}"));
            let entries = read_all(&journal).await.unwrap();
            assert!(entries.iter().zip(1..).all(|(entry, seq)| Seq::of_record(entry.id) == Seq(seq)));
            for (seq, number) in acked {
                let entry = entries.iter().find(|entry| entry.id == seq);
                assert_eq!(entry.map(|entry| &entry.payload), Some(batch(number).payload()), "I1, step {step}");
            }
            append_all(&journal, [9]).await;
            if ended {
                break;
            }
            step += 1;
        }
        assert!(step > 20, "{step} steps");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_deleted_is_deleted_later() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, small_segments()).unwrap();
    append_all(&journal, 0..8).await;
    let before = segments(&disk).len();
    disk.fail_next(Call::Remove, Fault::Error(EIO));
    assert_eq!(kind(journal.trim(Seq(8)).await), ErrorKind::Unavailable);
    assert_eq!(segments(&disk).len(), before);
    journal.trim(Seq(8)).await.unwrap();
    assert_eq!(segments(&disk).len(), 1, "never the one that is written to");
    append_all(&journal, 8..9).await;
}

/// A segment that was trimmed but not yet handed out is left out, not an error.
#[tokio::test]
async fn trimming_before_reading_hands_out_the_rest() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, small_segments()).unwrap();
    append_all(&journal, 0..8).await;
    drop(journal);
    let journal = open(&disk, 0, small_segments()).unwrap();
    journal.trim(Seq(5)).await.unwrap();
    let first: u64 = segments(&disk)[0].file_stem().unwrap().to_string_lossy().parse().unwrap();
    assert!(first > 1 && first <= 6, "{first}");
    let entries = read_all(&journal).await.unwrap();
    assert_records(&entries, first - 1, first - 1..8);
}
