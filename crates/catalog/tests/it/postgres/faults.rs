//! What goes wrong between this program and PostgreSQL (F22, F23), and servers that are not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catalog::postgres::{PostgresCatalog, PostgresLimits};
use domain::access::audit::{AuditFilter, AuditHead};
use domain::access::record::{Project, Record, Versioned};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use fail::FailScenario;
use ports::catalog::Catalog;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use ports::testing::catalog::register_conformance;
use ports::{ErrorKind, PortError};
use testservers::Postgres;

use super::place::{Base, limits};
use super::schema::said;
use crate::Outcome;
use crate::place::{audit, kind};

fn scope() -> TenantScope {
    TenantScope::for_operator(TenantId::default_tenant())
}

/// The change to a version, with its entry.
fn change(version: u64) -> RegisterCommit {
    let scope = scope();
    let first = Versioned::new(Timestamp::MIN);
    let versioned = (1..version).fold(first, |versioned, _| versioned.next(Timestamp::MIN));
    let (workspace, name) = (scope.tenant().clone(), String::new());
    let project = Project { workspace, id: "web".into(), name, is_removed: false, versioned };
    let audit = vec![audit(&scope, Timestamp::MIN)];
    RegisterCommit { records: vec![Record::Project(project)], audit, ..RegisterCommit::default() }
}

/// The version that is stored, 0 if there is none; its entries and its revision have to be as many.
async fn stored(catalog: &PostgresCatalog) -> Result<u64, PortError> {
    let mut version = 0;
    let mut take = |record| {
        if let Record::Project(project) = record {
            version = project.versioned.version;
        }
    };
    let revision = catalog.load(Revision(0), &mut take).await?;
    assert_eq!(revision, Revision(version), "each commit has its revision");
    let mut at = AuditHead::default();
    for entry in catalog.audit_chain(Some(scope().tenant()), 0, usize::MAX).await? {
        assert!(entry.follows(at), "{entry:?}");
        at = entry.head();
    }
    assert_eq!(at.seq, version, "each change has its entry");
    Ok(version)
}

/// Few waits, since the server is away for long.
fn hasty() -> PostgresLimits {
    PostgresLimits { connections: 2, wait: Duration::from_secs(2), ..limits() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_killed_in_the_middle_of_commits_it_has_each_whole_or_not_at_all() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let base = Base::on(&server)?;
    base.migrate().await?;
    let catalog = Arc::new(PostgresCatalog::open(&base.app_url(), &hasty()).await?);
    let mut version = 0;
    for round in 0..6_u64 {
        let answered = Arc::new(AtomicU64::new(version));
        let writing = tokio::spawn({
            let (catalog, answered) = (Arc::clone(&catalog), Arc::clone(&answered));
            async move {
                loop {
                    let next = answered.load(Ordering::SeqCst) + 1;
                    match catalog.commit(&change(next)).await {
                        Ok(_) => answered.store(next, Ordering::SeqCst),
                        Err(error) => return error.kind(),
                    }
                }
            }
        });
        // Long enough for some commits, and each time at another moment of one.
        tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
        server.kill()?;
        assert_eq!(writing.await?, ErrorKind::Unavailable);
        assert_eq!(kind(catalog.load(Revision(0), &mut drop).await), Some(ErrorKind::Unavailable), "it is away");
        assert_eq!(catalog.poisoned(), None);
        server.start()?;
        // The same catalog finds the server again.
        let (answered, found) = (answered.load(Ordering::SeqCst), stored(&catalog).await?);
        assert!(found == answered || found == answered + 1, "{answered} were answered, {found} are stored");
        assert!(answered > version, "round {round} has changed nothing");
        version = found;
    }
    catalog.commit(&change(version + 1)).await?;
    Ok(())
}

/// One server's disk under several databases, one for each moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_killed_while_the_schema_is_made_it_has_all_steps_or_none() -> Outcome {
    let Some(mut server) = Postgres::launch(&[])? else { return Ok(()) };
    let mut cut = 0;
    for round in 0..8_u64 {
        let base = Arc::new(Base::on(&server)?);
        let making = tokio::spawn({
            let base = Arc::clone(&base);
            async move { base.migrate().await.is_ok() }
        });
        tokio::time::sleep(Duration::from_millis(25 * round)).await;
        server.kill()?;
        let is_made = making.await?;
        server.start()?;
        cut += u32::from(!is_made);
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'nilometer'";
        let there = base.sql(tables)?;
        let made = base.migrate().await?;
        base.open().await?;
        let all = base.sql(tables)?;
        assert!(
            if made == 0 { there == all } else { there == "0" && !is_made },
            "{there} of {all} tables, {made} steps"
        );
    }
    assert!(cut > 1, "{cut} were cut off");
    Ok(())
}

#[tokio::test]
async fn f23_a_commit_that_is_not_answered_is_unavailable_and_the_next_goes_on() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let _alone = FailScenario::setup();
    let catalog = base.catalog().await?;
    for (point, counts) in [("postgres::before_commit", 0), ("postgres::after_commit", 1)] {
        let before = stored(&catalog).await?;
        fail::cfg(point, "1*return")?;
        assert_eq!(kind(catalog.commit(&change(before + 1)).await), Some(ErrorKind::Unavailable), "{point}");
        assert_eq!(catalog.poisoned(), None, "{point}");
        assert_eq!(stored(&catalog).await?, before + counts, "{point}");
        // Repeated as it was, as the kind says: it counts now, or it counted already.
        let again = kind(catalog.commit(&change(before + 1)).await);
        assert_eq!(again, (counts == 1).then_some(ErrorKind::Conflict), "{point}");
        assert_eq!(stored(&catalog).await?, before + 1, "{point}");
    }
    Ok(())
}

/// A session that an operator ends, between changes and while one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_costs_one_change_at_most() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let catalog = Arc::new(base.catalog().await?);
    catalog.commit(&change(1)).await?;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'", base.logins.app);
    base.sql(&end)?;
    catalog.commit(&change(2)).await?;

    let mut other = base.session().await?;
    let held = "BEGIN; SELECT set_config('nilometer.server', 'on', true); \
                SELECT * FROM nilometer.register_revision FOR UPDATE";
    other.run(held).await?;
    let waiting = tokio::spawn({
        let catalog = Arc::clone(&catalog);
        async move { kind(catalog.commit(&change(3)).await) }
    });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
        base.logins.app
    );
    while base.sql(&waits)? != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Not the one that it waits for, whose end would let it go on.
    base.sql(&format!("{end} AND wait_event_type = 'Lock'"))?;
    assert_eq!(waiting.await?, Some(ErrorKind::Unavailable));
    base.sql(&end)?;
    assert_eq!(stored(&catalog).await?, 2);
    catalog.commit(&change(3)).await?;
    Ok(())
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_or_a_connection_is_told() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate().await?;
    let short = Duration::from_millis(200);
    let limits =
        PostgresLimits { connections: 1, lock: short, wait: Duration::from_secs(5), ..PostgresLimits::default() };
    let catalog = PostgresCatalog::open(&base.app_url(), &limits).await?;
    let mut other = base.session().await?;
    let held = "BEGIN; SELECT set_config('nilometer.server', 'on', true); \
                SELECT * FROM nilometer.register_revision FOR UPDATE";
    other.run(held).await?;
    let (told, text) = said(catalog.commit(&change(1)).await);
    assert_eq!(told, Some(ErrorKind::Unavailable), "{text}");
    assert!(text.contains("lock timeout"), "{text}");
    other.run("ROLLBACK").await?;
    catalog.commit(&change(1)).await?;

    let statement = PostgresLimits { statement: short, lock: Duration::from_secs(20), ..limits };
    let slow = PostgresCatalog::open(&base.app_url(), &statement).await?;
    other.run(held).await?;
    let (told, text) = said(slow.commit(&change(2)).await);
    assert_eq!(told, Some(ErrorKind::Unavailable), "{text}");
    assert!(text.contains("statement timeout"), "{text}");
    other.run("ROLLBACK").await?;

    base.sql(&format!("ALTER ROLE {} CONNECTION LIMIT 1", base.logins.app))?;
    let (told, text) = said(PostgresCatalog::open(&base.app_url(), &limits).await);
    assert_eq!(told, Some(ErrorKind::Unavailable), "{text}");
    assert!(text.contains("too many connections"), "{text}");
    Ok(())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the file is a mark for a server that is stopped")]
async fn a_server_that_loses_commits_is_refused() -> Outcome {
    let Some(mut server) = Postgres::launch(&[("fsync", "off")])? else { return Ok(()) };
    let base = Base::on(&server)?;
    let refused = |told: (Option<ErrorKind>, String), reason: &str| {
        assert_eq!(told.0, Some(ErrorKind::Unacceptable), "{}", told.1);
        assert!(told.1.contains(reason), "{}", told.1);
    };
    refused(said(base.migrate().await), "fsync is off");
    let settings = [("fsync", "on"), ("full_page_writes", "off"), ("data_sync_retry", "on")];
    for [(name, value), (_, wrong)] in [[settings[0], settings[1]], [("full_page_writes", "on"), settings[2]]] {
        server.stop()?;
        server.set(name, value)?;
        let next = if wrong == "off" { "full_page_writes" } else { "data_sync_retry" };
        server.set(next, wrong)?;
        server.start()?;
        refused(said(base.migrate().await), &format!("{next} is {wrong}"));
    }
    server.stop()?;
    server.set("data_sync_retry", "off")?;
    server.start()?;
    base.catalog().await?;
    base.sql(&format!("ALTER ROLE {} SET synchronous_commit = off", base.logins.app))?;
    refused(said(base.open().await), "synchronous_commit is off");
    base.sql(&format!("ALTER ROLE {} RESET synchronous_commit", base.logins.app))?;
    base.open().await?;

    server.stop()?;
    std::fs::write(server.folder().join("data/standby.signal"), "")?;
    server.start()?;
    refused(said(base.open().await), "the server is a standby");
    Ok(())
}

#[tokio::test]
async fn other_encodings_and_wrong_passwords_are_refused() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate().await?;
    let (told, text) = said(PostgresCatalog::open(&base.url_with_wrong_password(), &limits()).await);
    assert_eq!(told, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("password authentication failed"), "{text}");
    let (told, text) = said(PostgresCatalog::open("postgres://a:hidden@[/x", &limits()).await);
    assert_eq!(told, Some(ErrorKind::Unacceptable), "{text}");
    assert!(!text.contains("hidden"), "{text}");
    let latin = format!("{}_latin", base.name());
    base.sql(&format!("CREATE DATABASE {latin} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))?;
    let (told, text) = said(
        PostgresCatalog::open(
            &base.app_url().replace(base.name(), &latin).replacen(&format!("{latin}_app"), &base.logins.app, 1),
            &limits(),
        )
        .await,
    );
    assert_eq!(told, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("encoding is LATIN1"), "{text}");
    base.sql(&format!("DROP DATABASE {latin}"))?;
    Ok(())
}

/// What a role is set to changes nothing: neither its time zone nor how its transactions are.
#[tokio::test]
async fn settings_of_the_login_make_no_difference() -> Outcome {
    if Base::new()?.is_none() {
        return Ok(());
    }
    #[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
    let odd = || {
        let base = Base::new().unwrap().unwrap();
        for (name, value) in [
            ("timezone", "Asia/Kathmandu"),
            ("search_path", "public"),
            ("row_security", "off"),
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "1ms"),
            ("lc_messages", "C"),
            ("datestyle", "SQL, DMY"),
            ("bytea_output", "escape"),
        ] {
            base.sql(&format!("ALTER ROLE {} SET {name} = '{value}'", base.logins.app)).unwrap();
        }
        base
    };
    Ok(register_conformance(odd).await?)
}

/// A text that no column takes is the caller's to change, and stops nothing else.
#[tokio::test]
async fn a_text_with_a_zero_is_refused_and_nothing_else() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let catalog = base.catalog().await?;
    let mut zero = change(1);
    zero.audit[0].actor = "a\0b".to_owned();
    assert_eq!(kind(catalog.commit(&zero).await), Some(ErrorKind::Unacceptable));
    assert_eq!(stored(&catalog).await?, 0);
    catalog.commit(&change(1)).await?;
    assert_eq!(catalog.audit_entries(&scope(), &AuditFilter::default(), 9).await?.len(), 1);
    assert_eq!(catalog.tenants().await?, []);
    Ok(())
}
