//! PostgreSQL: an empty database for each test, a server that can be killed and started again, and no rights of root.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use testservers::{Error, Postgres, database};

use crate::harness::{Process, below, eventually, text};

const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";

#[test]
fn a_database_is_empty_and_isolated_and_goes_with_its_test() {
    let Some(first) = database().unwrap() else { return };
    let second = database().unwrap().unwrap();
    assert_eq!([first.sql(TABLES).unwrap(), second.sql(TABLES).unwrap()], ["0", "0"]);
    first.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").unwrap();
    second.sql("CREATE TABLE t (n int)").unwrap();
    assert_eq!(first.sql("SELECT n FROM t").unwrap(), "1");
    assert_eq!(second.sql("SELECT n FROM t").unwrap(), "");
    assert_eq!(first.sql("SHOW port").unwrap(), second.sql("SHOW port").unwrap(), "they share a server");

    let gone = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", first.name());
    assert_eq!(second.sql(&gone).unwrap(), "1");
    drop(first);
    assert_eq!(second.sql(&gone).unwrap(), "0");
    assert_eq!(database().unwrap().unwrap().sql(TABLES).unwrap(), "0");
}

#[test]
fn the_address_has_a_password_that_is_asked_for() {
    let Some(database) = database().unwrap() else { return };
    let psql = |url: &str| {
        let mut command = Command::new("psql");
        let output = command.env("PGPASSWORD", "wrong").args([url, "-XAtc", "SELECT current_database()"]).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(psql(database.url()), (true, format!("{}\n", database.name())));
    let (before, after) = database.url().split_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    let (succeeded, said) = psql(&format!("{user}@{after}"));
    assert!(!succeeded && said.contains("password authentication failed"), "{said}");
}

#[test]
fn killed_and_started_again_it_has_what_was_committed_and_nothing_else() {
    let Some(mut postgres) = Postgres::launch(&[]).unwrap() else { return };
    let database = postgres.database().unwrap();
    database.sql("CREATE TABLE t (n int)").unwrap();
    for round in 1..=3 {
        database.sql(&format!("INSERT INTO t VALUES ({round})")).unwrap();
        let open = "BEGIN; INSERT INTO t VALUES (-1); SELECT pg_sleep(600)";
        let mut session = Command::new("psql");
        session.args([database.url(), "-Xc", open]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut session = session.spawn().unwrap();
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually("a transaction is open", || database.sql(sleeping).unwrap() == "1");
        let postmaster = postgres.postmaster().unwrap();
        let children = below(postmaster);
        assert!(children.len() >= 4, "writers and a session: {children:?}");

        postgres.kill().unwrap();
        assert_eq!(postgres.postmaster(), None);
        let left: Vec<_> = children.iter().filter(|child| child.is_running()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(!session.wait().unwrap().success());
        assert!(matches!(database.sql("SELECT 1"), Err(Error::Refused { .. })));

        postgres.start().unwrap();
        assert!(postgres.log().contains("automatic recovery in progress"), "{}", postgres.log());
        let rows: Vec<String> = (1..=round).map(|n: i32| n.to_string()).collect();
        assert_eq!(database.sql("SELECT n FROM t ORDER BY n").unwrap(), rows.join("\n"));
    }
}

#[test]
fn stopped_it_needs_no_recovery_and_starts_on_the_same_port() {
    let Some(mut postgres) = Postgres::launch(&[]).unwrap() else { return };
    let database = postgres.database().unwrap();
    database.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").unwrap();
    let port = database.sql("SHOW port").unwrap();
    postgres.stop().unwrap();
    postgres.stop().unwrap();
    assert_eq!(postgres.postmaster(), None);
    postgres.start().unwrap();
    assert!(postgres.log().contains("database system was shut down at"), "{}", postgres.log());
    assert_eq!([database.sql("SELECT n FROM t").unwrap(), database.sql("SHOW port").unwrap()], ["7".to_owned(), port]);
}

#[test]
fn settings_are_its_own_and_what_makes_it_durable_is_on() {
    let settings = [("max_connections", "13"), ("cluster_name", "it's ours"), ("fsync", "off")];
    let Some(mut postgres) = Postgres::launch(&settings).unwrap() else { return };
    let own = postgres.database().unwrap();
    let show = |name: &str| own.sql(&format!("SHOW {name}")).unwrap();
    assert_eq!(["max_connections", "cluster_name", "fsync"].map(show), ["13", "it's ours", "off"]);
    postgres.set("fsync", "on").unwrap();
    postgres.stop().unwrap();
    postgres.start().unwrap();
    assert_eq!(["max_connections", "fsync"].map(show), ["13", "on"]);

    let shared = database().unwrap().unwrap();
    let show = |name: &str| shared.sql(&format!("SHOW {name}")).unwrap();
    let names = ["fsync", "synchronous_commit", "full_page_writes", "server_encoding", "listen_addresses"];
    assert_eq!(names.map(show), ["on", "on", "on", "UTF8", "127.0.0.1"]);
}

#[test]
fn a_setting_that_it_refuses_is_an_error_with_its_words() {
    let refused = Postgres::launch(&[("max_connections", "many")]);
    match refused {
        Ok(started) => assert!(started.is_none(), "it starts with a wrong setting"),
        Err(error) => assert!(error.to_string().contains("invalid value for parameter \"max_connections\""), "{error}"),
    }
}

#[test]
fn it_runs_without_rights_of_root_in_a_private_folder() {
    let Some(postgres) = Postgres::launch(&[]).unwrap() else { return };
    let process = Process::find(postgres.postmaster().unwrap()).unwrap();
    let [real, effective, saved, of_files] = process.status("Uid").try_into().unwrap();
    assert!(real == effective && effective == saved && saved == of_files);
    let own = geteuid().as_raw();
    let expected = if own == 0 { 65_534.to_string() } else { own.to_string() };
    assert_eq!(real, expected, "root becomes nobody, everyone else stays who they are");
    if own == 0 {
        assert_eq!(process.status("Groups"), Vec::<String>::new());
        assert_eq!(process.status("CapEff"), ["0000000000000000"]);
    }
    let folder = postgres.folder().metadata().unwrap();
    assert_eq!((folder.uid().to_string(), folder.mode() & 0o777), (expected, 0o700));
}

#[test]
fn nothing_is_left_when_it_is_dropped_after_a_kill() {
    let Some(mut postgres) = Postgres::launch(&[]).unwrap() else { return };
    let folder = postgres.folder().to_owned();
    let notes = text(&folder.join("data/postmaster.pid"));
    let memory = notes.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let has_memory = || {
        let segments = text(std::path::Path::new("/proc/sysvipc/shm"));
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(&memory))
    };
    assert!(has_memory());
    postgres.kill().unwrap();
    drop(postgres);
    assert!(!folder.exists());
    assert!(!has_memory(), "System V memory outlives processes");
}
