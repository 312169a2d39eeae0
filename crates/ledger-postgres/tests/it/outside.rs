//! Servers, logins and disks that are not as they should be: each is told by name, and what counts stays exact.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};
use ports::{ErrorKind, PortError, error_chain};
use postgres::PostgresLimits;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use testservers::Postgres;

use crate::Outcome;
use crate::child::{counted, make};
use crate::place::{Base, options};

/// The kind and the text of an error.
fn said<T>(told: Result<T, PortError>) -> (Option<ErrorKind>, String) {
    told.err().map_or((None, String::new()), |why| (Some(why.kind()), error_chain(&why)))
}

/// Few waits, since something is missing for long.
fn hasty() -> PostgresLedgerOptions {
    let limits = PostgresLimits { connections: 2, wait: Duration::from_secs(2), ..PostgresLimits::default() };
    PostgresLedgerOptions { app: limits, worker: limits, lease: Duration::from_secs(60), ..options() }
}

/// Applies records until `last`, whatever fails meanwhile; returns how often something did.
async fn apply_until(ledger: Arc<PostgresLedger>, last: u64) -> Result<u64, String> {
    let mut failures = 0;
    while ledger.cursor().0 < last {
        let next = ledger.cursor().0 + 1;
        match ledger.apply(&[make(next)]).await.failed.map(|why| why.kind()) {
            None => {}
            Some(ErrorKind::Unavailable) => failures += 1,
            Some(kind) => return Err(format!("{kind:?}")),
        }
    }
    Ok(failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_a_server_that_is_restarted_in_mid_run_is_found_again() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    let ledger = base.open_with(&hasty()).await?;
    let writing = tokio::spawn(apply_until(Arc::clone(&ledger), 400));
    for round in 1..=3 {
        while ledger.cursor().0 < round * 20 && !writing.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.stop()?;
        server.start()?;
    }
    assert!(writing.await?? > 0, "it was away");
    counted(&base, 400)
}

#[tokio::test]
async fn i7_without_a_connection_left_nothing_counts_and_later_everything() -> Outcome {
    let Some(server) = Postgres::launch(&[("max_connections", "12")])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    let ledger = base.open_with(&hasty()).await?;
    assert!(ledger.apply(&[make(1)]).await.failed.is_none());
    let mine = format!("usename IN ('{}', '{}')", base.logins.worker, base.logins.app);
    base.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))?;
    let mut taken = Vec::new();
    while let Ok(session) = PgConnection::connect(&base.owner_url()).await {
        taken.push(session);
    }
    assert!(taken.len() > 4, "{}", taken.len());
    let (kind, text) = said(ledger.apply(&[make(2)]).await.failed.map_or(Ok(()), Err));
    assert_eq!(kind, Some(ErrorKind::Unavailable), "{text}");
    let (kind, text) = said(base.open_with(&hasty()).await);
    assert_eq!(kind, Some(ErrorKind::Unavailable), "{text}");
    assert!(text.contains("connection slots"), "{text}");
    drop(taken);
    apply_until(Arc::clone(&ledger), 20).await?;
    counted(&base, 20)
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the file is a mark for a server that is stopped")]
async fn a_standby_and_a_server_that_loses_commits_are_refused_by_name() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    for login in [&base.logins.app, &base.logins.worker] {
        base.sql(&format!("ALTER ROLE {login} SET synchronous_commit = off"))?;
        let (kind, text) = said(base.open().await);
        assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
        assert!(text.contains("synchronous_commit is off"), "{text}");
        base.sql(&format!("ALTER ROLE {login} RESET synchronous_commit"))?;
    }
    server.stop()?;
    std::fs::write(server.folder().join("data/standby.signal"), "")?;
    server.start()?;
    for told in [said(base.open().await), said(base.migrate().await.map(drop).map(|()| Arc::new(())))] {
        assert_eq!(told.0, Some(ErrorKind::Unacceptable), "{}", told.1);
        assert!(told.1.contains("the server is a standby"), "{}", told.1);
    }
    Ok(())
}

#[tokio::test]
async fn wrong_passwords_and_other_encodings_are_refused_by_name() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let wrong = |url: String| url.replacen(":secret@", ":hidden@", 1);
    for (app, worker) in [(wrong(base.app_url()), base.worker_url()), (base.app_url(), wrong(base.worker_url()))] {
        let (kind, text) = said(PostgresLedger::open(&app, &worker, &options()).await);
        assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
        assert!(text.contains("password authentication failed") && !text.contains("hidden"), "{text}");
    }
    let latin = format!("{}_latin", base.logins.app);
    base.sql_alone(&format!("CREATE DATABASE {latin} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))?;
    let there = |url: String| url.rsplit_once('/').map_or(String::new(), |(server, _)| format!("{server}/{latin}"));
    let (kind, text) = said(PostgresLedger::open(&there(base.app_url()), &there(base.worker_url()), &options()).await);
    base.sql_alone(&format!("DROP DATABASE {latin}"))?;
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("encoding is LATIN1"), "{text}");
    Ok(())
}

/// What a role is set to changes no number: neither its time zone nor how it writes dates and bytes.
#[tokio::test]
async fn settings_of_the_logins_make_no_difference() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    for login in [&base.logins.app, &base.logins.worker] {
        for (name, value) in [
            ("timezone", "Asia/Kathmandu"),
            ("search_path", "public"),
            ("row_security", "off"),
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "1ms"),
            ("datestyle", "SQL, DMY"),
            ("intervalstyle", "sql_standard"),
            ("bytea_output", "escape"),
            ("extra_float_digits", "-15"),
        ] {
            base.sql(&format!("ALTER ROLE {login} SET {name} = '{value}'"))?;
        }
    }
    let ledger = base.open().await?;
    let records: Vec<_> = (1..=40).map(make).collect();
    assert!(ledger.apply(&records).await.failed.is_none());
    counted(&base, 40)?;
    // Hours and days are those of UTC, and so are quarters of an hour of what was received.
    let starts = "SELECT (SELECT count(DISTINCT start) FROM rollups), min(start AT TIME ZONE 'UTC') FROM rollups";
    assert_eq!(base.sql(starts)?, "1|2026-01-01 00:00:00");
    ledger.meter_customer(&scope("acme"), "c").await?;
    assert_eq!(base.sql("SELECT DISTINCT start AT TIME ZONE 'UTC' FROM received")?, "2026-01-01 00:00:00");
    Ok(())
}

/// A file system of its own, as small as it is made.
struct Small(PathBuf);

impl Small {
    /// None where nobody may mount one.
    fn mount(at: &Path, bytes: &str, owner: u32) -> std::io::Result<Option<Self>> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700,uid={owner}"), "none"])
            .arg(at)
            .status();
        Ok(mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned())))
    }

    fn grow(&self, bytes: &str) -> std::io::Result<bool> {
        let mut grow = Command::new("mount");
        grow.args(["-o", &format!("remount,size={bytes}")]).arg(&self.0);
        Ok(grow.status()?.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // The server that still has files there is ended by then or soon.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The disk of the tables is full; the log's is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the folder is the mount point of the test")]
async fn f13_a_full_disk_of_the_server_is_told_as_full_and_loses_nothing() -> Outcome {
    let Some(server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    let folder = server.folder().join("small");
    std::fs::create_dir(&folder)?;
    let owner = std::fs::metadata(server.folder().join("data"))?.uid();
    let Some(small) = Small::mount(&folder, "24m", owner)? else {
        writeln!(std::io::stderr(), "skipped: nobody may mount a file system here")?;
        return Ok(());
    };
    base.sql_alone(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display()))?;
    base.sql(&format!(
        "GRANT CREATE ON TABLESPACE small TO PUBLIC; ALTER DATABASE {} SET default_tablespace = 'small'",
        base.name()
    ))?;
    base.migrate().await?;
    let ledger = base.open_with(&hasty()).await?;
    let large = "x".repeat(2_000);
    let make = |seq: u64| {
        let noise = |n: u64| format!(r#"{{"a":"{large}{}"}}"#, seq * 1_000 + n);
        let events: Vec<_> = (0..200).map(|n| event(&format!("e{seq}-{n}"), 0).properties(&noise(n))).collect();
        record(seq, &scope("acme"), at(1), &events)
    };
    let full = loop {
        let next = ledger.cursor().0 + 1;
        assert!(next < 1_000, "it is never full");
        if let Some(why) = ledger.apply(&[make(next)]).await.failed {
            break why;
        }
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{}", error_chain(&full));
    let last = ledger.cursor().0;
    for _ in 0..5 {
        let failed = ledger.apply(&[make(last + 1)]).await.failed;
        assert_eq!(failed.map(|why| why.kind()), Some(ErrorKind::Full));
    }
    assert!(ledger.seen_exactly(&scope("acme"), &[]).await.is_ok(), "reads work");
    assert!(small.grow("200m")?);
    let applied = ledger.apply(&[make(last + 1)]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert!(applied.applied[0].outcomes.iter().all(|outcome| *outcome == Of::Fresh));
    let counts = "SELECT (SELECT count(*) FROM usage_events), (SELECT sum(calls) FROM customers), \
                  (SELECT count(*) FROM dead_letters), max(cursor) FROM buckets";
    let events = (last + 1) * 200;
    assert_eq!(base.sql(counts)?, format!("{events}|{events}|0|{}", last + 1));
    drop(server);
    Ok(())
}
