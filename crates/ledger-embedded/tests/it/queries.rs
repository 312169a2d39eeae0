//! Structured queries: every answer is the one spelled out by hand, and none takes more than it may.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod brute;

use std::sync::Arc;
use std::time::Duration;

use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::query::{
    Literal, Number, Query, UncheckedAggregation, UncheckedFilter, UncheckedOrder, UncheckedQuery, Value,
};
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ledger::Ledger;
use ports::queries::{Queries, QueryAnswer};
use ports::reports::{EventFilter, EventQuery, Order, Reports, StoredEvent};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::conformance::{Home, queries_conformance};
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};
use ports::{ErrorKind, PortError};
use proptest::prelude::*;

use crate::folder::{TestFolder, small};

const FIELDS: [&str; 20] = [
    "id",
    "time",
    "received_at",
    "type",
    "project",
    "customer",
    "user",
    "endpoint",
    "model",
    "tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "latency_ms",
    "properties.p",
    "properties.o.n",
    "properties.o",
    "properties.none",
];
const OPS: [&str; 9] = ["count", "sum", "avg", "min", "max", "unique", "p50", "p95", "p99"];
const TESTS: [&str; 8] = ["eq", "ne", "in", "gt", "gte", "lt", "lte", "exists"];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];

#[derive(Debug, Clone)]
struct Ev {
    seconds: i64,
    names: [Option<u8>; 5],
    tokens: Option<u64>,
    /// One in so many of the tokens was read from a cache.
    cached: Option<u64>,
    latency: Option<u64>,
    properties: Option<usize>,
}

const PROPERTIES: [&str; 11] = [
    r#"{"p":"x","o":{"n":1}}"#,
    r#"{"p":"y","o":{"n":2.5}}"#,
    r#"{"p":1,"o":{"n":-7.25}}"#,
    r#"{ "p" : "1" , "o" : {"n":"2.5"} }"#,
    r#"{"p":true,"o":{"n":null}}"#,
    r#"{"o":{"n":1,"n":1024.5},"p":"a long text that is not inlined\n"}"#,
    r#"{"p":null,"o":[{"n":5}]}"#,
    r#"{"p":{"n":1},"o":3}"#,
    r#"{"\u0070":"x","q":"\"p\":\"z\""}"#,
    r#"{"p":"2.50","o":{"n":9007199254740993}}"#,
    r#"{"p":"-0.001","o":{"n":0.1}}"#,
];

fn ev() -> impl Strategy<Value = Ev> {
    let names = proptest::array::uniform5(proptest::option::of(0_u8..3));
    let seconds = prop_oneof![0_i64..7_000, 7_516_000_i64..7_530_000, -3_000_000_i64..0];
    let tokens = proptest::option::of(prop_oneof![0_u64..50, Just(1_000_000_000_000)]);
    let measures = (tokens, proptest::option::of(1_u64..4), proptest::option::of(0_u64..900));
    (seconds, names, measures, proptest::option::of(0..PROPERTIES.len())).prop_map(
        |(seconds, names, (tokens, cached, latency), properties)| Ev {
            seconds,
            names,
            tokens,
            cached,
            latency,
            properties,
        },
    )
}

fn spec(at: usize, ev: &Ev) -> EventSpec {
    let mut spec = event(&format!("e{at}"), ev.seconds);
    let [kind, project, customer, user, endpoint] = ev.names;
    let name = |prefix: &str, n: u8| format!("{prefix}{n}");
    spec = kind.map_or(spec.clone(), |n| spec.kind(&name("k", n)));
    spec = project.map_or(spec.clone(), |n| spec.project(&name("p", n)));
    spec = customer.map_or(spec.clone(), |n| spec.customer(&name("c", n)));
    spec = user.map_or(spec.clone(), |n| spec.user(&name("u", n)));
    spec = endpoint.map_or(spec.clone(), |n| spec.endpoint(&name("/a/long/endpoint/", n)).model(&name("m", n)));
    spec = ev.tokens.map_or(spec.clone(), |tokens| spec.tokens(tokens, 1));
    spec = ev.tokens.zip(ev.cached).map_or(spec.clone(), |(tokens, one_in)| {
        let cached = tokens / one_in;
        spec.token_parts(cached, tokens - cached, u64::from(one_in == 2))
    });
    spec = ev.latency.map_or(spec.clone(), |latency| spec.latency_ms(latency));
    ev.properties.map_or(spec.clone(), |at| spec.properties(PROPERTIES[at]))
}

fn literal() -> impl Strategy<Value = Literal> {
    let text = prop::sample::select(vec!["x", "1", "true", "k1", "c0", "2026-01-01T00:30:00Z", "", "2.5", "m2"]);
    let number = prop::sample::select(vec![
        "0",
        "-0.0",
        "1",
        "2.5",
        "3",
        "40",
        "450.000",
        "-7.25",
        "1024.5",
        "9007199254740993",
        "1e40",
    ]);
    let one = prop_oneof![
        3 => text.prop_map(|text| Literal::Text(text.to_owned())),
        3 => number.prop_map(|number| Literal::Number(Number::parse(number).expect("a number"))),
        1 => any::<bool>().prop_map(Literal::Bool),
    ];
    prop_oneof![4 => one.clone(), 1 => proptest::collection::vec(one, 1..4).prop_map(Literal::List)]
}

fn filter() -> impl Strategy<Value = UncheckedFilter> {
    let test = (prop::sample::select(FIELDS.to_vec()), prop::sample::select(TESTS.to_vec()), literal()).prop_map(
        |(field, op, value)| UncheckedFilter {
            field: Some(field.to_owned()),
            op: Some(op.to_owned()),
            value: Some(value),
            ..UncheckedFilter::default()
        },
    );
    test.prop_recursive(3, 8, 3, |inner| {
        (any::<bool>(), proptest::collection::vec(inner, 1..4)).prop_map(|(all, inner)| {
            let (and, or) = if all { (Some(inner), None) } else { (None, Some(inner)) };
            UncheckedFilter { and, or, ..UncheckedFilter::default() }
        })
    })
}

fn unchecked() -> impl Strategy<Value = UncheckedQuery> {
    let op = (prop::sample::select(OPS.to_vec()), proptest::option::of(prop::sample::select(FIELDS.to_vec())));
    let intervals = [
        Interval::Minute,
        Interval::Hour,
        Interval::Days(Period::Day),
        Interval::Days(Period::Week),
        Interval::Days(Period::Month),
    ];
    let bucket = (prop::sample::select(intervals.to_vec()), prop::sample::select(ZONES.to_vec()));
    let range = prop_oneof![Just((i64::MIN, i64::MAX)), (-2_000_000_i64..5_000, 0_i64..9_000_000)];
    (
        proptest::collection::vec(op, 1..5),
        proptest::collection::vec(prop::sample::select(FIELDS.to_vec()), 0..3),
        proptest::option::of(filter()),
        proptest::option::of(bucket),
        range,
        proptest::option::of((0_usize..4, any::<bool>())),
        prop_oneof![Just(10_000_i64), 1_i64..5],
    )
        .prop_map(|(ops, groups, filter, bucket, (from, length), order, limit)| {
            let aggregations = ops.into_iter().enumerate().map(|(at, (op, field))| UncheckedAggregation {
                op: op.to_owned(),
                field: field.map(str::to_owned),
                name: Some(format!("v{at}")),
            });
            let order = order.map(|(column, descending)| UncheckedOrder {
                column: format!("v{column}"),
                direction: Some(if descending { "desc" } else { "asc" }.to_owned()),
            });
            let range = if from == i64::MIN { None } else { TimeRange::new(at(from), at(from + length)) };
            UncheckedQuery {
                range: range.unwrap_or(TimeRange::ALL),
                bucket: bucket.map(|(interval, zone)| {
                    let zone = Zone::parse(zone).expect("a zone");
                    (interval, Calendar { zone, week_start: WeekStart::Sunday })
                }),
                aggregations: aggregations.collect(),
                group_by: groups.into_iter().map(str::to_owned).collect(),
                filter,
                order_by: order.into_iter().collect(),
                limit: Some(limit),
            }
        })
}

async fn events_of(ledger: &dyn Reports, tenant: &str) -> Vec<StoredEvent> {
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: None,
        limit: 1_000_000,
        bytes_max: usize::MAX,
    };
    ledger.events(&scope(tenant), &all).await.expect("events").rows
}

async fn compare(ledger: &EmbeddedLedger, oracle: &MemoryLedger, queries: &[Query]) {
    for tenant in ["a", "b", "ab"] {
        let events = events_of(oracle, tenant).await;
        for query in queries {
            let expected = brute::answer(&events, query);
            let found = ledger.query(&scope(tenant), query).await.expect("an answer");
            assert_eq!(found, expected, "{tenant}: {query:#?}\n{events:#?}");
        }
    }
}

async fn run(batches: Vec<(usize, Vec<Ev>, u8)>, queries: Vec<Query>) {
    let folder = TestFolder::new();
    let oracle = MemoryLedger::new(WindowRule::default());
    let ledger = folder.open(LedgerOptions { flush_rows: 25, ..small(WindowRule::default()) }).await;
    let mut count = 0;
    for (seq, (tenant, evs, step)) in (1..).zip(batches) {
        let events: Vec<_> = evs
            .iter()
            .map(|ev| {
                count += 1;
                spec(count, ev)
            })
            .collect();
        let entry = record(seq, &scope(["a", "b", "a"][tenant]), at(8_000_000), &events);
        oracle.apply(std::slice::from_ref(&entry)).await;
        assert!(ledger.apply(&[entry]).await.failed.is_none());
        match step {
            0 => drop(ledger.flush().await.expect("flush")),
            1 => ledger.maintain().await.expect("maintain"),
            _ => {}
        }
    }
    compare(&ledger, &oracle, &queries).await;
    ledger.flush().await.expect("flush");
    ledger.maintain().await.expect("maintain");
    compare(&ledger, &oracle, &queries).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn i3_every_query_has_the_answer_spelled_out(
        batches in proptest::collection::vec((0_usize..3, proptest::collection::vec(ev(), 1..25), 0_u8..5), 1..12),
        generated in proptest::collection::vec(unchecked(), 30),
    ) {
        let queries: Vec<_> = generated.into_iter().filter_map(|unchecked| unchecked.check().ok()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(run(batches, queries));
    }
}

fn unchecked_of(op: &str, field: &str, group: Option<&str>) -> UncheckedQuery {
    UncheckedQuery {
        range: TimeRange::ALL,
        bucket: None,
        aggregations: vec![UncheckedAggregation { op: op.to_owned(), field: Some(field.to_owned()), name: None }],
        group_by: group.into_iter().map(str::to_owned).collect(),
        filter: None,
        order_by: Vec::new(),
        limit: None,
    }
}

fn counting(op: &str, field: &str, group: Option<&str>) -> Query {
    unchecked_of(op, field, group).check().expect("a query")
}

async fn filled(options: LedgerOptions, events: u32) -> (TestFolder, Arc<EmbeddedLedger>) {
    let folder = TestFolder::new();
    let ledger = folder.open(options).await;
    fill(&ledger, events).await;
    (folder, ledger)
}

/// Applies so many events of one tenant.
async fn fill(ledger: &EmbeddedLedger, events: u32) {
    for seq in 0..events / 1_000 {
        let events: Vec<_> = (seq * 1_000..(seq + 1) * 1_000)
            .map(|n| {
                event(&format!("event number {n}"), i64::from(n)).tokens(1_000_000_000_000, 0).latency_ms(u64::from(n))
            })
            .collect();
        let entry = record(u64::from(seq) + 1, &scope("a"), at(0), &events);
        assert!(ledger.apply(&[entry]).await.failed.is_none());
    }
}

#[tokio::test]
async fn i6_a_query_that_needs_more_memory_than_it_may_is_refused() {
    let large = LedgerOptions { flush_rows: 8_000, ..small(WindowRule::default()) };
    let (_place, ledger) = filled(LedgerOptions { query_memory_bytes_max: 100 << 10, ..large }, 20_000).await;
    for query in [
        counting("unique", "id", None),
        counting("count", "id", Some("id")),
        counting("p95", "latency_ms", Some("id")),
        counting("p95", "latency_ms", None),
    ] {
        let refused = ledger.query(&scope("a"), &query).await.map_err(|why| why.kind());
        assert_eq!(refused, Err(ErrorKind::Exhausted), "{query:?}");
    }
    let small = ledger.query(&scope("a"), &counting("count", "id", None)).await.expect("an answer");
    assert_eq!(small.rows, [[Value::from(20_000)]]);
}

#[tokio::test]
async fn i5_a_query_sees_one_tenant() {
    let (_place, ledger) = filled(LedgerOptions { flush_rows: 1_500, ..small(WindowRule::default()) }, 2_000).await;
    let other = record(3, &scope("aa"), at(0), &[event("event number 1", 0)]);
    assert!(ledger.apply(&[other]).await.failed.is_none());
    for _ in 0..2 {
        for (tenant, events) in [("a", 2_000), ("aa", 1), ("b", 0), ("A", 0)] {
            let found = ledger.query(&scope(tenant), &counting("unique", "id", None)).await.expect("an answer");
            assert_eq!(found.rows, [[Value::from(events)]], "{tenant}");
        }
        ledger.flush().await.expect("flush");
    }
}

#[tokio::test]
async fn a_test_against_a_thousand_values_finds_each() {
    let (_place, ledger) = filled(LedgerOptions { flush_rows: 1_500, ..small(WindowRule::default()) }, 3_000).await;
    let texts = (0..1_000).map(|n| Literal::Text(format!("event number {}", n * 3)));
    let numbers = (0..1_000).map(|n| Literal::Number(i64::from(n * 3).into()));
    for (field, list) in [("id", texts.collect::<Vec<_>>()), ("latency_ms", numbers.collect())] {
        for (op, list, events) in [("in", list.clone(), 1_000), ("in", list[..400].to_vec(), 400)] {
            let (field, op) = (Some(field.to_owned()), Some(op.to_owned()));
            let filter = UncheckedFilter { field, op, value: Some(Literal::List(list)), ..UncheckedFilter::default() };
            let count = UncheckedAggregation { op: "count".to_owned(), ..UncheckedAggregation::default() };
            let (range, bucket, group_by, order_by) = (TimeRange::ALL, None, Vec::new(), Vec::new());
            let unchecked = UncheckedQuery {
                range,
                bucket,
                aggregations: vec![count],
                group_by,
                filter: Some(filter),
                order_by,
                limit: None,
            };
            let found = ledger.query(&scope("a"), &unchecked.check().expect("a query")).await.expect("an answer");
            assert_eq!(found.rows, [[Value::from(events)]]);
        }
    }
}

#[tokio::test]
async fn sums_of_tokens_never_wrap() {
    let (_place, ledger) = filled(LedgerOptions { flush_rows: 8_000, ..small(WindowRule::default()) }, 10_000).await;
    let sum = ledger.query(&scope("a"), &counting("sum", "tokens", None)).await.expect("an answer");
    assert_eq!(sum.rows, [[Value::from(10_000_000_000_000_000)]]);
    let mean = ledger.query(&scope("a"), &counting("avg", "tokens", None)).await.expect("an answer");
    assert_eq!(mean.rows, [[Value::from(1_000_000_000_000)]]);
}

#[tokio::test]
async fn what_retention_has_dropped_is_gone() {
    let folder = TestFolder::new();
    let ledger = folder
        .open(LedgerOptions {
            retention_days: Some(2),
            retention_delay: Duration::ZERO,
            ..small(WindowRule::default())
        })
        .await;
    let events = [event("old", 0), event("new", 4 * 86_400)];
    assert!(ledger.apply(&[record(1, &scope("a"), at(4 * 86_400), &events)]).await.failed.is_none());
    folder.clock.set(at(5 * 86_400));
    ledger.maintain().await.expect("maintain");
    let mut query = counting("unique", "id", None);
    assert_eq!(
        ledger.query(&scope("a"), &query).await.expect("an answer").rows,
        [[Value::from(1)]],
        "all that is kept"
    );
    query.range = TimeRange::new(at(0), Timestamp::MAX).expect("a range");
    assert_eq!(ledger.query(&scope("a"), &query).await.map_err(|why| why.kind()), Err(ErrorKind::Gone));
    query.range = TimeRange::new(at(0).plus_micros(3 * MICROS_PER_DAY), Timestamp::MAX).expect("a range");
    assert_eq!(ledger.query(&scope("a"), &query).await.expect("an answer").rows, [[Value::from(1)]]);
}

/// A folder whose ledger flushes often.
struct Small(TestFolder);

impl Home for Small {
    type Ledger = EmbeddedLedger;

    async fn open(&self) -> Arc<EmbeddedLedger> {
        self.0.open(small(WindowRule::default())).await
    }

    async fn maintain(&self, ledger: &EmbeddedLedger) -> Result<(), PortError> {
        ledger.maintain().await
    }
}

#[tokio::test]
async fn i3_random_queries_have_the_oracles_answers() {
    queries_conformance(async || Small(TestFolder::new())).await;
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_gives_its_slot_back() {
    let (_place, ledger) = filled(LedgerOptions { flush_rows: 8_000, ..small(WindowRule::default()) }, 10_000).await;
    let query = counting("p95", "latency_ms", Some("id"));
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::ZERO, ledger.query(&scope("a"), &query)).await;
    }
    let found = ledger.query(&scope("a"), &counting("count", "id", None)).await.expect("an answer");
    assert_eq!(found.rows, [[Value::from(10_000)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i6_whether_a_query_fits_into_memory_does_not_depend_on_what_else_runs() {
    let folder = TestFolder::new();
    let options = LedgerOptions { flush_rows: 4_000, ..small(WindowRule::default()) };
    let ledger = folder.open(options.clone()).await;
    fill(&ledger, 12_000).await;
    ledger.flush().await.expect("flush");
    let queries = [counting("count", "id", Some("id")), counting("unique", "latency_ms", Some("id"))];
    let (tenant, mut verdicts) = (scope("a"), std::collections::BTreeSet::new());
    for kib in [256, 512, 1_024, 1_536, 2_048, 3_072, 4_096, 6_144, 8_192, 65_536] {
        let ledger = folder.open(LedgerOptions { query_memory_bytes_max: kib << 10, ..options.clone() }).await;
        for query in &queries {
            let ask = || ledger.query(&tenant, query);
            let verdict =
                |answer: Result<QueryAnswer, PortError>| answer.map(|rows| rows.rows.len()).map_err(|why| why.kind());
            let alone = verdict(ask().await);
            verdicts.insert(alone.is_ok());
            for together in futures::future::join_all((0..8).map(|_| ask())).await {
                assert_eq!(verdict(together), alone, "{kib} KiB: {query:?}");
            }
        }
    }
    assert_eq!(verdicts.len(), 2, "some fit and some do not");
}

#[tokio::test]
async fn i6_a_query_that_runs_out_of_time_is_not_called_too_large() {
    let options = LedgerOptions { flush_rows: 8_000, query_time_max: Duration::ZERO, ..small(WindowRule::default()) };
    let (_place, ledger) = filled(options, 10_000).await;
    for _ in 0..10 {
        // A slot of an earlier one may not be free yet.
        let refused = ledger.query(&scope("a"), &counting("p95", "latency_ms", Some("id"))).await.expect_err("no time");
        assert!(matches!(refused.kind(), ErrorKind::TimedOut | ErrorKind::Overloaded), "{refused}");
    }
}

#[tokio::test]
async fn i6_distinct_values_of_many_groups_take_bounded_memory() {
    const GROUPS: u32 = 99_000;
    let options = LedgerOptions { flush_rows: 50_000, ..small(WindowRule::default()) };
    let folder = TestFolder::new();
    let ledger = folder.open(options.clone()).await;
    fill(&ledger, GROUPS).await;
    ledger.flush().await.expect("flush");
    let query = counting("unique", "id", Some("id"));
    let before = peak_kib();
    let found = ledger.query(&scope("a"), &query).await.expect("an answer");
    assert_eq!((found.rows.len(), found.truncated), (1_000, true));
    assert!(found.rows.iter().all(|row| row[1] == Value::from(1)), "each group has one");
    let taken = peak_kib().zip(before).map(|(after, before)| after - before);
    let limit = (options.query_memory_bytes_max >> 10) as u64;
    assert!(taken.is_none_or(|taken| taken < 2 * limit), "{taken:?} KiB for a limit of {limit}");
    let ledger = folder.open(LedgerOptions { query_memory_bytes_max: 8 << 20, ..options }).await;
    let refused = ledger.query(&scope("a"), &query).await.expect_err("too large");
    assert_eq!(refused.kind(), ErrorKind::Exhausted);
    assert!(refused.to_string().contains("within 8 MiB of memory"), "{refused}");
}

/// The most memory that the process has had, where the system tells.
#[expect(clippy::disallowed_methods, reason = "no file of ours")]
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[tokio::test]
async fn whole_numbers_beyond_doubles_are_told_apart() {
    let folder = TestFolder::new();
    let ledger = folder.open(small(WindowRule::default())).await;
    let wholes =
        ["9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "18446744073709551615"];
    let events = wholes.map(|whole| event(whole, 0).properties(&format!(r#"{{"n":{whole}}}"#)));
    assert!(ledger.apply(&[record(1, &scope("a"), at(0), &events)]).await.failed.is_none());
    let number = |text: &str| Literal::Number(Number::parse(text).expect("a number"));
    for flushed in [false, true] {
        if flushed {
            ledger.flush().await.expect("flush");
        }
        for (at, whole) in (0_i64..).zip(wholes) {
            let list = Literal::List(vec![number(whole), number("1")]);
            for (op, value, expected) in [
                ("eq", number(whole), 1),
                ("ne", number(whole), 4),
                ("in", list, 1),
                ("lt", number(whole), at),
                ("lte", number(whole), at + 1),
                ("gt", number(whole), 4 - at),
                ("gte", number(whole), 5 - at),
            ] {
                let (field, op) = (Some("properties.n".to_owned()), Some(op.to_owned()));
                let filter =
                    UncheckedFilter { field, op: op.clone(), value: Some(value), ..UncheckedFilter::default() };
                let unchecked = UncheckedQuery { filter: Some(filter), ..unchecked_of("count", "id", None) };
                let query = unchecked.check().expect("a query");
                let found = ledger.query(&scope("a"), &query).await.expect("an answer");
                assert_eq!(found.rows, [[Value::from(expected)]], "{op:?} {whole}, flushed: {flushed}");
            }
        }
    }
}
