//! Random events in memory and in PostgreSQL: every answer is the same, to the last digit and byte. What the
//! suites of the ports draw at random is gone through here one by one: each function over each source, each grouping, each
//! test of a filter, each shape of a series; over properties that JSONB refuses, expands or writes otherwise.

use std::collections::BTreeMap;

use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::event::EventId;
use domain::query::{Literal, Number, Query, UncheckedAggregation, UncheckedFilter, UncheckedQuery};
use domain::series::{Facet, Metric, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::{WindowRule, WindowState};
use ledger_postgres::PostgresLedger;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use ports::ledger::Ledger;
use ports::queries::Queries;
use ports::reports::{EventFilter, EventQuery, Order, Reports, StoredEvent, WindowQuery};
use ports::testing::ledger::records::{EventSpec, at, event_at, record, scope};
use ports::testing::ledger::{MemoryLedger, set_zone};
use serde_json::value::RawValue;

use crate::Outcome;
use crate::place::Base;

const SEEDS: [u64; 3] = [11, 12, 13];
const RECORDS: u64 = 12;
const TENANTS: [&str; 2] = ["acme", "acm"];
const NAMES: [&str; 5] = ["a", "b", "true", "1", "Pro é"];
const TEXTS: [&str; 7] = ["id", "type", "project", "customer", "user", "endpoint", "model"];
const TIMES: [&str; 2] = ["time", "received_at"];
const NUMBERS: [&str; 7] = [
    "tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "latency_ms",
];
const PATHS: [&str; 8] = [
    "properties.n",
    "properties.plan",
    "properties.deep.n",
    "properties.a.b",
    "properties.\"a.b\"",
    "properties.\"a\".b",
    "properties.none",
    "properties.a.b.c.d.e.f.g",
];

/// Members of properties, each of which JSONB, a number or a text may be got wrong by.
const MEMBERS: [&str; 43] = [
    r#""n":0"#,
    r#""n":1"#,
    r#""n":1.0"#,
    r#""n":1.50"#,
    r#""n":-0"#,
    r#""n":-0.0"#,
    r#""n":1e2"#,
    r#""n":1E-2"#,
    r#""n":100"#,
    r#""n":"100""#,
    r#""n":" 100""#,
    r#""n":-3.75"#,
    r#""n":123456789012345"#,
    r#""n":1234567890123456"#,
    r#""n":0.0000000000001"#,
    r#""n":0.00000000000001"#,
    r#""n":9999999999999999999999999999"#,
    r#""n":99999999999999999999999999999"#,
    r#""n":0.1234567890123456789012345678901234567890"#,
    r#""n":1e131000"#,
    r#""n":1e-131000"#,
    r#""n":1e400"#,
    r#""n":"1e400""#,
    r#""n":null"#,
    r#""n":true"#,
    r#""n":"true""#,
    r#""n":[1,2]"#,
    r#""n":{"n":1}"#,
    r#""n":1,"n":2"#,
    r#""plan":"pro","plan":"free","n":7"#,
    r#""plan":"pro""#,
    r#""plan":"Pro""#,
    r#""plan":"\u0070ro""#,
    r#""plan":"\u0000""#,
    r#""plan":"p\u0000ro""#,
    r#""plan":"\ud83d\ude00 \"é\\\n""#,
    r#""plan":"""#,
    r#""plan":12.0"#,
    r#""deep":{"n":2.5,"plan":"pro"}"#,
    r#""deep":{"n":{"n":1}},"deep":{"n":"3"}"#,
    r#""a.b":5,"a":{"b":6}"#,
    r#""a.b":null,"a":{"b":1e1}"#,
    r#""a":{"b.c":{"d.e":{"f.g":1}},"b":2}"#,
];

/// Random numbers that a seed repeats for ever (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)]
    }

    /// An object of some members; now and then one with much text, or many levels, or what no column takes, beside.
    fn properties(&mut self) -> String {
        let mut members: Vec<String> = (0..=self.below(3)).map(|_| self.pick(&MEMBERS).to_owned()).collect();
        match self.below(24) {
            0 => members.push(format!("\"long\":\"{}\"", "é".repeat(31_000))),
            1 => members.push(format!("\"nest\":{}1{}", "[".repeat(100), "]".repeat(100))),
            2 => members.push(format!("\"nest\":{}1{}", "{\"n\":".repeat(100), "}".repeat(100))),
            3 => members.push(r#""half":"\ud800""#.to_owned()),
            4 => members.push(r#""no\u0000name":1"#.to_owned()),
            5 => members.push(format!("\"big\":{}", "7".repeat(3_000))),
            6 => members.push(" \"spaced\" :\n1 ".to_owned()),
            _ => {}
        }
        format!("{{{}}}", members.join(","))
    }

    /// Within some days around a change of clocks in Europe.
    fn moment(&mut self) -> Timestamp {
        let second = 86 * 86_400 + i64::try_from(self.below(4 * 86_400)).unwrap_or(0);
        match self.below(6) {
            0 => at(second - second % 3_600),
            1 => at(second).plus_micros(i64::try_from(self.below(1_000_000)).unwrap_or(0)),
            _ => at(second - second % 60),
        }
    }

    fn event(&mut self) -> EventSpec {
        let id = format!("e{}", self.below(140));
        let mut event = event_at(&id, self.moment()).kind(self.pick(&["call", "view", "é"]));
        if self.below(3) > 0 {
            event = event.user(self.pick(&NAMES)).customer(self.pick(&NAMES));
        }
        if self.below(2) > 0 {
            event = event.project(self.pick(&NAMES)).model(self.pick(&NAMES));
        }
        if self.below(2) > 0 {
            event = event.endpoint(self.pick(&NAMES)).latency_ms(self.below(2_000));
        }
        if self.below(2) > 0 {
            let (input, output) = (self.pick(&[0, 1, 7, 1_000_000_000_000]), self.below(9));
            event = event.tokens(input, output).token_parts(input / 3, input / 3, output / 2);
        }
        if self.below(6) > 0 { event.properties(&self.properties()) } else { event }
    }
}

/// Both ledgers, with the same events.
struct Both {
    mine: std::sync::Arc<PostgresLedger>,
    oracle: MemoryLedger,
    seed: u64,
}

impl Both {
    async fn fill(base: &Base, seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let rule = WindowRule::default();
        let both = Self { mine: base.fresh(rule).await?, oracle: MemoryLedger::new(rule), seed };
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for seq in 1..=RECORDS {
            let events: Vec<_> = (0..=dice.below(24)).map(|_| dice.event()).collect();
            let entry = [record(seq, &scope(dice.pick(&TENANTS)), dice.moment(), &events)];
            let (mine, theirs) = (both.mine.apply(&entry).await, both.oracle.apply(&entry).await);
            assert!(mine.failed.is_none(), "seed {seed}: {:?}", mine.failed);
            assert_eq!(mine.applied, theirs.applied, "seed {seed}");
            if seq == RECORDS / 2 {
                let through = dice.moment();
                both.mine.close_through(through).await?;
                both.oracle.close_through(through).await?;
            }
        }
        Ok(both)
    }

    async fn query(&self, tenant: &TenantScope, query: &Query) -> Outcome {
        let (mine, theirs) = (self.mine.query(tenant, query).await?, self.oracle.query(tenant, query).await?);
        assert!(mine == theirs, "seed {}: {query:#?}\nfound    {mine:?}\nexpected {theirs:?}", self.seed);
        Ok(())
    }
}

fn sources() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter().chain(TIMES).chain(NUMBERS).chain(PATHS)
}

fn all(aggregations: &[(&str, Option<&str>)]) -> UncheckedQuery {
    let aggregation = |(at, (op, field)): (usize, &(&str, Option<&str>))| UncheckedAggregation {
        op: (*op).to_owned(),
        field: field.map(str::to_owned),
        name: Some(format!("x{at}")),
    };
    UncheckedQuery {
        range: TimeRange::ALL,
        bucket: None,
        aggregations: aggregations.iter().enumerate().map(aggregation).collect(),
        group_by: Vec::new(),
        filter: None,
        order_by: Vec::new(),
        limit: None,
    }
}

/// What may be computed over a source.
fn functions(source: &str) -> &'static [&'static str] {
    match source {
        _ if TEXTS.contains(&source) => &["count", "unique"],
        _ if TIMES.contains(&source) => &["count", "unique", "min", "max"],
        _ => &["count", "unique", "sum", "avg", "min", "max", "p50", "p95", "p99"],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_function_over_every_source_is_the_oracles() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    for seed in &SEEDS[..2] {
        let both = Both::fill(&base, *seed).await?;
        for source in sources() {
            for op in functions(source) {
                // Alone, and beside another function, which has its values told apart.
                for beside in [None, Some("unique")] {
                    let two = [(*op, Some(source)), ("count", None), (beside.unwrap_or("count"), Some(source))];
                    let two = &two[..if beside.is_some() { 3 } else { 2 }];
                    for group in ["", "type", "properties.plan"] {
                        let mut query = all(two);
                        query.group_by.extend(Some(group.to_owned()).filter(|group| !group.is_empty()));
                        both.query(&scope("acme"), &query.check()?).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_grouping_is_the_oracles() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let zone = Zone::parse("Europe/Berlin")?;
    let calendar = Calendar { zone, week_start: WeekStart::Sunday };
    let buckets = [None, Some(Interval::Minute), Some(Interval::Hour), Some(Interval::Days(Period::Day))];
    let measures = [("count", None), ("sum", Some("properties.n")), ("avg", Some("latency_ms")), ("max", Some("time"))];
    for seed in SEEDS {
        let both = Both::fill(&base, seed).await?;
        let range = TimeRange::new(at(87 * 86_400 + 1_234), at(89 * 86_400 + 1)).unwrap_or(TimeRange::ALL);
        for group in sources() {
            for bucket in buckets {
                for (range, second) in [(TimeRange::ALL, None), (range, None), (range, Some("project"))] {
                    let mut query = all(&measures);
                    query.bucket = bucket.map(|interval| (interval, calendar.clone()));
                    query.group_by = [Some(group), second.filter(|second| *second != group)]
                        .into_iter()
                        .flatten()
                        .map(str::to_owned)
                        .collect();
                    query.range = range;
                    // Buckets are called as one of the fields.
                    if let Ok(query) = query.check() {
                        both.query(&scope("acme"), &query).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn test(field: &str, op: &str, value: Literal) -> UncheckedFilter {
    UncheckedFilter {
        field: Some(field.to_owned()),
        op: Some(op.to_owned()),
        value: Some(value),
        ..UncheckedFilter::default()
    }
}

/// Values that a source may be compared with.
fn values(source: &str) -> Vec<Literal> {
    let texts = || {
        NAMES.into_iter().chain(["", "e7", "pro", "Pro", "12.0", "100", "call", "\0", "<encrypted>"]).map(str::to_owned)
    };
    let numbers =
        ["0", "1", "0.5", "-3.75", "100", "1000000000000", "9007199254740993", "1e400", "1e-20", "0.0000000000001"];
    let numbers = || numbers.into_iter().filter_map(Number::parse).map(Literal::Number);
    let times = [at(87 * 86_400), at(88 * 86_400 + 3_600), Timestamp::MIN, Timestamp::MAX];
    match source {
        _ if TEXTS.contains(&source) => texts().map(Literal::Text).collect(),
        _ if TIMES.contains(&source) => times.iter().map(|at| Literal::Text(at.to_string())).collect(),
        _ if NUMBERS.contains(&source) => numbers().collect(),
        _ => numbers().chain(texts().map(Literal::Text)).chain([Literal::Bool(true)]).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_filter_is_the_oracles() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    for seed in &SEEDS[..1] {
        let both = Both::fill(&base, *seed).await?;
        for source in sources() {
            let mut filters =
                vec![test(source, "exists", Literal::Bool(true)), test(source, "exists", Literal::Bool(false))];
            let values = values(source);
            for op in ["eq", "ne", "gt", "gte", "lt", "lte"] {
                filters.extend(values.iter().map(|value| test(source, op, value.clone())));
            }
            filters.extend(values.windows(2).map(|two| test(source, "in", Literal::List(two.to_vec()))));
            for filter in filters {
                let other = test("project", "eq", Literal::Text("a".to_owned()));
                let pair = vec![other, filter.clone()];
                let nested = [filter, UncheckedFilter { or: Some(pair), ..UncheckedFilter::default() }];
                for filter in nested {
                    let mut query = all(&[("count", None), ("sum", Some("tokens")), ("sum", Some("properties.n"))]);
                    query.filter = Some(filter);
                    // Not every source takes every comparison.
                    if let Ok(query) = query.check() {
                        both.query(&scope("acme"), &query).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_shape_of_a_series_is_the_oracles() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let metrics = [
        Metric::Count,
        Metric::Tokens,
        Metric::InputTokens,
        Metric::OutputTokens,
        Metric::CacheReadTokens,
        Metric::CacheWriteTokens,
        Metric::ReasoningTokens,
        Metric::AvgLatencyMs,
        Metric::UniqueUsers,
    ];
    let intervals = [
        Interval::Minute,
        Interval::Hour,
        Interval::Days(Period::Day),
        Interval::Days(Period::Week),
        Interval::Days(Period::Month),
    ];
    for seed in SEEDS {
        let both = Both::fill(&base, seed).await?;
        let range = TimeRange::new(at(87 * 86_400 + 1_234), at(89 * 86_400 + 1)).unwrap_or(TimeRange::ALL);
        for (number, (metric, interval)) in
            metrics.iter().flat_map(|metric| intervals.iter().map(move |interval| (metric, interval))).enumerate()
        {
            let zone = Zone::parse(["UTC", "Europe/Berlin", "Asia/Kathmandu"][number % 3])?;
            for facet in [None].into_iter().chain(Facet::ALL.map(Some)) {
                for (filter, range) in [(None, TimeRange::ALL), (facet, range), (Some(Facet::Customer), range)] {
                    let query = SeriesQuery {
                        metric: *metric,
                        range,
                        interval: *interval,
                        calendar: Calendar { zone: zone.clone(), week_start: WeekStart::Monday },
                        group_by: facet.into_iter().collect(),
                        filters: filter.into_iter().map(|facet| (facet, NAMES[number % 2].to_owned())).collect(),
                        groups_max: [2, 100][number % 2],
                        points_max: [20, 10_000][number % 2],
                    };
                    let kind = |why: ports::PortError| why.kind();
                    let mine = both.mine.series(&scope("acme"), &query).await.map_err(kind);
                    let theirs = both.oracle.series(&scope("acme"), &query).await.map_err(kind);
                    assert_eq!(mine, theirs, "seed {seed}: {query:?}");
                }
            }
        }
    }
    Ok(())
}

/// A JSON text as what it means: members in order, of equal names the last one, numbers by their value.
fn meaning(json: &str) -> String {
    let text = |text: &str| serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
            let members = members.iter().map(|(name, value)| format!("{name:?}:{}", meaning(value.get())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
            format!("[{}]", items.iter().map(|item| meaning(item.get())).collect::<Vec<_>>().join(","))
        }
        Some(b'"') => format!("{:?}", text(json)),
        Some(b'-' | b'0'..=b'9') => value_of(json),
        _ => json.to_owned(),
    }
}

/// A number without what does not change it: digits and the power of ten of the last.
fn value_of(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |number| ("-", number));
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i64::try_from(fraction.len()).unwrap_or(0);
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let zeros = i64::try_from(all.len() - significant.len()).unwrap_or(0);
    match significant.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}e{}", exponent.parse::<i64>().unwrap_or(0) - places + zeros),
    }
}

fn told(events: Vec<StoredEvent>) -> Vec<StoredEvent> {
    let told = |event: StoredEvent| StoredEvent { properties: event.properties.as_deref().map(meaning), ..event };
    events.into_iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_everything_stored_comes_back_as_the_oracles() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    for seed in SEEDS {
        let both = Both::fill(&base, seed).await?;
        let (mine, oracle) = (&*both.mine, &both.oracle);
        for tenant in TENANTS.map(scope) {
            for order in [Order::Ascending, Order::Descending] {
                let query = EventQuery {
                    filter: EventFilter::default(),
                    order,
                    after: None,
                    limit: 10_000,
                    bytes_max: 1 << 30,
                };
                let (events, theirs) = (mine.events(&tenant, &query).await?, oracle.events(&tenant, &query).await?);
                assert_eq!(told(events.rows), told(theirs.rows), "seed {seed}");
            }
            for id in (0..140).map(|number| format!("e{number}")) {
                let id = EventId::native(&id);
                let (event, theirs) = (mine.event(&tenant, id).await?, oracle.event(&tenant, id).await?);
                assert_eq!(told(Vec::from_iter(event)), told(Vec::from_iter(theirs)), "seed {seed}: {id:?}");
            }
            for state in [None, Some(WindowState::Open), Some(WindowState::Closed), Some(WindowState::Revised)] {
                let query = WindowQuery { customer: None, range: TimeRange::ALL, state, after: None, limit: 10_000 };
                assert_eq!(mine.windows(&tenant, &query).await?, oracle.windows(&tenant, &query).await?, "seed {seed}");
            }
            let (customers, theirs) =
                (mine.customers(&tenant, None, 100).await?, oracle.customers(&tenant, None, 100).await?);
            assert_eq!(customers, theirs, "seed {seed}");
            for customer in NAMES.into_iter().chain(["", "nobody"]) {
                let (now, day) = (at(87 * 86_400), TimeRange::new(at(86 * 86_400), at(87 * 86_400)));
                let day = day.unwrap_or(TimeRange::ALL);
                let used = mine.usage(&tenant, customer, now, day).await?;
                assert_eq!(used, oracle.usage(&tenant, customer, now, day).await?, "seed {seed}: {customer}");
                for range in [TimeRange::ALL, day] {
                    let summary = mine.summary(&tenant, customer, range, 3).await?;
                    let theirs = oracle.summary(&tenant, customer, range, 3).await?;
                    assert_eq!(summary, theirs, "seed {seed}: {customer}");
                    let types = mine.top_types(&tenant, range, Some(customer), 2).await?;
                    assert_eq!(types, oracle.top_types(&tenant, range, Some(customer), 2).await?, "seed {seed}");
                }
            }
            for zone in ["UTC", "Europe/Berlin"] {
                let zone = Zone::parse(zone)?;
                set_zone(mine, &tenant, &zone).await?;
                set_zone(oracle, &tenant, &zone).await?;
                for project in [None, Some(""), Some("a"), Some("Pro é")] {
                    for kind in [None, Some("call")] {
                        let owned = |text: &str| text.to_owned();
                        let (project, kind) = (project.map(owned), kind.map(owned));
                        let (range, zone) = (TimeRange::ALL, zone.clone());
                        let query = ActiveUsersQuery { range, zone, project, kind, named_only: false };
                        let users = mine.active_users(&tenant, &query).await?;
                        assert_eq!(users, oracle.active_users(&tenant, &query).await?, "seed {seed}: {query:?}");
                    }
                }
            }
        }
    }
    Ok(())
}
