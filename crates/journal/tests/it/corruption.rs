//! F11: a flipped bit is noticed wherever it is, and never makes a smaller count, but for the one
//! place where nothing can tell it from a torn write: the last group.

use std::path::PathBuf;

use ports::ErrorKind;
use ports::journal::Journal;
use vfs::testing::SimVfs;

use crate::support::{
    append_all, assert_records, batch, kind, one_segment, open, queued, read_all, segments, small_segments,
};

const RECORDS: u64 = 8;

/// A disk with several segments, and their paths.
async fn written() -> (SimVfs, Vec<PathBuf>) {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, small_segments()).unwrap();
    append_all(&journal, 0..RECORDS).await;
    drop(journal);
    let paths = segments(&disk);
    assert!(paths.len() >= 3, "{paths:?}");
    (disk, paths)
}

#[tokio::test]
async fn a_bit_flipped_anywhere_is_noticed_or_cuts_only_the_last_record() {
    let (disk, paths) = written().await;
    let files: Vec<Vec<u8>> = paths.iter().map(|path| disk.contents(path).unwrap()).collect();
    let (mut refused, mut cut) = (0, 0);
    for (path, bytes) in paths.iter().zip(&files) {
        for bit in 0..bytes.len() as u64 * 8 {
            let disk = SimVfs::new();
            for (path, bytes) in paths.iter().zip(&files) {
                disk.put(path, bytes);
            }
            disk.flip_bit(path, bit).unwrap();
            match open(&disk, 0, small_segments()) {
                Err(why) => {
                    refused += 1;
                    assert_eq!(why.kind(), ErrorKind::Corrupt, "{why:?}");
                    let name = path.file_name().unwrap().to_string_lossy();
                    assert!(why.to_string().contains(&*name), "{why} names {name}");
                    assert!(why.to_string().contains("at byte"), "{why}");
                }
                Ok(journal) => {
                    cut += 1;
                    assert_eq!(Some(path), paths.last(), "bit {bit} of an earlier segment went unnoticed");
                    assert_records(&read_all(&journal).await.unwrap(), 0, 0..RECORDS - 1);
                }
            }
        }
    }
    assert!(refused > cut && cut > 0, "refused {refused}, cut {cut}");
}

#[tokio::test]
async fn a_bit_flipped_in_the_last_segment_before_its_last_group_is_refused() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..3).await;
    let path = segments(&disk).remove(0);
    let durable = disk.contents(&path).unwrap();
    append_all(&journal, 3..5).await;
    drop(journal);
    let bytes = disk.contents(&path).unwrap();
    for bit in 0..durable.len() as u64 * 8 {
        let disk = SimVfs::new();
        disk.put(&path, &bytes);
        disk.flip_bit(&path, bit).unwrap();
        assert_eq!(kind(open(&disk, 0, one_segment())), ErrorKind::Corrupt, "bit {bit}");
    }
}

/// A power loss may keep the end of an unsynced write without its beginning.
#[tokio::test]
async fn a_hole_in_the_last_group_is_a_torn_tail_and_not_corruption() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..2).await;
    let path = segments(&disk).remove(0);
    let hold = disk.hold_syncs();
    let (a, b, c) = (batch(2), batch(3), batch(4));
    let first = queued(journal.append(&a));
    hold.reached();
    let before = disk.contents(&path).unwrap().len();
    let group = [queued(journal.append(&b)), queued(journal.append(&c))];
    drop(hold);
    first.await.unwrap();
    for append in group {
        append.await.unwrap();
    }
    drop(journal);
    let mut bytes = disk.contents(&path).unwrap();
    bytes[before..before + 50].fill(0);
    let disk = SimVfs::new();
    disk.put(&path, &bytes);
    let journal = open(&disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..3);
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let (disk, paths) = written().await;
    let files: Vec<Vec<u8>> = paths.iter().map(|path| disk.contents(path).unwrap()).collect();
    for missing in 0..paths.len() - 1 {
        let disk = SimVfs::new();
        for (path, bytes) in paths.iter().zip(&files).enumerate().filter(|(at, _)| *at != missing).map(|(_, file)| file)
        {
            disk.put(path, bytes);
        }
        assert_eq!(kind(open(&disk, 0, small_segments())), ErrorKind::Corrupt, "segment {missing} is missing");
    }
}

#[tokio::test]
async fn a_segment_under_another_name_is_refused() {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    append_all(&journal, 0..1).await;
    drop(journal);
    let path = segments(&disk).remove(0);
    let bytes = disk.contents(&path).unwrap();
    let disk = SimVfs::new();
    disk.put(&path.with_file_name("00000000000000000002.journal"), &bytes);
    assert_eq!(kind(open(&disk, 1, one_segment())), ErrorKind::Corrupt);
}

#[tokio::test]
async fn what_is_flushed_elsewhere_may_be_corrupt_or_missing() {
    let (disk, paths) = written().await;
    let flushed: u64 = paths[2].file_stem().unwrap().to_string_lossy().parse::<u64>().unwrap() - 1;
    disk.flip_bit(&paths[0], 400).unwrap();
    disk.put(&paths[1], b"");
    let journal = open(&disk, flushed, small_segments()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), flushed, flushed..RECORDS);
    assert_eq!(segments(&disk), paths[2..]);
}

#[tokio::test]
async fn a_bit_that_flips_after_the_start_is_noticed_when_it_is_read() {
    let (disk, paths) = written().await;
    let journal = open(&disk, 0, small_segments()).unwrap();
    disk.flip_bit(&paths[1], 8 * 70).unwrap();
    let first: u64 = paths[1].file_stem().unwrap().to_string_lossy().parse().unwrap();
    let good = journal.next().await.unwrap();
    assert_records(&good, 0, 0..first - 1);
    assert_eq!(kind(journal.next().await), ErrorKind::Corrupt);
    assert_eq!(kind(journal.next().await), ErrorKind::Corrupt, "never skipped");
}

/// A manifest can lose its last commits, and the ledger with it what it had flushed.
#[tokio::test]
async fn i1_a_ledger_that_has_gone_back_finds_its_records_again_or_a_gap() {
    let (mut found, mut gaps) = (0, 0);
    for after in 0..RECORDS {
        let (disk, _) = written().await;
        drop(open(&disk, RECORDS, small_segments()).unwrap());
        match open(&disk, after, small_segments()) {
            Ok(journal) => {
                assert_records(&read_all(&journal).await.unwrap(), after, after..RECORDS);
                found += 1;
            }
            Err(why) => {
                assert_eq!(why.kind(), ErrorKind::Corrupt, "{why:?}");
                gaps += 1;
            }
        }
    }
    assert!(found > 0 && gaps > 0, "found {found}, gaps {gaps}");
}
