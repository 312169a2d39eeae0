//! The schema is made once, forwards, by its owner; who serves requests refuses any other.

use std::error::Error as _;

use catalog::postgres::{PostgresCatalog, migrate};
use ports::{ErrorKind, PortError};

use super::place::{Base, limits};
use crate::Outcome;

/// What an error says, with its cause.
pub(super) fn said<T>(result: Result<T, PortError>) -> (Option<ErrorKind>, String) {
    let Err(error) = result else { return (None, String::new()) };
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    (Some(error.kind()), format!("{error}: {cause}"))
}

#[tokio::test]
async fn several_processes_at_once_make_the_schema_once() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let made = futures::future::try_join_all((0..4).map(|_| base.migrate())).await?;
    let steps: usize = base.sql("SELECT count(*) FROM nilometer.schema_step")?.parse()?;
    let mut made = made;
    made.sort_unstable();
    assert!(steps > 6, "{steps}");
    assert_eq!(made, [0, 0, 0, steps], "one makes all of them");
    assert_eq!(base.migrate().await?, 0);
    base.open().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_current_schema_nothing_is_opened_and_the_command_is_named() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let (kind, text) = said(base.open().await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("run `nilometer migrate up`"), "{text}");
    assert_eq!(base.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'nilometer'")?, "0", "nothing was made");
    let (kind, text) = said(migrate(&base.app_url(), &base.logins).await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "the application's login makes nothing: {text}");
    base.catalog().await?;
    base.sql("DELETE FROM nilometer.schema_step WHERE position = (SELECT max(position) FROM nilometer.schema_step)")?;
    let (kind, text) = said(base.open().await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("1 of "), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate().await?;
    base.sql(
        "INSERT INTO nilometer.schema_step (position, name) SELECT max(position) + 1, 'c9999_later' \
         FROM nilometer.schema_step; ALTER TABLE nilometer.tenant ADD COLUMN later text",
    )?;
    for refused in [said(base.open().await), said(base.migrate().await.map(drop))] {
        assert_eq!(refused.0, Some(ErrorKind::Unacceptable), "{}", refused.1);
        assert!(refused.1.contains("a newer program has made the schema, up to step c9999_later"), "{}", refused.1);
    }
    assert_eq!(base.sql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'later'")?, "1");
    Ok(())
}

#[tokio::test]
async fn logins_that_are_missing_or_too_mighty_are_refused() -> Outcome {
    let Some(mut base) = Base::new()? else { return Ok(()) };
    let superuser = base.superuser_url().to_owned();
    let (kind, text) = said(migrate(&superuser, &base.logins).await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("superuser"), "{text}");
    let (kind, text) = said(PostgresCatalog::open(&superuser, &limits()).await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    base.logins.worker = "no_such_login".to_owned();
    let (kind, text) = said(base.migrate().await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert_eq!(base.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'nilometer'")?, "0", "nothing is left");
    Ok(())
}
