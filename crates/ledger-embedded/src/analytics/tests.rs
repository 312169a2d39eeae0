//! Every answer against the oracle, and a series by each way that can answer it (I3).

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::series::{Facet, Metric};
use domain::time::Timestamp;
use domain::window::WindowRule;
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};
use proptest::prelude::*;

use super::*;
use crate::fixture::open;
use crate::options::LedgerOptions;

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
    "America/St_Johns",
];
const METRICS: [Metric; 6] = [
    Metric::Count,
    Metric::Tokens,
    Metric::InputTokens,
    Metric::OutputTokens,
    Metric::AvgLatencyMs,
    Metric::UniqueUsers,
];
const INTERVALS: [Interval; 5] = [
    Interval::Minute,
    Interval::Hour,
    Interval::Days(Period::Day),
    Interval::Days(Period::Week),
    Interval::Days(Period::Month),
];
/// 2026-03-27T00:00:00Z: clocks change in Berlin two days later, in Lord Howe nine.
const BASE: i64 = 85 * 86_400;
const SPAN: i64 = 12 * 86_400;

fn options() -> LedgerOptions {
    LedgerOptions {
        flush_rows: 1_000,
        flush_age: Duration::from_secs(3_600),
        compact_fan_in: 3,
        seed_key: [9; 16],
        background: false,
        ..LedgerOptions::default()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Record { tenant: bool, events: Vec<EventSpec> },
    Freeze,
    Flush,
    Merge,
}

fn spec() -> impl Strategy<Value = EventSpec> {
    // Some times come often, full hours among them, so that borders are hit.
    let second = prop_oneof![0..SPAN, (0..SPAN / 1_800).prop_map(|half| half * 1_800), 200_000_i64..210_000];
    let name = || proptest::option::of(0_u8..3);
    let numbers = (0_u64..100, proptest::option::of(0_u64..500));
    (0_u32..100_000, second, (name(), name(), name(), name()), name(), 0_u8..3, numbers).prop_map(
        |(id, second, (customer, project, endpoint, model), user, kind, (tokens, latency))| {
            let mut spec = event(&format!("e{id}"), BASE + second).kind(&format!("k{kind}")).tokens(tokens, 1);
            let set = |spec: EventSpec, prefix: &str, value: Option<u8>, to: fn(EventSpec, &str) -> EventSpec| {
                value.map_or(spec.clone(), |value| to(spec, &format!("{prefix}{value}")))
            };
            spec = set(spec, "c", customer, |spec, name| spec.customer(name));
            spec = set(spec, "p", project, |spec, name| spec.project(name));
            spec = set(spec, "/e", endpoint, |spec, name| spec.endpoint(name));
            spec = set(spec, "m", model, |spec, name| spec.model(name));
            spec = set(spec, "u", user, |spec, name| spec.user(name));
            latency.map_or(spec.clone(), |latency| spec.latency_ms(latency))
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), proptest::collection::vec(spec(), 1..12))
            .prop_map(|(tenant, events)| Step::Record { tenant, events }),
        1 => Just(Step::Freeze),
        2 => Just(Step::Flush),
        1 => Just(Step::Merge),
    ]
}

fn range() -> impl Strategy<Value = TimeRange> {
    let edge = || prop_oneof![(0..SPAN / 900).prop_map(|quarter| quarter * 900), 0..SPAN, 200_000_i64..210_000];
    let bounded = (edge(), edge(), any::<bool>()).prop_map(|(one, other, odd)| {
        let from = at(BASE + one.min(other)).plus_micros(i64::from(odd));
        TimeRange::new(from, at(BASE + one.max(other)).max(from)).unwrap()
    });
    prop_oneof![4 => bounded, 1 => Just(TimeRange::ALL)]
}

fn query() -> impl Strategy<Value = SeriesQuery> {
    let facets = proptest::sample::subsequence(Facet::ALL.to_vec(), 0..3);
    let filters = proptest::collection::vec((0..5_usize, 0_u8..4), 0..3);
    let ways = (0..METRICS.len(), 0..INTERVALS.len(), 0..ZONES.len());
    let limits =
        (prop_oneof![3 => Just(10_000_usize), 2 => 1_usize..4], prop_oneof![3 => Just(10_000_usize), 1 => Just(40)]);
    let all = (ways, range(), facets.prop_shuffle(), filters, limits);
    all.prop_map(|((metric, interval, zone), range, group_by, filters, (groups_max, points_max))| {
        let mut filters: Vec<_> = filters
            .into_iter()
            .map(|(facet, value)| {
                let facet = Facet::ALL[facet];
                let prefix = ["p", "c", "k", "/e", "m"][facet as usize];
                (facet, if value == 3 { String::new() } else { format!("{prefix}{value}") })
            })
            .collect();
        filters.sort_by_key(|(facet, _)| *facet);
        filters.dedup_by_key(|(facet, _)| *facet);
        let calendar = Calendar { zone: Zone::parse(ZONES[zone]).unwrap(), week_start: WeekStart::Sunday };
        SeriesQuery {
            metric: METRICS[metric],
            range,
            interval: INTERVALS[interval],
            calendar,
            group_by,
            filters,
            groups_max,
            points_max,
        }
    })
}

async fn fill(steps: Vec<Step>) -> (Arc<EmbeddedLedger>, MemoryLedger) {
    let oracle = MemoryLedger::new(WindowRule::default());
    let ledger = open(options(), Arc::new(ManualClock::new(at(0)))).await;
    let mut seq = 0;
    for step in steps {
        match step {
            Step::Record { tenant, events } => {
                seq += 1;
                let entry = record(seq, &scope(if tenant { "a" } else { "b" }), at(BASE + 300_000), &events);
                apply(&ledger, &entry).await;
                assert!(oracle.apply(&[entry]).await.failed.is_none());
            }
            Step::Freeze => {
                let can = {
                    let state = ledger.core.state.read();
                    state.frozen.is_none() && state.active.span().is_some()
                };
                if can {
                    ledger.core.freeze();
                }
            }
            Step::Flush => {
                ledger.flush().await.expect("flush");
            }
            Step::Merge => ledger.maintain().await.expect("maintain"),
        }
    }
    (ledger, oracle)
}

async fn apply(ledger: &EmbeddedLedger, entry: &Delivery) {
    let batch = ledger.apply(std::slice::from_ref(entry)).await;
    assert!(batch.failed.is_none(), "{:?}", batch.failed);
}

async fn compare(steps: Vec<Step>, queries: Vec<SeriesQuery>, ranges: Vec<TimeRange>) {
    let (ledger, oracle) = fill(steps).await;
    for tenant in ["a", "b"] {
        let scope = scope(tenant);
        for query in &queries {
            let told = |series: Result<_, PortError>| series.map_err(|why| why.kind());
            let expected = told(oracle.series(&scope, query).await);
            let planned = told(ledger.series(&scope, query).await);
            assert_eq!(planned, expected, "{:?} {query:?}", Source::of(query));
            let raw = told(ledger.core.series(&scope, query, Source::Raw).await);
            assert_eq!(raw, expected, "raw {query:?}");
        }
        for range in &ranges {
            for (project, limit) in [(None, 10), (Some("p1"), 2), (Some(""), 10)] {
                let expected = oracle.top_types(&scope, *range, project, limit).await.expect("types");
                let found = ledger.top_types(&scope, *range, project, limit).await.expect("types");
                assert_eq!(found, expected, "{range:?} {project:?}");
            }
            for (customer, top) in [("c1", 2), ("", 10), ("nobody", 1)] {
                let expected = oracle.summary(&scope, customer, *range, top).await.expect("a summary");
                let found = ledger.summary(&scope, customer, *range, top).await.expect("a summary");
                assert_eq!(found, expected, "{range:?} {customer}");
            }
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn i3_every_way_gives_the_oracles_answer(
        steps in proptest::collection::vec(step(), 1..25),
        queries in proptest::collection::vec(query(), 30),
        ranges in proptest::collection::vec(range(), 3),
    ) {
        run(compare(steps, queries, ranges));
    }
}

/// Many pages, of which some hold one customer alone and some hold the border of tenants.
#[test]
fn i3_pages_of_many_customers_give_the_oracles_answer() {
    run(async {
        let oracle = MemoryLedger::new(WindowRule::default());
        let ledger = open(LedgerOptions { flush_rows: 9_000, ..options() }, Arc::new(ManualClock::new(at(0)))).await;
        for seq in 1..=24_u64 {
            let spec = |n: u64| {
                let second = i64::try_from((seq * 7_919 + n * 104_729) % 400_000).unwrap();
                let customer = if n.is_multiple_of(2) { "whale".to_owned() } else { format!("c{:03}", n % 97) };
                event(&format!("e{seq}-{n}"), BASE + second)
                    .customer(&customer)
                    .user(&format!("u{}", n % 31))
                    .kind(&format!("k{}", n % 5))
                    .endpoint(&format!("/e{}", n % 3))
            };
            let tenant = ["a", "b", "c"][usize::try_from(seq % 3).unwrap()];
            let entry = record(seq, &scope(tenant), at(BASE), &(0..1_000).map(spec).collect::<Vec<_>>());
            apply(&ledger, &entry).await;
            assert!(oracle.apply(&[entry]).await.failed.is_none());
        }
        ledger.flush().await.expect("flush");
        let range = TimeRange::new(at(BASE + 50_001), at(BASE + 333_333)).unwrap();
        let whale = vec![(Facet::Customer, "whale".to_owned())];
        let of = |group_by, filters| SeriesQuery {
            range,
            group_by,
            filters,
            groups_max: 100_000,
            points_max: 100_000,
            ..day()
        };
        let queries = [
            of(vec![], whale.clone()),
            of(vec![Facet::Endpoint], whale),
            of(vec![Facet::Customer], vec![]),
            of(vec![Facet::Type, Facet::Endpoint], vec![]),
            of(vec![], vec![(Facet::Customer, "c050".to_owned())]),
        ];
        for (tenant, query) in
            ["a", "b", "c"].into_iter().flat_map(|tenant| queries.iter().map(move |query| (tenant, query)))
        {
            let expected = oracle.series(&scope(tenant), query).await.expect("the oracle's series");
            for source in [Source::of(query), Source::Raw] {
                let found = ledger.core.series(&scope(tenant), query, source).await.expect("a series");
                assert!(found == expected, "{source:?} {query:?}");
            }
            for customer in ["whale", "c000", "c050", "c096", "c097", "zz"] {
                let expected = oracle.summary(&scope(tenant), customer, range, 7).await.expect("a summary");
                assert_eq!(ledger.summary(&scope(tenant), customer, range, 7).await.expect("a summary"), expected);
            }
        }
    });
}

fn day() -> SeriesQuery {
    SeriesQuery {
        metric: Metric::Count,
        range: TimeRange::new(at(0), at(86_400)).unwrap(),
        interval: Interval::Hour,
        calendar: Calendar::utc(),
        group_by: Vec::new(),
        filters: Vec::new(),
        groups_max: 24,
        points_max: 24,
    }
}

/// The totals of each bucket.
fn by_bucket(points: &[SeriesPoint]) -> Vec<(Timestamp, domain::aggregate::Totals)> {
    let mut buckets = std::collections::BTreeMap::<_, domain::aggregate::Totals>::new();
    points.iter().for_each(|point| buckets.entry(point.start).or_default().merge(&point.totals));
    buckets.into_iter().collect()
}

#[test]
fn i3_the_greatest_groups_and_the_others_add_up_to_all() {
    run(async {
        let ledger = open(LedgerOptions { flush_rows: 2_000, ..options() }, Arc::new(ManualClock::new(at(0)))).await;
        let oracle = MemoryLedger::new(WindowRule::default());
        // 60 customers in 28 days, customer n with n events on each; flushed in parts.
        for day in 0..28_i64 {
            let spec = |customer: i64, n: i64| {
                event(&format!("{day}-{customer}-{n}"), BASE + day * 86_400 + n * 600)
                    .customer(&format!("c{customer:02}"))
                    .user(&format!("u{}", (customer + n) % 7))
                    .tokens(u64::try_from(n).unwrap(), 1)
                    .latency_ms(u64::try_from(customer % 5).unwrap())
            };
            let events: Vec<_> = (0..60).flat_map(|customer| (0..=customer).map(move |n| spec(customer, n))).collect();
            let entry = record(u64::try_from(day).unwrap() + 1, &scope("t"), at(BASE), &events);
            apply(&ledger, &entry).await;
            assert!(oracle.apply(&[entry]).await.failed.is_none());
        }
        let whole = TimeRange::new(at(BASE), at(BASE + 28 * 86_400)).unwrap();
        let interval = Interval::Days(Period::Day);
        for metric in METRICS {
            for (groups_max, points_max) in
                [(10_000, 200), (10_000, 1_680), (10_000, 1_679), (3, 10_000), (1, 28), (9, 28)]
            {
                let all = SeriesQuery { metric, range: whole, interval, groups_max, points_max, ..day() };
                let grouped = SeriesQuery { group_by: vec![Facet::Customer], ..all.clone() };
                let found = ledger.series(&scope("t"), &grouped).await.expect("a series");
                assert_eq!(found, oracle.series(&scope("t"), &grouped).await.expect("the oracle's"), "{grouped:?}");
                assert!(found.len() <= points_max, "{}", found.len());
                let sums = ledger.series(&scope("t"), &all).await.expect("a series");
                assert_eq!(by_bucket(&found), by_bucket(&sums), "{grouped:?}");
            }
        }
        let top = SeriesQuery {
            range: whole,
            interval,
            groups_max: 2,
            points_max: 10_000,
            group_by: vec![Facet::Customer],
            ..day()
        };
        let found = ledger.series(&scope("t"), &top).await.expect("a series");
        let first: Vec<_> =
            found[..3].iter().map(|point| (point.group.join(","), point.is_others, point.totals.calls)).collect();
        assert_eq!(first, [("c58".to_owned(), false, 59), ("c59".to_owned(), false, 60), (String::new(), true, 1_711)]);
    });
}

#[test]
fn i6_more_points_than_allowed_are_refused_by_every_way() {
    run(async {
        let ledger = open(options(), Arc::new(ManualClock::new(at(0)))).await;
        let events: Vec<_> =
            (0..24).map(|hour| event(&format!("e{hour}"), hour * 3_600).customer("c").endpoint("/x")).collect();
        apply(&ledger, &record(1, &scope("t"), at(100), &events)).await;
        let of_customer = vec![(Facet::Customer, "c".to_owned())];
        let slices = [vec![Facet::Endpoint], vec![Facet::Model], vec![]];
        for flushed in [false, true] {
            for group_by in slices.clone() {
                for filters in [vec![], of_customer.clone()] {
                    let enough = SeriesQuery { group_by: group_by.clone(), filters, ..day() };
                    assert_eq!(ledger.series(&scope("t"), &enough).await.expect("a series").len(), 24);
                    let refused = ledger.series(&scope("t"), &SeriesQuery { points_max: 23, ..enough }).await;
                    assert_eq!(refused.map_err(|why| why.kind()), Err(ErrorKind::Exhausted), "flushed {flushed}");
                }
            }
            ledger.flush().await.expect("flush");
        }
    });
}

#[test]
fn what_retention_has_dropped_is_gone_unless_sums_answer_it() {
    run(async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let ledger = open(
            LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..options() },
            Arc::clone(&clock),
        )
        .await;
        let old: Vec<_> = (0..5).map(|n| event(&format!("o{n}"), n * 600).customer("old").user("u")).collect();
        let new = |n: i64| event(&format!("n{n}"), 4 * 86_400 + n * 600).customer("new").user("u");
        apply(&ledger, &record(1, &scope("t"), at(100), &old)).await;
        ledger.flush().await.expect("flush");
        apply(&ledger, &record(2, &scope("t"), at(100), &(0..5).map(new).collect::<Vec<_>>())).await;
        ledger.flush().await.expect("flush");
        clock.set(at(5 * 86_400));
        ledger.maintain().await.expect("maintain");
        let gone = |why: PortError| why.kind();
        let all = TimeRange::ALL;
        let kind = ErrorKind::Gone;
        assert_eq!(ledger.summary(&scope("t"), "old", all, 1).await.map_err(gone), Err(kind));
        let kept = ledger.summary(&scope("t"), "new", all, 1).await.expect("nothing of it was dropped").expect("known");
        assert_eq!(kept.top_users, [("u".to_owned(), 5)]);
        assert_eq!(ledger.top_types(&scope("t"), all, None, 1).await.expect("types"), [("custom".to_owned(), 10)]);
        let cut = TimeRange::new(at(60), at(9 * 86_400)).unwrap();
        assert_eq!(ledger.top_types(&scope("t"), cut, None, 1).await.map_err(gone), Err(kind));
        let after = TimeRange::new(at(3_660), at(9 * 86_400)).unwrap();
        assert_eq!(ledger.top_types(&scope("t"), after, None, 1).await.expect("types"), [("custom".to_owned(), 5)]);
        let of = |name: &str| vec![(Facet::Customer, name.to_owned())];
        let hours = SeriesQuery { filters: of("old"), ..day() };
        assert_eq!(ledger.series(&scope("t"), &hours).await.expect("sums are kept")[0].totals.calls, 5);
        let minutes = SeriesQuery { interval: Interval::Minute, ..hours };
        assert_eq!(ledger.series(&scope("t"), &minutes).await.map_err(gone), Err(kind));
        let minutes = SeriesQuery { filters: of("new"), ..minutes };
        assert_eq!(ledger.series(&scope("t"), &minutes).await.expect("nothing there"), []);
        assert_eq!(ledger.summary(&scope("u"), "old", all, 1).await.expect("I5: another tenant"), None);
        assert!(Timestamp::MIN < ledger.core.state.read().floors.server);
    });
}

#[test]
fn i3_what_a_flush_has_committed_but_not_shown_is_counted_once() {
    run(async {
        let ledger = open(options(), Arc::new(ManualClock::new(at(0)))).await;
        apply(&ledger, &record(1, &scope("t"), at(100), &[event("a", 10).kind("k"), event("b", 4_000).kind("k")]))
            .await;
        let calls = async |from| {
            let range = TimeRange::new(at(from), at(9_000)).unwrap();
            let series = ledger.series(&scope("t"), &SeriesQuery { range, ..day() }).await.expect("a series");
            let types = ledger.top_types(&scope("t"), range, None, 9).await.expect("types");
            (series.iter().map(|point| point.totals.calls).sum::<u64>(), types.iter().map(|(_, calls)| calls).sum())
        };
        for from in [0, 5, 11] {
            let expected = if from < 10 { (2, 2) } else { (1, 1) };
            assert_eq!(calls(from).await, expected, "unflushed");
        }
        // As between the commit of a flush and the moment it becomes visible.
        ledger.core.freeze();
        let frozen = ledger.core.state.read().frozen.clone().expect("frozen");
        let rollups = rollups_in(&frozen, &scope("t"), TimeRange::ALL);
        let (from, to) = (ledger.cursor(), frozen.span().expect("records").1);
        let commit = ports::manifest::Commit { cursor: Some((from, to)), rollups, ..Default::default() };
        ledger.core.manifest.commit(&commit).await.expect("commit");
        for from in [0, 5, 11] {
            let expected = if from < 10 { (2, 2) } else { (1, 1) };
            assert_eq!(calls(from).await, expected, "committed");
        }
    });
}
