//! F1–F7: the process dies at every named step between a request and its flush, at its first time
//! and at later ones; afterwards the clients send again what they know nothing about.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use super::checker::{check, check_running};
use super::client_log::ClientLog;
use super::load::Load;
use super::seed::Seed;
use super::server::{Launch, Server, WAIT_MAX};

/// What `abort` ends a process with.
const SIGABRT: i32 = 6;

/// Starts a server, lets `work` talk to it, and sees it die at `point`, after it has passed it `hits`
/// times.
pub(super) fn die(launch: &Launch, point: &str, hits: u32, work: impl FnOnce(&Server)) {
    let server = launch.clone().failpoints(&format!("{point}={hits}*off->panic")).spawn();
    work(&server);
    let status =
        server.wait_at_most(WAIT_MAX).unwrap_or_else(|| panic!("{point} {hits} never came:\n{}", server.log()));
    assert_eq!(status.signal(), Some(SIGABRT), "{point} {hits}:\n{}", server.log());
    assert!(server.log().contains(&format!("failpoint {point} panic")), "{point} {hits}:\n{}", server.log());
}

/// Lets a server die at each of `points` in turn, on one folder, under load.
fn die_at(points: &[(&str, &[u32])]) {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless().set("flush_rows", 100);
    let log = Arc::new(ClientLog::new(seed));
    for (point, hits) in points.iter().flat_map(|(point, hits)| hits.iter().map(move |hits| (*point, *hits))) {
        let load = Load::start(&log, 20);
        die(&launch, point, hits, |server| load.aim(server.try_address(WAIT_MAX)));
        let complaints = load.end();
        assert!(complaints.is_empty(), "{point} {hits}: seed {seed}: {complaints:#?}");

        let server = launch.start_ready();
        check_running(&server, &log);
        log.send_unknown(&mut server.client());
        let verdict = check(&server, data.path(), &log);
        assert_eq!(verdict.acknowledged, verdict.stored, "{point} {hits}: seed {seed}: {verdict}");
    }
}

#[test]
fn f1_i4_i7_killed_before_the_journal_is_written() {
    die_at(&[("journal::before_write", &[0, 1, 40])]);
}

#[test]
fn f2_i1_i4_killed_after_the_write_and_before_the_sync() {
    die_at(&[("journal::before_sync", &[0, 1, 40])]);
}

#[test]
fn f3_i1_i2_killed_after_the_sync_and_before_the_answer() {
    die_at(&[("journal::after_sync", &[0, 1, 40]), ("http::before_respond", &[0, 1, 40])]);
}

#[test]
fn f4_i1_i2_i3_killed_while_it_applies_or_before_a_flush_counts() {
    die_at(&[
        ("worker::before_apply", &[0, 10]),
        ("worker::after_apply", &[0, 10]),
        ("flush::before_commit", &[0, 3]),
        ("manifest::before_commit", &[0, 1, 5]),
    ]);
}

#[test]
fn f5_i2_killed_between_commit_and_acknowledgement() {
    die_at(&[
        ("worker::before_ack", &[0, 10]),
        ("manifest::after_commit", &[0, 1, 5]),
        ("flush::after_commit", &[0, 3]),
    ]);
}

#[test]
fn f6_i1_i2_i3_killed_at_each_step_of_publishing_a_file() {
    // The first files are the journal's, then come events, windows and ids of each flush.
    die_at(&[
        ("publish::before_sync", &[0, 1, 2, 3, 4]),
        ("publish::before_rename", &[0, 1, 2, 3]),
        ("publish::before_sync_dir", &[0, 1, 2, 3]),
        ("publish::after_sync_dir", &[0, 1, 2, 3]),
    ]);
}

#[test]
fn f7_i3_killed_before_and_after_a_merge_counts() {
    die_at(&[("merge::before_commit", &[0, 1]), ("merge::after_commit", &[0, 1])]);
}
