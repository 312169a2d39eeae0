//! The schema: made once, and refused when it or a login is other than it has to be.

use ledger_postgres::PostgresLedger;
use ports::{ErrorKind, PortError};

use crate::Outcome;
use crate::place::{Base, options};

/// What an error and its causes say.
pub(crate) fn said(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn the_schema_is_made_once_with_partitions_ahead() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let early = base.open().await.err().ok_or("opened without a schema")?;
    assert_eq!(early.kind(), ErrorKind::Unacceptable, "{}", said(&early));
    assert!(said(&early).contains("nilometer migrate up"), "{}", said(&early));
    assert_eq!(base.migrate().await?, 1);
    assert_eq!(base.migrate().await?, 0);
    let leaves = |table: &str| {
        base.sql(&format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass"))
            .map(|n| n.parse::<i32>())
    };
    for (table, at_least) in [("usage_events", 16), ("receipts", 16), ("aggregation_windows", 3), ("rollups", 3)] {
        assert!(leaves(table)?? > at_least, "{table}");
    }
    base.open().await?.close().await?;
    Ok(())
}

#[tokio::test]
async fn another_schema_or_login_is_refused_and_named() -> Outcome {
    for (change, told) in [
        ("INSERT INTO schema_step (position, name) VALUES (99, 'p9999_later')", "a newer program"),
        ("GRANT DELETE ON usage_events TO {app}", "DELETE on usage_events"),
        ("GRANT SELECT ON usage_events_default TO {app}", "SELECT on leaf of usage_events"),
        ("GRANT TRUNCATE ON customers TO {worker}", "TRUNCATE on customers"),
        ("REVOKE INSERT ON customers FROM {worker}", "missing: INSERT on customers"),
        ("ALTER ROLE {worker} NOBYPASSRLS", "missing: is BYPASSRLS"),
        ("ALTER ROLE {app} BYPASSRLS", "not to be there: is BYPASSRLS"),
        ("ALTER TABLE users NO FORCE ROW LEVEL SECURITY", "tableusers"),
        ("ALTER TABLE rollups_default DISABLE ROW LEVEL SECURITY", "tableleafofrollups"),
        ("CREATE POLICY more ON received USING (true)", "policymoreonreceived"),
    ] {
        let Some(base) = Base::migrated().await? else { return Ok(()) };
        let logins = &base.logins;
        base.sql(&change.replace("{app}", &logins.app).replace("{worker}", &logins.worker))?;
        let refused = base.open().await.err().ok_or(change)?;
        assert_eq!(refused.kind(), ErrorKind::Unacceptable, "{change}: {}", said(&refused));
        assert!(said(&refused).contains(told), "{change}: {}", said(&refused));
    }
    Ok(())
}

#[tokio::test]
async fn other_windows_than_those_of_the_ledger_are_a_conflict() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    base.open().await?.close().await?;
    let mut other = options();
    other.rule = domain::window::WindowRule::new(60, 0)?;
    let refused = PostgresLedger::open(&base.app_url(), &base.worker_url(), &other).await.err().ok_or("opened")?;
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(said(&refused).contains("30 s"), "{}", said(&refused));
    Ok(())
}
