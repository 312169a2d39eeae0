//! `nilometer move`: the folder of a stopped server into a real PostgreSQL.

#[cfg(feature = "cluster")]
mod folder;
#[cfg(feature = "cluster")]
mod target;

#[cfg(feature = "cluster")]
use std::os::unix::process::ExitStatusExt;
#[cfg(feature = "cluster")]
use std::time::Duration;

#[cfg(feature = "cluster")]
use crate::faults::wait;
#[cfg(feature = "cluster")]
use crate::harness::{nilometer, stdout};
use crate::harness::{run, stderr};
#[cfg(feature = "cluster")]
use folder::{Filled, fill, fill_with};
#[cfg(feature = "cluster")]
use target::Target;

/// What `abort` ends a process with.
#[cfg(feature = "cluster")]
const SIGABRT: i32 = 6;
#[cfg(feature = "cluster")]
const WAIT_MAX: Duration = Duration::from_secs(60);

#[cfg(not(feature = "cluster"))]
#[test]
fn a_build_without_postgresql_moves_nothing_and_says_so() {
    let output = run(&["move", "--from", "nowhere", "--to", "postgres://app@127.0.0.1/nilometer"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("PostgreSQL is not part of this build"), "{}", stderr(&output));
}

#[cfg(feature = "cluster")]
#[test]
fn i3_a_folder_is_moved_whole_and_both_sides_are_proven_equal() {
    let Some(target) = Target::new() else { return };
    let folder = fill();
    let moved = run(&target.move_args(&folder.path()));
    assert_eq!(moved.status.code(), Some(0), "{}\n{}", stdout(&moved), stderr(&moved));
    let told = stdout(&moved);
    let summaries: Vec<_> = told.lines().filter(|line| line.starts_with("verified ")).collect();
    assert!(summaries.len() == 2 && summaries.iter().all(|line| line.ends_with(" 0 differences")), "{told}");
    let compared = told.lines().find(|line| line.starts_with("compared ")).unwrap();
    assert!(compared.ends_with(" 0 differences") && !compared.starts_with("compared 0 "), "{told}");
    let verified = run(&target.verify_args());
    assert_eq!(verified.status.code(), Some(0), "{}\n{}", stdout(&verified), stderr(&verified));
    assert!(stdout(&verified).ends_with(" 0 differences\n"), "{}", stdout(&verified));

    check_catalog(&target, &folder);
    check_ledger(&target, &folder);
    let again = run(&target.move_args(&folder.path()));
    assert_eq!((again.status.code(), stdout(&again)), (Some(0), "the folder has been moved before\n"));
    // The folder itself is as it was.
    let verified = run(&["verify", "--data", &folder.path()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

/// Workspaces, people, keys and what they have decided.
#[cfg(feature = "cluster")]
fn check_catalog(target: &Target, folder: &Filled) {
    let catalog = |sql: &str| target.sql(&format!("SET search_path = nilometer; {sql}"));
    assert_eq!(catalog("SELECT string_agg(id, ' ' ORDER BY id) FROM tenant"), "acme beta default zeta");
    assert_eq!(catalog("SELECT string_agg(email_folded, ' ') FROM app_user"), "ann@example.com");
    assert_eq!(catalog("SELECT count(*) FROM project"), "1");
    assert_eq!(catalog("SELECT retention_days FROM tenant_settings WHERE tenant = 'beta'"), "30");
    assert_eq!(catalog("SELECT zone FROM wanted_zone WHERE tenant = 'acme'"), "Asia/Kolkata");
    assert_eq!(catalog("SELECT limit_max FROM quota WHERE customer = 'limited'"), "1000000");
    assert_eq!(catalog("SELECT generation FROM reference_table WHERE tenant = 'default'"), "1");
    // A key is known by the hash of its text, here as there.
    for key in [&folder.acme_key, &folder.beta_key] {
        let hash = blake3::hash(key.as_bytes()).to_hex();
        assert_eq!(catalog(&format!("SELECT count(*) FROM api_key WHERE hash = '\\x{hash}'")), "1");
    }
}

/// What is not compared with the folder by the command itself.
#[cfg(feature = "cluster")]
fn check_ledger(target: &Target, folder: &Filled) {
    let ledger = |sql: &str| target.sql(&format!("SET search_path = nilometer_ledger; {sql}"));
    let no = |tenant: &str| format!("tenant_no = (SELECT tenant_no FROM tenants WHERE tenant_id = '{tenant}')");
    let count = |what: &str, tenant: &str| ledger(&format!("SELECT count(*) FROM {what} AND {}", no(tenant)));
    // Retention has dropped the old events of beta, and their sums are there.
    assert_eq!(count("usage_events WHERE time < now() - interval '31 days'", "beta"), "0");
    assert_ne!(count("aggregation_windows WHERE window_start < now() - interval '31 days'", "beta"), "0");
    assert_eq!(
        ledger(&format!("SELECT raw_floor > '2000-01-01', has_own_floor FROM tenants WHERE {}", no("beta"))),
        "t|t"
    );
    // One user is erased, and later events of him are refused; the name of another went with the only customer that he
    // had acted for.
    assert_eq!(count("users WHERE name IS NULL", "default"), "2");
    assert_eq!(count("usage_events WHERE user_name = 'eve'", "default"), "0");
    assert_eq!(count("erasures WHERE kind = 0 AND blocks AND finished_at IS NOT NULL", "default"), "1");
    assert_ne!(count("residuals WHERE calls > 0", "default"), "0");
    assert_ne!(count("event_ids WHERE hash_rule = 5", "default"), "0");
    assert_eq!(count("event_ids WHERE hash_rule = 2", "acme"), "1", "the key of a request that may be repeated");
    assert_eq!(ledger("SELECT count(DISTINCT id_key) FROM tenants"), "1", "ids are hashed with the folder's secret");
    assert_eq!(ledger("SELECT string_agg(customer, ' ') FROM metered_customers"), "limited");
    assert_ne!(count("usage_events WHERE is_late", "acme"), "0");
    // Numbers of records go on behind those of the folder.
    assert_eq!(ledger("SELECT min(cursor), min(record_no) > 0, count(owner) FROM buckets"), "0|t|0");
    assert_eq!(
        ledger(&format!("SELECT count(*) FROM usage_events WHERE {}", no("acme"))),
        folder.acme_events.to_string()
    );
}

/// Killed again and again, each time after two more transactions, it ends with the same rows as without.
#[cfg(all(feature = "cluster", feature = "failpoints"))]
#[test]
fn i7_killed_at_any_point_it_goes_on_to_the_same_end() {
    let (Some(straight), Some(broken)) = (Target::new(), Target::new()) else { return };
    let folder = fill_with(300);
    let moved = run(&straight.move_args(&folder.path()));
    assert_eq!(moved.status.code(), Some(0), "{}\n{}", stdout(&moved), stderr(&moved));

    // Once in the middle of a transaction, by a signal that no process can answer.
    let path = folder.path();
    let args = broken.move_args(&path);
    let mut child =
        nilometer(&args).env("FAILPOINTS", "ledger_postgres::before_move=2*off->sleep(600000)").spawn().unwrap();
    let is_under_way = || broken.sql("SELECT coalesce(sum(stage + taken), 0) > 0 FROM nilometer_ledger.moves") == "t";
    assert!(wait::until(WAIT_MAX, is_under_way), "nothing was moved");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut kills = 0;
    let ended = loop {
        let output = nilometer(&args).env("FAILPOINTS", "ledger_postgres::before_move=2*off->panic").output().unwrap();
        if output.status.signal() != Some(SIGABRT) {
            break output;
        }
        kills += 1;
        assert!(kills < 200, "it never ends: {}", stdout(&output));
    };
    assert_eq!(ended.status.code(), Some(0), "{}\n{}", stdout(&ended), stderr(&ended));
    assert!(kills > 10, "{kills} kills are few");
    assert_eq!(broken.digest(), straight.digest());
    let verified = run(&broken.verify_args());
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[cfg(feature = "cluster")]
#[test]
fn a_workspace_that_the_database_has_is_refused_and_nothing_is_merged() {
    let Some(target) = Target::new() else { return };
    let (first, second) = (fill_with(10), fill_with(10));
    assert_eq!(run(&target.move_args(&first.path())).status.code(), Some(0));
    let before = target.digest();
    let refused = run(&target.move_args(&second.path()));
    assert_eq!(refused.status.code(), Some(1));
    let why = stderr(&refused);
    assert!(why.contains("workspace acme, beta, default, zeta") && why.contains("none is merged"), "{why}");
    assert_eq!(target.digest(), before, "nothing has changed");
}

/// A folder that was served in the middle of a move is another one.
#[cfg(all(feature = "cluster", feature = "failpoints"))]
#[test]
fn a_folder_that_was_changed_since_its_move_began_is_refused() {
    let Some(target) = Target::new() else { return };
    let folder = fill_with(10);
    let path = folder.path();
    let args = target.move_args(&path);
    let killed = nilometer(&args).env("FAILPOINTS", "ledger_postgres::before_move=1*off->panic").output().unwrap();
    assert_eq!(killed.status.signal(), Some(SIGABRT));
    folder.send_more();
    let refused = run(&args);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("changed since"), "{}", stderr(&refused));
}

#[cfg(feature = "cluster")]
#[test]
fn each_address_that_is_missing_is_named() {
    let output = nilometer(&["move", "--from", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("postgres_url is not set: name the database with --to"), "{}", stderr(&output));
    let output = nilometer(&["move", "--from", "nowhere", "--to", "postgres://a@127.0.0.1/b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--worker-url"), "{}", stderr(&output));
    let output = nilometer(&["verify", "--postgres", "postgres://a@127.0.0.1/b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--worker-url"), "{}", stderr(&output));
}
