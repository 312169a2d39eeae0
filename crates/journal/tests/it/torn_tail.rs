//! F10: whatever a crash leaves behind the last good record, the good ones are kept and nothing is
//! invented.

use std::path::PathBuf;

use ports::journal::OrderedJournal;
use vfs::testing::SimVfs;

use crate::support::{append_all, assert_records, next_waits, one_segment, open, read_all, segments};

const RECORDS: u64 = 6;

/// A disk with one segment of six records, its path, its bytes, and where each record ends.
async fn written() -> (SimVfs, PathBuf, Vec<u8>, Vec<usize>) {
    let disk = SimVfs::new();
    let journal = open(&disk, 0, one_segment()).unwrap();
    let mut ends = Vec::new();
    let mut path = PathBuf::new();
    for number in 0..RECORDS {
        append_all(&journal, [number]).await;
        path = segments(&disk).remove(0);
        ends.push(disk.contents(&path).unwrap().len());
    }
    let bytes = disk.contents(&path).unwrap();
    (disk, path, bytes, ends)
}

/// Opens what is on the disk: the first `whole` records are there, and the journal goes on.
async fn assert_prefix(disk: &SimVfs, whole: u64, what: &str) {
    let journal = open(disk, 0, one_segment()).unwrap_or_else(|why| panic!("{what}: {why:?}"));
    assert_eq!(journal.last_durable().0, whole, "{what}");
    assert_records(&read_all(&journal).await.unwrap(), 0, 0..whole);
    assert!(next_waits(&journal));
    append_all(&journal, [100]).await;
    drop(journal);
    disk.crash(0);
    let journal = open(disk, 0, one_segment()).unwrap();
    assert_records(&read_all(&journal).await.unwrap(), 0, (0..whole).chain([100]));
}

#[tokio::test]
async fn a_file_cut_at_any_byte_of_its_last_three_records_keeps_those_before() {
    let (_, path, bytes, ends) = written().await;
    for cut in ends[2]..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        let disk = SimVfs::new();
        disk.put(&path, &bytes[..cut]);
        assert_prefix(&disk, whole, &format!("cut at {cut}")).await;
        let mut zeroed = bytes[..cut].to_vec();
        zeroed.resize(bytes.len() + 5_000, 0);
        disk.put(&path, &zeroed);
        assert_prefix(&disk, whole, &format!("zeros from {cut}")).await;
    }
}

#[tokio::test]
async fn garbage_behind_the_last_record_is_cut() {
    let (_, path, bytes, ends) = written().await;
    let magic = &bytes[40..44];
    for cut in [ends[3], ends[5], ends[5] - 10, ends[4] + 1] {
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        for garbage in [vec![0xff; 3_000], magic.repeat(900), b"\0\0\0\0\xf5Nr\xfb".repeat(50), vec![1]] {
            let disk = SimVfs::new();
            disk.put(&path, &[&bytes[..cut], &garbage].concat());
            assert_prefix(&disk, whole, &format!("garbage from {cut}")).await;
        }
    }
}

#[tokio::test]
async fn an_old_record_of_the_same_number_from_another_segment_is_not_taken() {
    let (_, path, bytes, ends) = written().await;
    let (_, _, other, other_ends) = written().await;
    assert_eq!(ends, other_ends);
    for cut in [ends[3], ends[4]] {
        let disk = SimVfs::new();
        disk.put(&path, &[&bytes[..cut], &other[cut..]].concat());
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        assert_prefix(&disk, whole, &format!("stale records from {cut}")).await;
    }
}

#[tokio::test]
async fn an_old_record_of_the_same_segment_is_not_taken_again() {
    let (_, path, bytes, ends) = written().await;
    let disk = SimVfs::new();
    disk.put(&path, &[&bytes[..], &bytes[ends[1]..ends[2]]].concat());
    assert_prefix(&disk, RECORDS, "an earlier record again").await;
}

#[tokio::test]
async fn a_last_segment_without_a_header_is_removed() {
    let (_, path, bytes, ends) = written().await;
    let next = path.with_file_name("00000000000000000007.journal");
    for blank in [vec![], vec![0; 7], bytes[..39].to_vec(), vec![0; 40], vec![0; 100_000]] {
        let disk = SimVfs::new();
        disk.put(&path, &bytes);
        disk.put(&next, &blank);
        assert_prefix(&disk, ends.len() as u64, "a blank segment").await;
        disk.put(&path, &blank);
        assert_prefix(&disk, 0, "only a blank segment").await;
    }
}

#[tokio::test]
async fn unfinished_files_are_removed_and_others_left_alone() {
    let (disk, path, ..) = written().await;
    disk.put(&path.with_file_name("00000000000000000009.journal.tmp"), b"half");
    disk.put(&path.with_file_name("notes.txt"), b"mine");
    assert_prefix(&disk, RECORDS, "other files").await;
    let names: Vec<String> =
        segments(&disk).iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["00000000000000000001.journal", "notes.txt"]);
}
