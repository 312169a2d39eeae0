//! F12–F15: a disk that fails, fills up or is slow, and limits of the machine. `strace` makes system
//! calls fail, a small file system in memory fills up. Where a machine has or allows neither, the
//! test says that it is skipped.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::checker::{check, check_running, stored_ids};
use super::client_log::ClientLog;
use super::files;
use super::http::Client;
use super::load::Load;
use super::seed::Seed;
use super::server::{Launch, WAIT_MAX};
use super::{say, wait};

/// The code of a server that stopped itself.
const EXIT_FAILED: i32 = 70;

/// Whether `strace` can be used; says so when it cannot.
fn has_strace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-D", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let works = command.status().is_ok_and(|status| status.success());
    if !works {
        say("skipped: strace is missing or may not trace");
    }
    works
}

/// `launch` with syncs of the file or folder `path`, which must be there, made to do `what`.
fn injected(launch: &Launch, what: &str, path: &Path) -> Launch {
    let (trace, inject) = ("trace=fsync,fdatasync", format!("inject=fsync,fdatasync:{what}"));
    let path = path.to_str().unwrap();
    launch.clone().under(&["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", trace, "-e", &inject, "-P", path])
}

#[test]
fn f12_i1_i8_after_a_failed_sync_of_the_journal_nothing_is_acknowledged() {
    if !has_strace() {
        return;
    }
    for (at, kind) in [(1, "when=1"), (3, "when=3"), (4, "when=4+")] {
        let seed = Seed::new();
        let data = tempfile::tempdir().unwrap();
        let launch = Launch::on(data.path()).unflushed();
        let log = ClientLog::new(seed);
        let server = launch.start();
        log.send_singly(&mut server.client(), 3);
        server.kill();

        let segment = files::with_suffix(&data.path().join("journal"), ".journal").pop().unwrap();
        let server = injected(&launch, &format!("error=EIO:{kind}"), &segment).start_ready();
        let mut client = server.client();
        log.send_singly(&mut client, at - 1);
        let refused = log.fresh(1);
        if let Ok(answer) = client.post("/v1/events", &log.body(&refused)) {
            assert_eq!(answer.status, 503, "I8, {kind}: {}", answer.text());
        }
        assert_eq!(server.wait().code(), Some(EXIT_FAILED), "{kind}:\n{}", server.log());

        let server = launch.start_ready();
        check_running(&server, &log);
        log.send_unknown(&mut server.client());
        let verdict = check(&server, data.path(), &log);
        assert_eq!(verdict.acknowledged, verdict.stored, "{kind}: seed {seed}");
    }
}

#[test]
fn f12_i1_i2_after_a_failed_sync_of_the_manifest_the_process_ends_and_the_next_one_goes_on() {
    if !has_strace() {
        return;
    }
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let log = Arc::new(ClientLog::new(seed));
    let server = launch.start();
    log.send_singly(&mut server.client(), 3);
    server.kill();
    for when in ["when=1", "when=3+"] {
        let load = Load::start(&log, 50);
        let server = injected(&launch, &format!("error=EIO:{when}"), &data.path().join("manifest.sqlite-wal"));
        let server = server.spawn();
        load.aim(server.try_address(WAIT_MAX));
        let code = server.wait().code();
        assert!(code == Some(EXIT_FAILED) || code == Some(1), "{when}: {code:?}\n{}", server.log());
        let complaints = load.end();
        assert!(complaints.is_empty(), "{when}: seed {seed}: {complaints:#?}");
        let server = launch.start_ready();
        check_running(&server, &log);
        log.send_unknown(&mut server.client());
        check(&server, data.path(), &log);
    }
}

#[test]
fn f12_i1_i2_i7_a_segment_whose_sync_fails_is_written_again() {
    if !has_strace() {
        return;
    }
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    launch.start().kill();
    let log = Arc::new(ClientLog::new(seed));
    let load = Load::start(&log, 50);
    // Folders are synced in that folder only by flushes and merges; every third of these fails.
    let server = injected(&launch, "error=EIO:when=3+3", &data.path().join("segments")).start();
    load.aim(Some(server.address()));
    std::thread::sleep(Duration::from_secs(3));
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    if server.has_ended() {
        assert_eq!(server.wait().code(), Some(EXIT_FAILED), "{}", server.log());
    } else {
        assert!(server.log().contains("Input/output error"), "no sync failed:\n{}", server.log());
        server.kill();
    }
    let server = launch.start_ready();
    check_running(&server, &log);
    log.send_unknown(&mut server.client());
    check(&server, data.path(), &log);
}

#[test]
fn f15_i6_i8_on_a_slow_disk_requests_wait_or_are_refused_and_memory_is_bounded() {
    if !has_strace() {
        return;
    }
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).unflushed();
    let log = Arc::new(ClientLog::new(seed));
    let server = launch.start();
    log.send_singly(&mut server.client(), 1);
    server.kill();
    let segment = files::with_suffix(&data.path().join("journal"), ".journal").pop().unwrap();
    let narrow = ["body_bytes_max", "decoded_bytes_max", "backlog_bytes_max"];
    let narrow = narrow.iter().fold(launch.clone(), |launch, name| launch.set(name, 1 << 20));
    let server = injected(&narrow, "delay_enter=1000000", &segment).start_ready();
    let send = |_| {
        let (log, address) = (Arc::clone(&log), server.address());
        std::thread::spawn(move || {
            let mut client = Client::new(address);
            let refused = (0..2).filter(|_| {
                let numbers = log.fresh(1_500);
                let answer = client.post("/v1/events", &log.body(&numbers)).unwrap();
                match answer.status {
                    202 => log.note(&numbers, &answer.json()).unwrap(),
                    503 => assert!(answer.header("retry-after").is_some()),
                    other => panic!("{other}: {}", answer.text()),
                }
                answer.status == 503
            });
            refused.count()
        })
    };
    let clients: Vec<_> = (0..24).map(send).collect();
    let refused: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(refused > 0, "24 clients with 200 KB each should be too many for a backlog of 1 MiB");
    assert!(server.memory_mb_max() < 600, "I6: {} MB", server.memory_mb_max());
    server.kill();
    let server = launch.start_ready();
    check_running(&server, &log);
    log.send_unknown(&mut server.client());
    check(&server, data.path(), &log);
}

/// A small file system in memory, in a mount namespace of its own that lives as long as this.
struct SmallDisk {
    holder: Child,
    mount: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one, where that is allowed.
    fn mount(megabytes: u32) -> Option<Self> {
        let mount = tempfile::tempdir().unwrap();
        let script = format!("mount -t tmpfs -o size={megabytes}m none {} && echo && exec cat", mount.path().display());
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().ok()?;
        let mut ready = [0; 1];
        let mounted = std::io::Read::read(holder.stdout.as_mut().unwrap(), &mut ready).is_ok_and(|count| count == 1);
        let disk = Self { holder, mount };
        if !mounted {
            say("skipped: no file system may be mounted here");
        }
        mounted.then_some(disk)
    }

    /// A server with its folder there.
    fn launch(&self) -> Launch {
        let holder = self.holder.id().to_string();
        Launch::on(&self.mount.path().join("data")).under(&["nsenter", "-m", "-t", &holder])
    }

    /// A path on it, as seen from outside.
    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(&format!("/proc/{}/root", self.holder.id()))
            .join(self.mount.path().strip_prefix("/").unwrap())
            .join(name)
    }

    /// Leaves so many kilobytes free.
    fn fill(&self, free_kb: u64) {
        let available = rustix::fs::statvfs(self.path("")).unwrap();
        let available_kb = available.f_bavail * available.f_frsize / 1_024;
        let bytes = (available_kb - free_kb) * 1_024;
        files::write(&self.path("filler"), &vec![1; usize::try_from(bytes).unwrap()]);
    }

    fn free(&self) {
        files::remove(&self.path("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// F13 in each place where the space may end: with the reserve the journal refuses in time, so
/// that flushes still fit; without it, any file may meet the end of the disk.
fn full_disk(reserve_bytes: u64, free_kb: u64) {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let seed = Seed::new();
    let launch = disk.launch().restless().set("disk_reserve_bytes", reserve_bytes);
    let server = launch.start();
    let mut client = server.client();
    let log = ClientLog::new(seed);
    log.fresh(1_000).chunks(100).for_each(|numbers| log.send(&mut client, numbers));
    disk.fill(free_kb);
    let mut refusals = 0;
    let full = wait::until(WAIT_MAX, || {
        let numbers = log.fresh(500);
        let Ok(answer) = client.post("/v1/events", &log.body(&numbers)) else { return true };
        match answer.status {
            202 => log.note(&numbers, &answer.json()).unwrap(),
            503 | 507 => refusals += 1,
            other => panic!("{other}: {}", answer.text()),
        }
        refusals > 5
    });
    assert!(full, "the disk never filled up");
    assert!(!server.has_ended(), "I7: a full disk ended it; seed {seed}:\n{}", server.log());
    assert_eq!(client.get("/readyz").unwrap().status, 503, "{}", server.log());
    assert!(stored_ids(&mut client).len() >= 1_000, "reads have to work");

    disk.free();
    let healed = wait::until(WAIT_MAX, || client.get("/readyz").is_ok_and(|answer| answer.status == 200));
    assert!(healed, "I7: it did not heal; seed {seed}: {}\n{}", client.get("/readyz").unwrap().text(), server.log());
    log.send_unknown(&mut client);
    check_running(&server, &log);
    server.kill();
    let server = launch.start_ready();
    check_running(&server, &log);
    server.stop();
}

#[test]
fn f13_i1_i7_i8_a_disk_at_its_reserve_refuses_writes_reads_on_and_heals() {
    full_disk(8 << 20, 9 << 10);
}

#[test]
fn f13_i1_i7_i8_a_disk_that_is_full_to_the_last_byte_refuses_writes_reads_on_and_heals() {
    full_disk(0, 300);
}

/// Windows are closed by commits of the manifest alone, so with nothing else to write those are
/// what the full disk refuses.
#[test]
fn f13_i7_a_manifest_without_space_heals() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let launch = disk.launch().restless().set("window_length_sec", 1).set("window_grace_sec", 0);
    let server = launch.set("disk_reserve_bytes", 0).start();
    let mut client = server.client();
    log.send(&mut client, &log.fresh(100));
    disk.fill(0);
    let closed = "windows_closed_through_timestamp_seconds";
    // Its log has some pages to use again; then it has to grow.
    let refused = wait::until(WAIT_MAX, || server.log().contains("full"));
    assert!(refused, "no commit met the full disk:\n{}", server.log());
    assert!(!server.has_ended(), "I7: a full disk ended it; seed {seed}:\n{}", server.log());
    let before = server.metric(&mut client, closed);
    disk.free();
    let healed = wait::until(WAIT_MAX, || server.metric(&mut client, closed) > before + 1.0);
    assert!(healed, "I7: no window was closed any more; seed {seed}:\n{}", server.log());
    log.fresh(2_000).chunks(100).for_each(|numbers| log.send(&mut client, numbers));
    check_running(&server, &log);
    let flushed = wait::until(WAIT_MAX, || server.metric(&mut client, "ledger_unflushed_events") == 0.0);
    assert!(flushed, "I7: nothing was flushed any more; seed {seed}:\n{}", server.log());
    server.stop();
}

/// A start on a full disk: everything is read, and whatever would have to be written is refused, without a loss, until
/// there is room.
fn started_on_a_full_disk(killed: bool, reserve_bytes: u64) {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let seed = Seed::new();
    let log = ClientLog::new(seed);
    let launch = disk.launch().restless().set("disk_reserve_bytes", reserve_bytes);
    let server = launch.clone().unflushed().start();
    let known = log.fresh(2_000);
    known.chunks(100).for_each(|numbers| log.send(&mut server.client(), numbers));
    if killed {
        server.kill()
    } else {
        server.stop()
    }
    disk.fill(0);
    for _ in 0..2 {
        let server = launch.start();
        let mut client = server.client();
        check_running(&server, &log);
        assert_eq!(client.get("/healthz").unwrap().status, 200);
        let is_told = |client: &mut Client| {
            let ready = client.get("/readyz").unwrap();
            ready.status == 503 && ready.text().contains("the disk is full")
        };
        assert!(wait::until(WAIT_MAX, || is_told(&mut client)), "before the first request:\n{}", server.log());
        let unsent = log.fresh(10);
        let mut refused = |what: &str, numbers: &[u64]| {
            let answer = client.post("/v1/events", &log.body(numbers)).unwrap();
            assert_eq!(answer.status, 507, "{what}; seed {seed}: {}\n{}", answer.text(), server.log());
            assert!(answer.text().contains("disk"), "{what}: {}", answer.text());
        };
        refused("new events", &unsent);
        if killed {
            // A crash of the machine might take them, for all that is known: they are not called duplicates.
            refused("events that only the journal holds", &known[..10]);
        }
        let ready = client.get("/readyz").unwrap();
        assert_eq!(ready.status, 503, "{}", ready.text());
        assert!(ready.text().contains("the disk is full"), "{}", ready.text());
        check_running(&server, &log);
        assert!(!server.has_ended(), "I7; seed {seed}:\n{}", server.log());
        server.kill();
    }
    let server = launch.start();
    disk.free();
    let healed = wait::until(WAIT_MAX, || server.client().get("/readyz").is_ok_and(|answer| answer.status == 200));
    assert!(healed, "I7: it did not heal; seed {seed}:\n{}", server.log());
    log.send_unknown(&mut server.client());
    log.fresh(500).chunks(100).for_each(|numbers| log.send(&mut server.client(), numbers));
    check_running(&server, &log);
    server.kill();
    let server = launch.start_ready();
    check_running(&server, &log);
    server.stop();
}

#[test]
fn f13_i1_i7_a_start_on_a_full_disk_after_a_kill_reads_and_refuses_until_there_is_room() {
    started_on_a_full_disk(true, 0);
}

#[test]
fn f13_i1_i7_a_start_on_a_full_disk_after_a_stop_reads_and_refuses_until_there_is_room() {
    started_on_a_full_disk(false, 0);
}

#[test]
fn f13_i1_i7_a_start_on_a_full_disk_with_a_reserve_reads_and_refuses_until_there_is_room() {
    started_on_a_full_disk(true, 1 << 20);
}

#[test]
fn f14_i1_i7_i8_files_that_may_not_grow_are_refused_or_followed_by_new_ones() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let log = Arc::new(ClientLog::new(seed));
    let launch = Launch::on(data.path()).set("flush_rows", 2_000).set("flush_age_ms", 500);
    launch.start().stop();
    // A write across the limit is short; the next one fails with EFBIG.
    let limited = launch.clone().under(&["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]);
    let server = limited.start();
    let load = Load::start(&log, 200);
    load.aim(Some(server.address()));
    std::thread::sleep(Duration::from_millis(1_500));
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
    if server.has_ended() {
        assert_eq!(server.wait().code(), Some(EXIT_FAILED), "{}", server.log());
    } else {
        server.kill();
    }
    let server = launch.start_ready();
    check_running(&server, &log);
    log.send_unknown(&mut server.client());
    check(&server, data.path(), &log);
}

#[test]
fn f14_i1_i7_without_file_descriptors_connections_wait_and_nothing_is_lost() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let log = ClientLog::new(seed);
    let launch = Launch::on(data.path()).restless().set("idle_timeout_ms", 60_000);
    let server = launch.clone().under(&["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"]).start();
    let mut client = server.client();
    log.send(&mut client, &log.fresh(10));
    let idle: Vec<_> =
        (0..100).filter_map(|_| super::http::Connection::open(server.address(), WAIT_MAX).ok()).collect();
    // What is connected already is served, flushed or not.
    let mut served = 0;
    let end = wait::Deadline::after(Duration::from_secs(2));
    while !end.is_over() {
        let numbers = log.fresh(50);
        if let Ok(answer) = client.post("/v1/events", &log.body(&numbers))
            && answer.status == 202
        {
            log.note(&numbers, &answer.json()).unwrap();
            served += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(served > 0, "{}", server.log());
    drop(idle);
    if server.wait_at_most(Duration::from_millis(500)).is_some() {
        // It could not go on with the files it has; the supervisor starts it again.
        assert_eq!(server.wait().code(), Some(EXIT_FAILED), "seed {seed}:\n{}", server.log());
    } else {
        server.kill();
    }
    let server = launch.start_ready();
    log.send_unknown(&mut server.client());
    check(&server, data.path(), &log);
}
