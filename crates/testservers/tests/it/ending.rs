//! Servers end with the test that started them, however that ends, and leave no folder.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Helper, Process, below, eventually, folders_of, testserver};

/// Ends the process by `end`; its server's processes and folders must be gone then.
fn leaves_nothing(name: &str, end: impl FnOnce(&mut Helper, &[Process])) {
    let Some(mut helper) = Helper::start(&[name]) else { return };
    let processes = below(helper.pid());
    let folders = folders_of(&processes);
    assert!(processes.len() >= 2, "{name}: a watcher and a server, but there is {processes:?}");
    assert_eq!(folders.len(), 1, "{name}: {folders:?}");
    assert!(folders.iter().all(|folder| folder.is_dir()));
    end(&mut helper, &processes);
    eventually(&format!("all of {name} has ended"), || processes.iter().all(|process| !process.is_running()));
    eventually(&format!("no folder of {name} is left"), || folders.iter().all(|folder| !folder.exists()));
}

#[test]
fn nothing_of_postgres_outlives_a_test() {
    leaves_nothing("postgres", |helper, processes| {
        helper.finish();
        // A test that ends by itself waits for it.
        assert!(processes.iter().all(|process| !process.is_running()));
    });
    leaves_nothing("postgres", |helper, _| helper.end_by(Signal::KILL));
    leaves_nothing("postgres", |helper, _| helper.end_by(Signal::ABORT));
    leaves_nothing("postgres", |helper, _| helper.end_group_by(Signal::INT));
    leaves_nothing("postgres", |helper, _| helper.end_group_by(Signal::KILL));
}

#[test]
fn nothing_is_left_of_a_test_that_is_killed_while_its_server_starts() {
    for delay_ms in [0, 20, 100, 200, 400, 600, 800] {
        let mut command = testserver(&["postgres"]);
        let mut test = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(test.id()).unwrap();
        let mut folders = BTreeSet::new();
        eventually("a folder is there, or the test is skipped", || {
            folders = folders_of(&below(pid));
            !folders.is_empty() || test.try_wait().unwrap().is_some()
        });
        std::thread::sleep(Duration::from_millis(delay_ms));
        let processes = below(pid);
        test.kill().unwrap();
        test.wait().unwrap();
        eventually("all processes have ended", || processes.iter().all(|process| !process.is_running()));
        eventually("the folder is gone", || folders.iter().all(|folder| !folder.exists()));
    }
}

#[test]
fn a_postgres_that_stands_still_does_not_outlive_a_test_that_was_killed() {
    leaves_nothing("postgres", |helper, processes| {
        for process in processes.iter().filter(|process| !folders_of(&[**process]).is_empty()) {
            process.signal(Signal::STOP);
        }
        helper.end_by(Signal::KILL);
    });
}

#[test]
fn nothing_of_nats_or_redis_outlives_a_test() {
    for name in ["nats", "redis"] {
        leaves_nothing(name, |helper, _| helper.finish());
        leaves_nothing(name, |helper, _| helper.end_by(Signal::KILL));
    }
}

#[test]
fn nothing_of_rabbit_outlives_a_test() {
    leaves_nothing("rabbit", |helper, _| helper.finish());
    leaves_nothing("rabbit", |helper, _| helper.end_by(Signal::KILL));
}
