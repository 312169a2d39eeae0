//! F10, F11: what a crash or a disk leaves behind in the files of a folder. A torn end of the journal
//! is cut off; anything else that is not what was written is refused, and never read as less data.

use std::collections::BTreeSet;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::checker::{check, stored_ids};
use super::client_log::ClientLog;
use super::files;
use super::journal_file::JournalFile;
use super::seed::Seed;
use super::server::{Launch, WAIT_MAX};
use super::wait;

/// A folder whose last events are in the journal only, one record and one sync each.
fn journaled(log: &ClientLog, count: u64) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).unflushed().start();
    log.send_singly(&mut server.client(), count);
    server.kill();
    data
}

#[test]
fn f10_i4_a_journal_cut_anywhere_keeps_what_is_whole_and_goes_on() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = journaled(&log, 20);
    let whole = JournalFile::last_of(base.path());
    assert_eq!(whole.records.len(), 20);
    let mut random = seed.random(0);
    let torn = whole.records[17].start..whole.bytes.len();
    let mut cuts: BTreeSet<_> = (0..20).map(|_| random.random_range(torn.clone())).collect();
    for record in &whole.records[17..] {
        cuts.extend([record.start, record.start + 1, record.start + 23, record.start + 24, record.end - 1]);
    }
    cuts.extend(whole.records[19].clone());
    let data = tempfile::tempdir().unwrap();
    for cut in cuts {
        files::copy_folder(base.path(), data.path());
        files::write(&data.path().join("journal").join(whole.path.file_name().unwrap()), &whole.bytes[..cut]);
        let server = Launch::on(data.path()).unflushed().start_ready();
        let kept = whole.records.iter().filter(|record| record.end <= cut).count();
        let expected: BTreeSet<_> = (0..kept as u64).map(|number| log.id(number)).collect();
        let stored = stored_ids(&mut server.client());
        assert!(stored.values().all(|times| *times == 1), "I2, cut at {cut}: seed {seed}: {stored:?}");
        assert_eq!(stored.into_keys().collect::<BTreeSet<_>>(), expected, "I4, cut at {cut}: seed {seed}");
        // It goes on, now and after another crash.
        log.send(&mut server.client(), &[19]);
        server.kill();
        let server = Launch::on(data.path()).unflushed().start_ready();
        assert_eq!(stored_ids(&mut server.client()).len(), kept + usize::from(kept < 20), "cut at {cut}: seed {seed}");
    }
}

#[test]
fn f10_i1_i4_bytes_behind_the_journals_end_are_no_records() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = journaled(&log, 20);
    let whole = JournalFile::last_of(base.path());
    let mut random = seed.random(0);
    let garbage: Vec<u8> = (0..5_000).map(|_| random.random()).collect();
    let old = |number: usize| &whole.bytes[whole.records[number].clone()];
    let tails: [&[u8]; 6] =
        [&[0; 1], &[0; 4_096], &garbage, old(0), &[old(3), old(4), old(5)].concat(), &old(19)[..30]];
    let data = tempfile::tempdir().unwrap();
    for tail in tails {
        files::copy_folder(base.path(), data.path());
        let path = data.path().join("journal").join(whole.path.file_name().unwrap());
        files::write(&path, &[&whole.bytes, tail].concat());
        check(&Launch::on(data.path()).unflushed().start_ready(), data.path(), &log);
    }
}

/// A folder with flushed segments and, behind them, records that only the journal holds.
fn flushed_and_journaled(log: &ClientLog) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).restless().start();
    let mut client = server.client();
    log.fresh(2_000).chunks(200).for_each(|numbers| log.send(&mut client, numbers));
    server.stop();
    let server = Launch::on(data.path()).unflushed().start();
    log.send_singly(&mut server.client(), 20);
    server.kill();
    data
}

/// Flips one bit of a file at a random place within `range`.
fn flip(path: &Path, range: std::ops::Range<usize>, random: &mut StdRng) -> usize {
    let mut bytes = files::read(path);
    let place = random.random_range(range);
    bytes[place] ^= 1 << random.random_range(0..8);
    files::write(path, &bytes);
    place
}

#[test]
fn f11_a_flipped_bit_in_a_segment_is_refused_by_its_files_name() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = flushed_and_journaled(&log);
    let data = tempfile::tempdir().unwrap();
    let mut random = seed.random(0);
    for suffix in [".events.parquet", ".windows.parquet", ".ids.run"] {
        for _ in 0..4 {
            files::copy_folder(base.path(), data.path());
            let paths = files::with_suffix(&data.path().join("segments"), suffix);
            let path = &paths[random.random_range(0..paths.len())];
            let place = flip(path, 0..files::read(path).len(), &mut random);
            let (code, message) = Launch::on(data.path()).refused();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(
                code > 0 && message.contains(name),
                "byte {place} of {name}: seed {seed}: exit code {code}: {message}"
            );
        }
    }
}

#[test]
fn f11_a_segment_that_is_gone_or_cut_is_refused_by_its_files_name() {
    let log = ClientLog::new(Seed::new());
    let base = flushed_and_journaled(&log);
    let data = tempfile::tempdir().unwrap();
    for suffix in [".events.parquet", ".windows.parquet", ".ids.run"] {
        for cut in [false, true] {
            files::copy_folder(base.path(), data.path());
            let path = files::with_suffix(&data.path().join("segments"), suffix).pop().unwrap();
            let bytes = files::read(&path);
            if cut {
                files::write(&path, &bytes[..bytes.len() - 1]);
            } else {
                files::remove(&path);
            }
            let (code, message) = Launch::on(data.path()).refused();
            assert!(code > 0 && message.contains(path.file_name().unwrap().to_str().unwrap()), "{code}: {message}");
        }
    }
}

#[test]
fn f11_a_flipped_bit_within_the_journal_is_refused_by_file_and_byte() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = flushed_and_journaled(&log);
    let data = tempfile::tempdir().unwrap();
    let mut random = seed.random(0);
    for case in 0..12 {
        files::copy_folder(base.path(), data.path());
        let whole = JournalFile::last_of(data.path());
        // The last record cannot be told from one that was torn.
        let range = if case < 3 { 0..40 } else { 40..whole.records[whole.records.len() - 2].end };
        let place = flip(&whole.path, range, &mut random);
        let (code, message) = Launch::on(data.path()).refused();
        let name = whole.path.file_name().unwrap().to_str().unwrap();
        let named = message.contains(name) && message.contains("at byte");
        assert!(code > 0 && named, "byte {place} of {name}: seed {seed}: exit code {code}: {message}");
    }
}

#[test]
fn f11_i1_i3_a_flipped_bit_in_the_manifest_is_refused_or_changes_nothing() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = flushed_and_journaled(&log);
    let data = tempfile::tempdir().unwrap();
    let mut random = seed.random(0);
    let size = files::read(&base.path().join("manifest.sqlite")).len();
    for _ in 0..40 {
        files::copy_folder(base.path(), data.path());
        let place = flip(&data.path().join("manifest.sqlite"), 0..size, &mut random);
        refused_or_whole(data.path(), &log, &format!("byte {place} of {size}: seed {seed}"));
    }
}

/// SQLite takes a damaged log for one that ends there: the commits behind it are gone. A manifest
/// that has gone back must not make the ledger delete what it does not know any more.
#[test]
fn f11_i1_a_manifest_that_has_gone_back_is_refused_or_caught_up() {
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let base = tempfile::tempdir().unwrap();
    let server = Launch::on(base.path()).restless().start();
    let mut client = server.client();
    log.fresh(8_000).chunks(400).for_each(|numbers| log.send(&mut client, numbers));
    let flushed = wait::until(WAIT_MAX, || server.metric(&mut client, "ledger_unflushed_events") == 0.0);
    assert!(flushed, "{}", server.log());
    server.kill();
    // The next start finds all of the journal flushed.
    Launch::on(base.path()).start_ready().kill();
    let data = tempfile::tempdir().unwrap();
    let mut random = seed.random(0);
    let size = files::read(&base.path().join("manifest.sqlite-wal")).len();
    for part in 0..20 {
        files::copy_folder(base.path(), data.path());
        let range = size * part / 20..size * (part + 1) / 20;
        let place = flip(&data.path().join("manifest.sqlite-wal"), range, &mut random);
        refused_or_whole(data.path(), &log, &format!("byte {place} of {size}: seed {seed}"));
    }
    for name in ["manifest.sqlite-wal", "manifest.sqlite"] {
        files::copy_folder(base.path(), data.path());
        files::remove(&data.path().join(name));
        refused_or_whole(data.path(), &log, &format!("without {name}"));
    }
}

/// Starts a server that either refuses, twice, or has everything.
fn refused_or_whole(data: &Path, log: &ClientLog, case: &str) {
    let segments = || files::with_suffix(&data.join("segments"), "").len();
    let before = segments();
    let server = Launch::on(data).unflushed().spawn();
    if server.try_address(WAIT_MAX).is_some() {
        server.wait_ready();
        let stored = stored_ids(&mut server.client()).len();
        assert_eq!(stored, log.by_id().len(), "I1, {case}:\n{}", server.log());
    } else {
        assert!(server.wait().code() > Some(0), "{case}:\n{}", server.log());
        assert_eq!(segments(), before, "{case}: refused, and deleted segments all the same:\n{}", server.log());
    }
}
