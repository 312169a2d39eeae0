//! Answers where the suites do not look: limits of a page, texts that no column takes, retention, a question that takes
//! too long, and one whose asker has left.

use std::sync::Arc;
use std::time::Duration;

use domain::calendar::{Calendar, Interval, Zone};
use domain::query::{UncheckedAggregation, UncheckedQuery};
use domain::series::{Facet, Metric, SeriesQuery};
use domain::time::TimeRange;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ErrorKind;
use ports::active_users::{ActiveUsers, ActiveUsersQuery, VersionedZone};
use ports::analytics::Analytics;
use ports::ledger::Ledger;
use ports::queries::Queries;
use ports::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};

use crate::Outcome;
use crate::place::{Base, options};

fn listing(bytes_max: usize) -> EventQuery {
    EventQuery { filter: EventFilter::default(), order: Order::Descending, after: None, limit: 100, bytes_max }
}

fn all_users() -> ActiveUsersQuery {
    ActiveUsersQuery { range: TimeRange::ALL, zone: Zone::utc(), project: None, kind: None, named_only: false }
}

fn hourly(range: TimeRange) -> SeriesQuery {
    SeriesQuery {
        metric: Metric::Count,
        range,
        interval: Interval::Hour,
        calendar: Calendar::utc(),
        group_by: Vec::new(),
        filters: Vec::new(),
        groups_max: 10,
        points_max: 100,
    }
}

async fn with_events(base: &Base, events: &[EventSpec]) -> Result<Arc<PostgresLedger>, Box<dyn std::error::Error>> {
    let ledger = base.open().await?;
    let applied = ledger.apply(&[record(1, &scope("acme"), at(1), events)]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    Ok(ledger)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_page_of_events_ends_before_its_answer_is_too_long() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(5_000));
    let events: Vec<_> = (0..4).map(|n| event(&format!("e{n}"), n).properties(&long)).collect();
    let ledger = with_events(&base, &events).await?;
    for (bytes_max, rows) in [(1, 1), (6_000, 1), (12_000, 2), (1 << 20, 4)] {
        let (mut query, mut found) = (listing(bytes_max), Vec::new());
        loop {
            let page = ledger.events(&scope("acme"), &query).await?;
            assert!(page.rows.len() <= rows && !page.rows.is_empty(), "{bytes_max}");
            found.extend(page.rows.into_iter().map(|event| event.id));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, ["e3", "e2", "e1", "e0"], "{bytes_max}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_has_a_text_that_no_column_takes() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = with_events(&base, &[event("e", 0).customer("c").user("u").project("p")]).await?;
    let (ledger, acme) = (&*ledger, &scope("acme"));
    let nul = || Some("\0".to_owned());
    let filter = EventFilter { user: nul(), ..EventFilter::default() };
    assert_eq!(ledger.events(acme, &EventQuery { filter, ..listing(1 << 20) }).await?.rows, []);
    let windows = WindowQuery { customer: nul(), range: TimeRange::ALL, state: None, after: None, limit: 10 };
    assert_eq!(ledger.windows(acme, &windows).await?.rows, []);
    assert_eq!(ledger.usage(acme, "\0", at(0), TimeRange::ALL).await?, None);
    assert_eq!(ledger.summary(acme, "\0", TimeRange::ALL, 10).await?, None);
    assert_eq!(ledger.top_types(acme, TimeRange::ALL, Some("\0"), 10).await?, []);
    assert!(ledger.active_users(acme, &ActiveUsersQuery { project: nul(), ..all_users() }).await?.is_empty());
    for facet in Facet::ALL {
        let filters = vec![(facet, "\0".to_owned())];
        assert_eq!(ledger.series(acme, &SeriesQuery { filters, ..hourly(TimeRange::ALL) }).await?, []);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_has_dropped_is_not_shown_and_not_counted_as_nothing() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let events = [event("old", 60).customer("c").user("u"), event("new", 90_000).customer("c").user("v")];
    let ledger = with_events(&base, &events).await?;
    base.sql(&format!("UPDATE tenants SET raw_floor = '{}'", at(86_400)))?;
    let (ledger, acme) = (&*ledger, &scope("acme"));
    let ids: Vec<_> = ledger.events(acme, &listing(1 << 20)).await?.rows.into_iter().map(|event| event.id).collect();
    assert_eq!(ids, ["new"]);
    assert_eq!(ledger.top_types(acme, TimeRange::ALL, None, 10).await?, [("custom".to_owned(), 2)], "sums stay");
    let gone = |kind: Option<ErrorKind>| assert_eq!(kind, Some(ErrorKind::Gone));
    let part = TimeRange::new(at(30), at(100_000)).unwrap_or(TimeRange::ALL);
    gone(ledger.top_types(acme, part, None, 10).await.err().map(|why| why.kind()));
    gone(ledger.summary(acme, "c", TimeRange::ALL, 10).await.err().map(|why| why.kind()));
    gone(
        ledger.series(acme, &SeriesQuery { interval: Interval::Minute, ..hourly(part) }).await.err().map(|e| e.kind()),
    );
    let tokyo = Zone::parse("Asia/Tokyo")?;
    gone(ledger.recount(acme, &VersionedZone { zone: tokyo, version: 1 }).await.err().map(|why| why.kind()));
    assert_eq!(ledger.active_users(acme, &all_users()).await?.len(), 2, "days are kept");
    let part = TimeRange::new(at(88_000), at(100_000)).unwrap_or(TimeRange::ALL);
    assert_eq!(ledger.top_types(acme, part, None, 10).await?, [("custom".to_owned(), 1)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_asks_for_all_that_is_kept_or_for_nothing_that_is_gone() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    // Both those that the server puts together and those that are read one by one.
    let properties = [r#"{"a": 1}"#, r#"{"a": 1e2}"#];
    let events: Vec<_> =
        (0..6).map(|n| event(&format!("e{n}"), n * 30_000).properties(properties[usize::from(n % 2 == 1)])).collect();
    let ledger = with_events(&base, &events).await?;
    base.sql(&format!("UPDATE tenants SET raw_floor = '{}'", at(60_000)))?;
    let acme = scope("acme");
    for bucket in [None, Some((Interval::Hour, Calendar::utc()))] {
        let count = |range| UncheckedQuery {
            range,
            bucket: bucket.clone(),
            aggregations: ["count", "sum"]
                .map(|op| UncheckedAggregation {
                    op: op.to_owned(),
                    field: Some("properties.a".to_owned()),
                    name: Some(op.to_owned()),
                })
                .into(),
            group_by: Vec::new(),
            filter: None,
            order_by: Vec::new(),
            limit: None,
        };
        let kept = ledger.query(&acme, &count(TimeRange::ALL).check()?).await?;
        assert_eq!(kept.aggregations.first().map(|counts| counts.values), Some(4), "{bucket:?}");
        let range = TimeRange::new(at(30_000), at(200_000)).unwrap_or(TimeRange::ALL);
        let gone = ledger.query(&acme, &count(range).check()?).await.err().map(|why| why.kind());
        assert_eq!(gone, Some(ErrorKind::Gone));
        let range = TimeRange::new(at(60_000), at(100_000)).unwrap_or(TimeRange::ALL);
        let part = ledger.query(&acme, &count(range).check()?).await?;
        assert_eq!(part.aggregations.first().map(|counts| counts.values), Some(2), "{bucket:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_zone_is_known_to_the_next_process() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = with_events(&base, &[event("e", 82_800).user("u")]).await?;
    let tokyo = VersionedZone { zone: Zone::parse("Asia/Tokyo")?, version: 3 };
    ledger.recount(&scope("acme"), &tokyo).await?;
    ledger.close().await?;
    let ledger = base.open().await?;
    assert_eq!(ledger.applied_zone(&scope("acme")), tokyo);
    let later = record(2, &scope("acme"), at(2), &[event("f", 82_801).user("v")]);
    assert!(ledger.apply(&[later]).await.failed.is_none());
    let query = ActiveUsersQuery { zone: tokyo.zone, ..all_users() };
    let days: Vec<_> = ledger.active_users(&scope("acme"), &query).await?.into_iter().collect();
    let days: Vec<_> = days.iter().map(|(day, users)| (day.to_string(), users.len())).collect();
    assert_eq!(days, [("2026-01-02".to_owned(), 2)]);
    Ok(())
}

/// A table that nobody may read meanwhile makes every question about it wait.
const BLOCK: &str = "BEGIN; LOCK TABLE usage_events; SELECT pg_sleep(4); COMMIT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_question_that_takes_too_long_says_so() -> Outcome {
    let Some(base) = Base::migrated().await?.map(Arc::new) else { return Ok(()) };
    drop(with_events(&base, &[event("e", 0)]).await?);
    base.sql("UPDATE buckets SET owner = NULL")?;
    let mut hasty: PostgresLedgerOptions = options();
    hasty.app.statement = Duration::from_millis(300);
    let ledger = base.open_with(&hasty).await?;
    let blocking = tokio::task::spawn_blocking({
        let base = Arc::clone(&base);
        move || base.sql(BLOCK).map(drop).map_err(|why| why.to_string())
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let late = ledger.events(&scope("acme"), &listing(1)).await.err().map(|why| why.kind());
    assert_eq!(late, Some(ErrorKind::TimedOut));
    assert!(!blocking.is_finished(), "before it could be answered");
    blocking.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_nobody_waits_for_ends_on_the_server() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let events: Vec<_> = (0..200).map(|n| event(&format!("e{n}"), n).user(&format!("u{n}"))).collect();
    let ledger = with_events(&base, &events).await?;
    // Every row takes a while to be read.
    base.sql(
        "CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(0.1) IS NOT NULL'; \
         GRANT EXECUTE ON FUNCTION slow(int) TO PUBLIC; \
         CREATE POLICY slow ON usage_events AS RESTRICTIVE USING (slow(tenant_no))",
    )?;
    let acme = scope("acme");
    let left = tokio::time::timeout(Duration::from_millis(500), ledger.events(&acme, &listing(1 << 20))).await;
    assert!(left.is_err(), "it is under way");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM usage_events%' \
                   AND pid <> pg_backend_pid()";
    let ended = async {
        while base.sql(running)? != "0" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    // All rows take twice as long.
    tokio::time::timeout(Duration::from_secs(10), ended).await?
}
