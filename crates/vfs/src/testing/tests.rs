//! The simulated disk: what survives what, and that without faults it is the real one.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::BTreeSet;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{DiskVfs, Publisher};

const SEEDS: std::ops::Range<u64> = 0..200;

fn path(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

fn disk() -> SimVfs {
    let disk = SimVfs::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk
}

/// A durable file with these bytes, open for more.
fn durable(disk: &SimVfs, name: &str, bytes: &[u8]) -> Box<dyn WriteFile> {
    let mut file = disk.create(&path(name)).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    file
}

/// Every state that a crash of what `work` does can leave the file in.
fn after_crash(work: impl Fn(&SimVfs)) -> BTreeSet<Option<Vec<u8>>> {
    let crashed = SEEDS.map(|seed| {
        let disk = disk();
        work(&disk);
        disk.crash(seed);
        disk.contents(&path("a")).ok()
    });
    crashed.collect()
}

#[test]
fn what_is_synced_survives_every_crash() {
    let found = after_crash(|disk| drop(durable(disk, "a", b"kept")));
    assert_eq!(found, BTreeSet::from([Some(b"kept".to_vec())]));
}

#[test]
fn what_is_not_synced_survives_whole_torn_zeroed_or_not_at_all() {
    let found = after_crash(|disk| durable(disk, "a", b"kept ").append(b"xyz").unwrap());
    for expected in ["kept ", "kept x", "kept xyz", "kept \0\0\0", "kept xy\0"] {
        assert!(found.contains(&Some(expected.as_bytes().to_vec())), "{expected:?} in {found:?}");
    }
    for state in found {
        let state = state.unwrap();
        let tail = state.strip_prefix(b"kept ").unwrap();
        assert!(tail.iter().zip(b"xyz").all(|(found, written)| found == written || *found == 0), "{state:?}");
    }
}

#[test]
fn an_entry_survives_for_certain_only_once_its_folder_is_synced() {
    let found = after_crash(|disk| {
        let mut file = disk.create(&path("a")).unwrap();
        file.append(b"x").unwrap();
        file.sync().unwrap();
    });
    assert_eq!(found, BTreeSet::from([None, Some(b"x".to_vec())]));
    let found = after_crash(|disk| {
        drop(durable(disk, "a", b"old"));
        drop(durable(disk, "b", b"new"));
        disk.rename(&path("b"), &path("a")).unwrap();
    });
    assert_eq!(found, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    let found = after_crash(|disk| {
        drop(durable(disk, "a", b"x"));
        disk.remove(&path("a")).unwrap();
    });
    assert_eq!(found, BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn a_failed_sync_marks_the_file_clean_so_that_the_next_one_lies() {
    let found = after_crash(|disk| {
        let mut file = durable(disk, "a", b"kept ");
        file.append(b"lost ").unwrap();
        disk.fail_next(Call::Sync, Fault::Error(EIO));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(EIO));
        file.append(b"later").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.contents(&path("a")).unwrap(), b"kept lost later", "the page cache shows it");
    });
    assert_eq!(found, BTreeSet::from([Some(b"kept \0\0\0\0\0later".to_vec())]));
}

#[test]
fn a_published_file_is_whole_or_absent_after_a_crash_at_any_step() {
    let publish = |disk: &SimVfs| {
        let mut file = Publisher::create(Arc::new(disk.clone()), Path::new("/data"), "a")?;
        file.write_all(b"whole")?;
        file.finish()
    };
    let clean = disk();
    let first = clean.steps();
    publish(&clean).unwrap();
    for step in first..clean.steps() {
        for seed in SEEDS {
            let disk = disk();
            disk.fail_at(step, Fault::Crash);
            publish(&disk).unwrap_err();
            assert!(disk.is_down());
            disk.crash(seed);
            let found = disk.contents(&path("a")).ok();
            assert!(found.is_none() || found.as_deref() == Some(b"whole"), "step {step} seed {seed}: {found:?}");
            publish(&disk).unwrap();
            disk.crash(seed);
            assert_eq!(disk.contents(&path("a")).unwrap(), b"whole", "step {step} seed {seed}");
        }
    }
}

#[test]
fn after_a_crash_every_call_fails_until_the_restart_and_old_files_stay_closed() {
    let disk = disk();
    let mut file = durable(&disk, "a", b"x");
    let reader = disk.open_read(&path("a")).unwrap();
    disk.fail_at(disk.steps(), Fault::Crash);
    file.append(b"y").unwrap_err();
    disk.list(Path::new("/data")).unwrap_err();
    disk.crash(0);
    file.append(b"y").unwrap_err();
    reader.read_exact_at(0, &mut [0]).unwrap_err();
    assert_eq!(disk.list(Path::new("/data")).unwrap(), ["a"]);
}

#[test]
fn a_killed_process_leaves_what_it_wrote() {
    let disk = disk();
    let mut file = durable(&disk, "a", b"x");
    file.append(b"y").unwrap();
    disk.kill();
    file.append(b"z").unwrap_err();
    assert_eq!(disk.contents(&path("a")).unwrap(), b"xy");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk();
    disk.set_capacity(Some(5));
    let mut file = disk.create(&path("a")).unwrap();
    file.append(b"abc").unwrap();
    assert_eq!(disk.free_bytes(Path::new("/data")).unwrap(), 2);
    assert_eq!(file.append(b"defg").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((file.len(), disk.contents(&path("a")).unwrap().as_slice()), (5, &b"abcde"[..]));
    file.truncate(3).unwrap();
    file.append(b"de").unwrap();
    assert_eq!(disk.contents(&path("a")).unwrap(), b"abcde");
}

#[test]
fn a_short_write_leaves_half() {
    let disk = disk();
    let mut file = disk.create(&path("a")).unwrap();
    disk.fail_next(Call::Append, Fault::ShortWrite);
    assert_eq!(file.append(b"abcd").unwrap_err().raw_os_error(), Some(ENOSPC));
    assert_eq!(file.len(), 2);
}

#[test]
fn a_held_sync_waits() {
    let disk = disk();
    let mut file = disk.create(&path("a")).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    file.append(b"x").unwrap();
    let hold = disk.hold_syncs();
    let synced = std::thread::spawn(move || file.sync());
    hold.reached();
    assert!(!synced.is_finished());
    assert_eq!(disk.calls(Call::Sync), 0);
    drop(hold);
    synced.join().unwrap().unwrap();
    assert_eq!(disk.calls(Call::Sync), 1);
}

#[test]
fn a_flipped_bit_is_read_back_flipped() {
    let disk = disk();
    drop(durable(&disk, "a", &[0, 0]));
    disk.flip_bit(&path("a"), 9).unwrap();
    assert_eq!(disk.contents(&path("a")).unwrap(), [0, 2]);
    disk.crash(0);
    assert_eq!(disk.contents(&path("a")).unwrap(), [0, 2]);
    disk.flip_bit(&path("a"), 16).unwrap_err();
}

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<u8>),
    Truncate(u64),
    Sync,
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Op::Append),
        1 => (0_u64..40).prop_map(Op::Truncate),
        1 => Just(Op::Sync),
        1 => Just(Op::Reopen),
    ];
    prop::collection::vec(op, 0..20)
}

fn run(vfs: &dyn Vfs, dir: &Path, ops: &[Op]) -> Vec<u8> {
    let path = dir.join("a");
    let mut file = vfs.create(&path).unwrap();
    for op in ops {
        match op {
            Op::Append(bytes) => file.append(bytes).unwrap(),
            Op::Truncate(len) => file.truncate(*len.min(&file.len())).unwrap(),
            Op::Sync => file.sync().unwrap(),
            Op::Reopen => file = vfs.open_append(&path).unwrap(),
        }
    }
    let reader = vfs.open_read(&path).unwrap();
    assert_eq!(reader.len(), file.len());
    let mut bytes = vec![0; usize::try_from(reader.len()).unwrap()];
    reader.read_exact_at(0, &mut bytes).unwrap();
    reader.read_exact_at(reader.len(), &mut [0]).unwrap_err();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn without_faults_it_is_the_real_disk(ops in ops(), seed: u64) {
        let real = tempfile::tempdir().unwrap();
        let expected = run(&DiskVfs, real.path(), &ops);
        let disk = disk();
        prop_assert_eq!(&run(&disk, Path::new("/data"), &ops), &expected);
        disk.sync_dir(Path::new("/data")).unwrap();
        disk.open_append(&path("a")).unwrap().sync().unwrap();
        disk.crash(seed);
        prop_assert_eq!(&disk.contents(&path("a")).unwrap(), &expected);
    }
}
