//! What is answered after an erasure, and by what it is known.

use std::time::Duration;

use domain::users::UserSet;
use ports::active_users::VersionedZone;
use ports::manifest::FileKind;
use ports::testing::ledger::set_zone;

use super::*;

fn counted(range: TimeRange, interval: Interval, group_by: Vec<Facet>) -> SeriesQuery {
    SeriesQuery {
        metric: Metric::Count,
        range,
        interval,
        calendar: Calendar::utc(),
        group_by,
        filters: Vec::new(),
        groups_max: usize::MAX,
        points_max: 1 << 20,
    }
}

fn users(range: TimeRange, zone: &str, kind: Option<&str>) -> ActiveUsersQuery {
    let kind = kind.map(str::to_owned);
    let zone = Zone::parse(zone).expect("a zone");
    ActiveUsersQuery { range, zone, project: kind.clone(), kind, named_only: false }
}

/// Found in November 2026: what was refused, since retention had dropped the raw events, was answered with nothing once
/// their customer was erased, and a change of zone took the days for empty.
#[tokio::test]
async fn i3_what_retention_has_dropped_is_refused_also_when_its_customer_was_erased_since() {
    let folder = TestFolder::new();
    let options = LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..options() };
    let ledger = folder.open(options).await;
    for (seq, customer, from) in [(1, "old", 0), (2, "new", 4 * 86_400)] {
        let visit = |n: i64| event(&format!("{customer}{n}"), from + n * 600).customer(customer).user("u");
        let events: Vec<_> = (0..5).map(visit).collect();
        assert!(ledger.apply(&[record(seq, &scope("a"), at(100), &events)]).await.failed.is_none());
        ledger.flush().await.expect("flush");
    }
    folder.clock.set(at(5 * 86_400));
    ledger.maintain().await.expect("maintain");
    let tokyo = VersionedZone { zone: Zone::parse("Asia/Tokyo").expect("a zone"), version: 1 };
    let told = async |from: i64| {
        let (a, range) = (scope("a"), TimeRange::new(at(from), at(4 * 86_400 + 1_800)).expect("a range"));
        let kind = |why: ports::PortError| why.kind();
        [
            ledger.series(&a, &counted(range, Interval::Minute, vec![])).await.map(drop).map_err(kind),
            ledger.series(&a, &counted(range, Interval::Hour, vec![Facet::Endpoint])).await.map(drop).map_err(kind),
            ledger.series(&a, &counted(range, Interval::Hour, vec![])).await.map(drop).map_err(kind),
            ledger.top_types(&a, range, None, 9).await.map(drop).map_err(kind),
            ledger.active_users(&a, &users(range, "UTC", Some("custom"))).await.map(drop).map_err(kind),
        ]
    };
    assert_eq!(told(60).await, [Err(ErrorKind::Gone); 5], "before");
    let old = Subject::Customer("old".to_owned());
    ledger.erase(&scope("a"), &request(1, &old, false)).await.expect("an erasure");
    finish(&ledger).await;
    assert_eq!(told(60).await, [Err(ErrorKind::Gone); 5]);
    let recounted = ledger.recount(&scope("a"), &tokyo).await.map_err(|why| why.kind());
    assert_eq!(recounted, Err(ErrorKind::Gone));
    assert_eq!(told(3 * 86_400 + 60).await, [Ok(()); 5], "of which nothing was dropped");
    let all = counted(TimeRange::ALL, Interval::Days(Period::Day), vec![]);
    let days = ledger.series(&scope("a"), &all).await.expect("rollups know it all");
    assert_eq!(days.iter().map(|day| day.totals.calls).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// Found in November 2026: whoever asked for a customer of the name that stands for erased ones was answered with the sum of
/// all of them.
#[tokio::test]
async fn nobody_asks_for_those_who_were_erased_by_a_name() {
    let mut world = filled().await;
    world.erase(0, &Subject::Customer("c1".to_owned()), false).await;
    let (a, range) = (scope("a"), TimeRange::new(at(0), at(100_000)).expect("a range"));
    for interval in [Interval::Minute, Interval::Hour, Interval::Days(Period::Day)] {
        for group_by in [vec![], vec![Facet::Customer], vec![Facet::Endpoint], vec![Facet::Type]] {
            let filters = vec![(Facet::Customer, "\u{1}".to_owned())];
            let query = SeriesQuery { filters, ..counted(range, interval, group_by) };
            assert_eq!(world.ledger.series(&a, &query).await.expect("a series"), [], "{query:?}");
        }
    }
    assert_eq!(world.ledger.summary(&a, "\u{1}", TimeRange::ALL, 9).await.expect("an answer"), None);
}

/// Found in November 2026: the zone was noted when the erasure was asked for, and the days counted in that of later.
#[tokio::test]
async fn days_of_who_is_erased_are_of_the_zone_in_which_they_are_counted_when_the_events_go() {
    let (world, untouched) = (filled().await, filled().await);
    let user = Subject::User("u1".to_owned());
    world.ledger.erase(&scope("a"), &request(1, &user, false)).await.expect("an erasure");
    let tokyo = Zone::parse("Asia/Tokyo").expect("a zone");
    for world in [&world, &untouched] {
        set_zone(&*world.ledger, &scope("a"), &tokyo).await.expect("a change of zone");
    }
    finish(&world.ledger).await;
    let is_estimate = |zone: &str| world.ledger.is_estimate(&scope("a"), &users(TimeRange::ALL, zone, None));
    assert_eq!((is_estimate("Asia/Tokyo"), is_estimate("UTC")), (false, true));
    assert_eq!(world.ledger.erasures(&scope("a"))[0].zone, "Asia/Tokyo");
    let in_tokyo = users(TimeRange::ALL, "Asia/Tokyo", None);
    let days = async |world: &World| -> BTreeMap<_, UserSet> {
        world.ledger.active_users(&scope("a"), &in_tokyo).await.expect("users")
    };
    assert_eq!(days(&world).await, days(&untouched).await, "exact, as it says");
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
    set_zone(&*world.ledger, &scope("a"), &Zone::utc()).await.expect("a change of zone");
    assert!(is_estimate("UTC"), "what was erased is known by days of the other zone");
}

/// Found in November 2026: they had lost the position by which a workspace's ids were known.
#[tokio::test]
async fn ids_that_an_earlier_erasure_has_left_go_with_their_workspace() {
    let mut world = filled().await;
    for tenant in [0, 1] {
        world.erase(tenant, &Subject::Customer("c1".to_owned()), false).await;
    }
    let ids = async |world: &World| -> u64 {
        let segments = world.folder.segments().await;
        let files = segments.iter().flat_map(|segment| &segment.files);
        files.filter(|file| file.kind == FileKind::Ids).map(|file| file.rows).sum()
    };
    assert_eq!(ids(&world).await, 80, "a repetition is told");
    world.ledger.erase(&scope("a"), &request(9, &Subject::Workspace, true)).await.expect("an erasure");
    finish(&world.ledger).await;
    assert_eq!(ids(&world).await, 40, "I5: of the other workspace all");
    assert_eq!(world.record(1, &[visit(1, 1, 1)]).await, [Outcome::Erased]);
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}
