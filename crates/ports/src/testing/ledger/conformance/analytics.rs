//! Cases about types, summaries and series.

use domain::aggregate::Totals;
use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::time::{TimeRange, Timestamp};

use super::subject::{Answering, Subject};
use crate::ErrorKind;
use crate::analytics::Summary;
use crate::testing::ledger::records::{EventSpec, at, event, event_at, instant, scope};

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange::new(instant(from), instant(to)).expect("a range")
}

/// From `from` up to but without `to`, in seconds as [`at`] takes them.
fn seconds(from: i64, to: i64) -> TimeRange {
    TimeRange::new(at(from), at(to)).expect("a range")
}

fn counts(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn hourly(range: TimeRange) -> SeriesQuery {
    SeriesQuery {
        metric: Metric::Count,
        range,
        interval: Interval::Hour,
        calendar: Calendar::utc(),
        group_by: Vec::new(),
        filters: Vec::new(),
        groups_max: 1_000,
        points_max: 1_000,
    }
}

/// The events of each point, by start and group.
fn calls(points: &[SeriesPoint]) -> Vec<(Timestamp, Vec<String>, u64)> {
    points.iter().map(|point| (point.start, point.group.clone(), point.totals.calls)).collect()
}

pub(super) async fn an_empty_ledger_sums_to_nothing<L: Answering>(subject: Subject<L>) {
    let (ledger, tenant) = (&*subject.ledger, scope("acme"));
    assert_eq!(ledger.top_types(&tenant, TimeRange::ALL, None, 10).await.expect("types"), []);
    assert_eq!(ledger.summary(&tenant, "c", TimeRange::ALL, 10).await.expect("a summary"), None);
    assert_eq!(ledger.series(&tenant, &hourly(TimeRange::ALL)).await.expect("a series"), []);
}

pub(super) async fn types_are_listed_most_first<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    for (n, kind) in (0_i64..).zip(["b", "ab", "a", "é", "B", "b", "b", "ab", "a"]) {
        let project = ["p", "q"][usize::from(n >= 6)];
        let event = event(&format!("e{n}"), n * 7_000).kind(kind);
        subject.take(&tenant, at(n), &[if n % 3 == 0 { event } else { event.project(project) }]).await;
    }
    let ledger = &*subject.ledger;
    let all = counts(&[("b", 3), ("a", 2), ("ab", 2), ("B", 1), ("é", 1)]);
    for limit in [1, 2, 3, 5, 1_000] {
        let found = ledger.top_types(&tenant, TimeRange::ALL, None, limit).await.expect("types");
        assert_eq!(found, all[..limit.min(all.len())], "{limit}");
    }
    for (project, expected) in [
        ("p", counts(&[("B", 1), ("a", 1), ("ab", 1), ("b", 1)])),
        ("q", counts(&[("a", 1), ("ab", 1)])),
        ("", counts(&[("b", 2), ("é", 1)])),
        ("P", Vec::new()),
    ] {
        let found = ledger.top_types(&tenant, TimeRange::ALL, Some(project), 10).await.expect("types");
        assert_eq!(found, expected, "of project {project:?}");
    }
}

pub(super) async fn a_range_of_types_is_half_open<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let mut batch = Vec::new();
    for hour in [0, 3_600, 86_400, 90_000] {
        for us in [-1, 0, 1] {
            let kind = format!("{hour}{us:+}");
            batch.push(event_at(&kind, at(hour).plus_micros(us)).kind(&kind));
        }
    }
    subject.take(&tenant, at(0), &batch).await;
    let cases = [(0, 3_600), (3_600, 86_400), (0, 90_000), (-1, 100_000), (3_600, 3_600), (1, 3_599)];
    for (from, to) in cases {
        for (first, last) in [(0, 0), (1, 0), (0, 1), (-1, -1), (1, 1)] {
            let (from, to) = (at(from).plus_micros(first), at(to).plus_micros(last));
            let Some(range) = TimeRange::new(from, to) else { continue };
            let inside = batch
                .iter()
                .zip([0, 3_600, 86_400, 90_000].into_iter().flat_map(|hour| [(hour, -1), (hour, 0), (hour, 1)]));
            let expected = inside.filter(|(_, (hour, us))| range.contains(at(*hour).plus_micros(*us))).count();
            let found = subject.ledger.top_types(&tenant, range, None, 100).await.expect("types");
            assert_eq!(found.len(), expected, "{range:?}: {found:?}");
            assert!(found.iter().all(|(_, count)| *count == 1));
        }
    }
}

pub(super) async fn a_summary_is_of_one_customer<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let batch = [
        event("e1", 10).customer("c").kind("view").user("ann"),
        event("e2", 20).customer("c").kind("call"),
        event("e3", 30).customer("c").kind("call").user("bob"),
        event("e4", 40).customer("cc").kind("call").user("eve"),
        event("e5", 50).kind("none").user("bob"),
    ];
    for (n, event) in (0..).zip(batch) {
        subject.take(&tenant, at(n), &[event]).await;
    }
    let ledger = &*subject.ledger;
    let summary = |customer: &'static str, range| {
        let tenant = tenant.clone();
        async move { ledger.summary(&tenant, customer, range, 10).await.expect("a summary") }
    };
    let expected =
        Summary { totals: counts(&[("call", 2), ("view", 1)]), top_users: counts(&[("ann", 1), ("bob", 1)]) };
    assert_eq!(summary("c", TimeRange::ALL).await, Some(expected), "an event without a user is in no user's count");
    let nothing = Some(Summary::default());
    assert_eq!(summary("c", seconds(31, 4_000)).await, nothing, "a known customer that did nothing");
    assert_eq!(summary("C", TimeRange::ALL).await, None, "a customer never seen");
    assert_eq!(summary("cc", seconds(0, 40)).await, nothing);
}

pub(super) async fn the_top_users_are_those_with_most_events<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let order = ["u2", "u1", "u10", "u2", "é", "u1", "u3", "u2", "u1", "u3", "u2", "U"];
    for (n, user) in (0_i64..).zip(order) {
        let event = event(&format!("e{n}"), n * 500).customer("c").user(user);
        subject.take(&tenant, at(n), &[event.clone(), event]).await;
    }
    let all = counts(&[("u2", 4), ("u1", 3), ("u3", 2), ("U", 1), ("u10", 1), ("é", 1)]);
    for top in [1, 2, 4, 5, 6, 100] {
        let found = subject.ledger.summary(&tenant, "c", TimeRange::ALL, top).await.expect("a summary");
        let found = found.expect("a customer");
        assert_eq!(found.top_users, all[..top.min(all.len())], "{top}");
        assert_eq!(found.totals, counts(&[("custom", 12)]));
    }
}

/// Down to the microsecond, whatever hours and windows it touches.
pub(super) async fn a_summary_is_exact_at_its_edges<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let mut times: Vec<Timestamp> = Vec::new();
    for second in [0, 29, 30, 31, 3_599, 3_600, 7_215, 10_800] {
        times.extend([-1, 0, 1].map(|us| at(second).plus_micros(us)));
    }
    for (n, time) in (0_i64..).zip(&times) {
        let event = event_at(&format!("e{n}"), *time).customer("c").user(&format!("u{}", n % 3)).kind("k");
        subject.take(&tenant, at(n * 1_000), &[event, event_at(&format!("d{n}"), *time).customer("d")]).await;
    }
    for from in &times {
        for to in times.iter().filter(|to| *to >= from) {
            let range = TimeRange::new(*from, *to).expect("a range");
            let inside = times.iter().filter(|time| range.contains(**time)).count() as u64;
            let found = subject.ledger.summary(&tenant, "c", range, 10).await.expect("a summary").expect("a customer");
            let total: u64 = found.totals.iter().map(|(_, count)| count).sum();
            let of_users: u64 = found.top_users.iter().map(|(_, count)| count).sum();
            assert_eq!((total, of_users), (inside, inside), "{range:?}");
        }
    }
}

pub(super) async fn i5_sums_belong_to_their_tenant<L: Answering>(mut subject: Subject<L>) {
    for (n, name) in (0_i64..).zip(["acme", "acm", "zeta"]) {
        let batch: Vec<_> = (0..=n)
            .map(|k| event(&format!("e{k}"), 60 * k).customer("c").user("u").kind(&format!("{name}{k}")))
            .collect();
        subject.take(&scope(name), at(n), &batch).await;
    }
    let ledger = &*subject.ledger;
    let types = ledger.top_types(&scope("acm"), TimeRange::ALL, None, 10).await.expect("types");
    assert_eq!(types, counts(&[("acm0", 1), ("acm1", 1)]));
    let summary = ledger.summary(&scope("acm"), "c", TimeRange::ALL, 10).await.expect("a summary");
    assert_eq!(summary, Some(Summary { totals: types, top_users: counts(&[("u", 2)]) }));
    let series = ledger.series(&scope("acm"), &hourly(TimeRange::ALL)).await.expect("a series");
    assert_eq!(calls(&series), [(at(0), Vec::new(), 2)]);
    assert_eq!(ledger.summary(&scope("ac"), "c", TimeRange::ALL, 10).await.expect("a summary"), None);
}

pub(super) async fn a_point_sums_its_events<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let batch = [
        event("e1", 0).tokens(10, 20).token_parts(6, 3, 15).latency_ms(100),
        event("e2", 3_599).tokens(1, 2).token_parts(1, 0, 2).latency_ms(51),
        event("e3", 1_800),
        event("e4", 3_600).tokens(5, 5).token_parts(0, 5, 0),
    ];
    subject.take(&tenant, at(0), &batch[..2]).await;
    subject.take(&tenant, at(1), &batch[2..]).await;
    for (metric, first, second) in [
        (Metric::Count, 3, 1),
        (Metric::Tokens, 33, 10),
        (Metric::InputTokens, 11, 5),
        (Metric::OutputTokens, 22, 5),
        (Metric::CacheReadTokens, 7, 0),
        (Metric::CacheWriteTokens, 3, 5),
        (Metric::ReasoningTokens, 17, 0),
        (Metric::AvgLatencyMs, 151_000, 0),
    ] {
        let query = SeriesQuery { metric, ..hourly(TimeRange::ALL) };
        let points = subject.ledger.series(&tenant, &query).await.expect("a series");
        assert_eq!(calls(&points), [(at(0), Vec::new(), 3), (at(3_600), Vec::new(), 1)], "{metric:?}");
        let measured = |totals: &Totals| match metric {
            Metric::Count | Metric::UniqueUsers => totals.calls,
            Metric::Tokens => totals.tokens,
            Metric::InputTokens => totals.input_tokens,
            Metric::OutputTokens => totals.output_tokens,
            Metric::CacheReadTokens => totals.cache_read_tokens,
            Metric::CacheWriteTokens => totals.cache_write_tokens,
            Metric::ReasoningTokens => totals.reasoning_tokens,
            Metric::AvgLatencyMs => totals.latency_us,
        };
        let found: Vec<u64> = points.iter().map(|point| measured(&point.totals)).collect();
        assert_eq!(found, [first, second], "{metric:?}");
        assert!(points.iter().all(|point| point.users == 0), "users are counted only when asked for");
        if metric == Metric::AvgLatencyMs {
            let means = points.iter().map(|point| point.totals.avg_latency_ms()).collect::<Vec<_>>();
            assert_eq!(means, [Some(75.5), None], "of the events that carry a latency");
        }
    }
}

/// Events that differ in one facet at a time; what has none of a facet is in the group of the empty text.
fn faceted() -> Vec<EventSpec> {
    let base = |n: i64| event(&format!("e{n}"), n * 10).kind("t").user("u");
    vec![
        base(0),
        base(1).project("x"),
        base(2).customer("x"),
        base(3).kind("x"),
        base(4).endpoint("x"),
        base(5).model("x"),
        base(6).project("y").customer("y").endpoint("y").model("y").kind("y"),
        base(7).project("y").customer("x").endpoint("y").model("x"),
    ]
}

pub(super) async fn a_series_is_grouped_by_any_facets<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(0), &faceted()).await;
    let group = |group_by: &[Facet]| SeriesQuery { group_by: group_by.to_vec(), ..hourly(TimeRange::ALL) };
    for facet in Facet::ALL {
        let points = subject.ledger.series(&tenant, &group(&[facet])).await.expect("a series");
        let expected: &[(&str, u64)] = match facet {
            Facet::Type => &[("t", 6), ("x", 1), ("y", 1)],
            Facet::Customer | Facet::Model => &[("", 5), ("x", 2), ("y", 1)],
            Facet::Project | Facet::Endpoint => &[("", 5), ("x", 1), ("y", 2)],
        };
        let expected: Vec<_> = expected.iter().map(|(name, count)| (at(0), texts(&[name]), *count)).collect();
        assert_eq!(calls(&points), expected, "{facet:?}");
    }
    let both = subject.ledger.series(&tenant, &group(&[Facet::Model, Facet::Project])).await.expect("a series");
    let expected = [("", "", 4), ("", "x", 1), ("x", "", 1), ("x", "y", 1), ("y", "y", 1)];
    let expected = expected.map(|(model, project, count)| (at(0), texts(&[model, project]), count));
    assert_eq!(calls(&both), expected, "in the order asked for");
    let all = subject.ledger.series(&tenant, &group(&Facet::ALL)).await.expect("a series");
    assert_eq!((all.len(), all.is_sorted_by_key(|point| point.group.clone())), (8, true));
}

pub(super) async fn a_series_is_filtered_by_every_facet<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(0), &faceted()).await;
    for facet in Facet::ALL {
        for value in ["", "t", "x", "y", "X", "xx"] {
            let expected = match (facet, value) {
                (Facet::Type, "t") => 6,
                (Facet::Type, "x" | "y") => 1,
                (Facet::Type, _) | (_, "t" | "X" | "xx") => 0,
                (_, "") => 5,
                (Facet::Customer | Facet::Model, "x") | (Facet::Project | Facet::Endpoint, "y") => 2,
                (..) => 1,
            };
            for metric in [Metric::Count, Metric::UniqueUsers] {
                let filters = vec![(facet, value.to_owned())];
                let query = SeriesQuery { metric, filters, ..hourly(TimeRange::ALL) };
                let points = subject.ledger.series(&tenant, &query).await.expect("a series");
                assert_eq!(points.iter().map(|point| point.totals.calls).sum::<u64>(), expected, "{facet:?} {value:?}");
            }
        }
    }
    let filters = Facet::ALL.map(|facet| (facet, "y".to_owned())).to_vec();
    let query = SeriesQuery { filters, ..hourly(TimeRange::ALL) };
    assert_eq!(calls(&subject.ledger.series(&tenant, &query).await.expect("a series")), [(at(0), Vec::new(), 1)]);
}

pub(super) async fn a_series_counts_each_user_once<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let visits = [(0, "ann", "a"), (10, "bob", "a"), (20, "ann", "b"), (3_599, "ann", "a"), (3_600, "ann", "a")];
    for (n, (second, user, kind)) in (0_i64..).zip(visits) {
        subject.take(&tenant, at(n), &[event(&format!("e{n}"), second).user(user).kind(kind)]).await;
    }
    subject.take(&tenant, at(9), &[event("nobody", 7_200).kind("a")]).await;
    let users = |points: &[SeriesPoint]| points.iter().map(|point| (point.start, point.users)).collect::<Vec<_>>();
    let query = SeriesQuery { metric: Metric::UniqueUsers, ..hourly(TimeRange::ALL) };
    let points = subject.ledger.series(&tenant, &query).await.expect("a series");
    assert_eq!(users(&points), [(at(0), 2), (at(3_600), 1), (at(7_200), 0)]);
    let day = SeriesQuery { interval: Interval::Days(Period::Day), group_by: vec![Facet::Type], ..query };
    let points = subject.ledger.series(&tenant, &day).await.expect("a series");
    assert_eq!(users(&points), [(at(0), 2), (at(0), 1)], "by type");
}

pub(super) async fn buckets_follow_the_clocks_of_the_zone<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let times = ["2026-03-28T22:59:59.999999Z", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T22:00:00Z"];
    for (n, time) in (0_i64..).zip(times) {
        subject.take(&tenant, at(n), &[event_at(&format!("e{n}"), instant(time))]).await;
    }
    let (day, week, month) = (Period::Day, Period::Week, Period::Month);
    let (monday, sunday) = (WeekStart::Monday, WeekStart::Sunday);
    for (name, start, interval, expected) in [
        ("Europe/Berlin", monday, Interval::Days(day), &["03-27T23:00", "03-28T23:00", "03-28T23:00", "03-29T22:00"]),
        ("Europe/Berlin", monday, Interval::Days(week), &["03-22T23:00", "03-22T23:00", "03-22T23:00", "03-29T22:00"]),
        ("Europe/Berlin", sunday, Interval::Days(week), &["03-21T23:00", "03-28T23:00", "03-28T23:00", "03-28T23:00"]),
        ("Europe/Berlin", monday, Interval::Days(month), &["02-28T23:00"; 4]),
        ("Europe/Berlin", monday, Interval::Hour, &["03-28T22:00", "03-29T00:00", "03-29T01:00", "03-29T22:00"]),
        ("Asia/Kathmandu", monday, Interval::Hour, &["03-28T22:15", "03-29T00:15", "03-29T00:15", "03-29T21:15"]),
        ("Asia/Kathmandu", monday, Interval::Days(day), &["03-28T18:15", "03-28T18:15", "03-28T18:15", "03-29T18:15"]),
        (
            "America/New_York",
            monday,
            Interval::Days(day),
            &["03-28T04:00", "03-28T04:00", "03-28T04:00", "03-29T04:00"],
        ),
        ("Pacific/Kiritimati", monday, Interval::Minute, &["03-28T22:59", "03-29T00:59", "03-29T01:00", "03-29T22:00"]),
    ] {
        let zone = Zone::parse(name).expect("a zone");
        let calendar = Calendar { zone, week_start: start };
        let query = SeriesQuery { interval, calendar, ..hourly(TimeRange::ALL) };
        let points = subject.ledger.series(&tenant, &query).await.expect("a series");
        let found: Vec<_> =
            points.iter().flat_map(|point| (0..point.totals.calls).map(|_| point.start.to_string())).collect();
        let expected: Vec<_> = expected.iter().map(|start| format!("2026-{start}:00Z")).collect();
        assert_eq!(found, expected, "{name} {interval:?} {start:?}");
        assert!(points.is_sorted_by_key(|point| point.start));
    }
}

pub(super) async fn a_series_is_exact_at_its_edges<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let times: Vec<Timestamp> = [0, 1_800, 3_600, 90_000]
        .into_iter()
        .flat_map(|second| [-1, 0, 1].map(|us| at(second).plus_micros(us)))
        .collect();
    for (n, time) in (0_i64..).zip(&times) {
        subject.take(&tenant, at(n), &[event_at(&format!("e{n}"), *time).user("u").customer("c")]).await;
    }
    for from in &times {
        for to in times.iter().filter(|to| *to >= from) {
            let range = TimeRange::new(*from, *to).expect("a range");
            let inside = times.iter().filter(|time| range.contains(**time)).count() as u64;
            for (metric, interval) in [
                (Metric::Count, Interval::Minute),
                (Metric::Count, Interval::Hour),
                (Metric::UniqueUsers, Interval::Hour),
                (Metric::Tokens, Interval::Days(Period::Week)),
            ] {
                let query = SeriesQuery { metric, interval, ..hourly(range) };
                let points = subject.ledger.series(&tenant, &query).await.expect("a series");
                assert_eq!(points.iter().map(|point| point.totals.calls).sum::<u64>(), inside, "{query:?}");
                assert!(points.iter().all(|point| point.totals.calls > 0), "only buckets with events");
            }
        }
    }
    let query = hourly(range("2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"));
    let points = subject.ledger.series(&tenant, &query).await.expect("a series");
    assert_eq!(calls(&points), [(at(0), Vec::new(), 3)], "a bucket may begin before the range");
}

pub(super) async fn a_series_has_no_more_points_than_allowed<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    for n in 0..6 {
        subject.take(&tenant, at(n), &[event(&format!("e{n}"), n * 3_600).kind(&format!("k{}", n % 2))]).await;
    }
    for (metric, group_by, points) in [
        (Metric::Count, vec![], 6),
        (Metric::UniqueUsers, vec![], 6),
        (Metric::Count, vec![Facet::Type, Facet::Customer], 6),
    ] {
        for points_max in [points - 1, 1, points, points + 1] {
            let query = SeriesQuery { metric, group_by: group_by.clone(), points_max, ..hourly(TimeRange::ALL) };
            match subject.ledger.series(&tenant, &query).await {
                Ok(found) => assert_eq!((found.len(), points_max >= points), (points, true)),
                Err(why) => assert_eq!((why.kind(), points_max < points), (ErrorKind::Exhausted, true)),
            }
        }
    }
}
