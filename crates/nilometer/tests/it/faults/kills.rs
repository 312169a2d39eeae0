//! Crashes and endings under load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;

use super::checker::{check, check_running, check_sums, verify};
use super::client_log::ClientLog;
use super::load::Load;
use super::say;
use super::seed::Seed;
use super::server::Launch;

/// Kills in one run.
const KILLS: u32 = 200;
/// Longest life of a server after it listens.
const LIFE_MS_MAX: u64 = 300;
/// Most events in one batch.
const BATCH_EVENTS_MAX: usize = 50;

#[test]
fn f1_to_f7_i1_i2_i3_i4_200_kills_under_load_lose_nothing_and_count_nothing_twice() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let log = Arc::new(ClientLog::new(seed));
    kill_under_load(&launch, Load::start(&log, BATCH_EVENTS_MAX), KILLS, seed);
    let server = launch.start_ready();
    let before = check_running(&server, &log);
    log.send_unknown(&mut server.client());
    let after = check(&server, data.path(), &log);
    assert!(before.acknowledged > 0 && after.acknowledged == after.stored, "seed {seed}: {before}; {after}");
    say(&format!("kills {KILLS}, {before}; after the clients sent the rest again: {after}"));
}

#[test]
fn f7_i3_kills_while_old_events_are_dropped_change_no_sum() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless().set("retention_days", 1).set("retention_delay_sec", 0);
    let log = Arc::new(ClientLog::new(seed));
    kill_under_load(&launch, Load::of_writers(&log, BATCH_EVENTS_MAX), 20, seed);
    let server = launch.start_ready();
    log.send_unknown(&mut server.client());
    check_sums(&server, &log);
    server.stop();
    verify(data.path());
}

/// Starts a server, kills it, and so on, while clients send.
pub(crate) fn kill_under_load(launch: &Launch, load: Load, kills: u32, seed: Seed) {
    let mut random = seed.random(0);
    for _ in 0..kills {
        let server = launch.spawn();
        if random.random_ratio(1, 5) {
            // Perhaps before it listens, in the middle of its recovery.
            load.aim(server.try_address(millis(&mut random, 150)));
        } else {
            load.aim(Some(server.address()));
            std::thread::sleep(millis(&mut random, LIFE_MS_MAX));
        }
        assert!(!server.has_ended(), "it ended by itself; seed {seed}:\n{}", server.log());
        server.kill();
        load.aim(None);
    }
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
}

#[test]
fn f8_i1_i7_a_crash_loop_in_recovery_changes_nothing() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let log = ClientLog::new(seed);
    fill(data.path(), &log);
    let launch = Launch::on(data.path()).restless();
    let mut random = seed.random(0);
    for _ in 0..20 {
        let server = launch.spawn();
        std::thread::sleep(millis(&mut random, 500));
        assert!(!server.has_ended(), "it ended by itself; seed {seed}:\n{}", server.log());
        server.kill();
    }
    check(&launch.start_ready(), data.path(), &log);
}

#[cfg(feature = "failpoints")]
#[test]
fn f8_i1_i7_a_crash_at_any_step_of_recovery_changes_nothing() {
    use super::crash_points::die;
    use super::files;
    let seed = Seed::new();
    let (base, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = ClientLog::new(seed);
    fill(base.path(), &log);
    let launch = Launch::on(data.path()).restless();
    let mut random = seed.random(0);
    for (point, hits) in [
        // The journal's last segment is written anew before anything else.
        ("publish::before_sync", 0),
        ("publish::before_rename", 0),
        ("publish::before_sync_dir", 0),
        ("publish::after_sync_dir", 0),
        // Then everything is applied and flushed.
        ("worker::before_apply", 0),
        ("worker::after_apply", 0),
        ("worker::before_ack", 0),
        ("publish::before_rename", 3),
        ("flush::before_commit", 2),
        ("manifest::before_commit", 1),
        ("manifest::after_commit", 1),
        ("flush::after_commit", 2),
        ("merge::before_commit", 0),
        ("merge::after_commit", 0),
    ] {
        files::copy_folder(base.path(), data.path());
        die(&launch, point, hits, |_| {});
        // And once more, in the recovery from that.
        let server = launch.spawn();
        std::thread::sleep(millis(&mut random, 300));
        server.kill();
        check(&launch.start_ready(), data.path(), &log);
    }
}

/// Fills a folder with events that only the journal holds.
fn fill(data: &Path, log: &ClientLog) {
    let server = Launch::on(data).unflushed().set("journal_segment_bytes", 1 << 20).start();
    let mut client = server.client();
    log.fresh(12_000).chunks(1_000).for_each(|numbers| log.send(&mut client, numbers));
    server.kill();
}

#[test]
fn i1_i9_a_signal_under_load_ends_it_with_0_and_everything_acknowledged_is_stored() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let log = Arc::new(ClientLog::new(seed));
    let load = Load::start(&log, BATCH_EVENTS_MAX);
    let mut random = seed.random(0);
    for signal in [Signal::TERM, Signal::INT, Signal::TERM, Signal::TERM] {
        let server = launch.start();
        load.aim(Some(server.address()));
        std::thread::sleep(Duration::from_millis(200) + millis(&mut random, 500));
        server.signal(signal);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "seed {seed}:\n{}", server.log());
        load.aim(None);
    }
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    check(&launch.start_ready(), data.path(), &log);
}

#[test]
fn i9_a_second_process_on_the_folder_refuses_and_the_first_goes_on() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let log = Arc::new(ClientLog::new(seed));
    let server = launch.start();
    let load = Load::start(&log, BATCH_EVENTS_MAX);
    load.aim(Some(server.address()));
    for _ in 0..3 {
        let (code, message) = launch.refused();
        assert_ne!(code, 0);
        assert!(message.contains("in use by another process"), "{message}");
    }
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    log.send_unknown(&mut server.client());
    check(&server, data.path(), &log);
}

fn millis(random: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(random.random_range(0..=most))
}
