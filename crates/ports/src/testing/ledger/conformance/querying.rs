//! Random structured queries over random events: the answer is the oracle's, to the last digit. The seed of a
//! failing run is in the message.

use std::sync::Arc;

use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::position::Seq;
use domain::query::{Literal, Number, Query, UncheckedAggregation, UncheckedFilter, UncheckedOrder, UncheckedQuery};
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;

use super::dice::Dice;
use super::questions::Home;
use crate::journal::Delivery;
use crate::ledger::Ledger;
use crate::queries::Queries;
use crate::testing::ledger::MemoryLedger;
use crate::testing::ledger::records::{EventSpec, at, event_at, record, scope};

const SEEDS: u64 = 8;
const RECORDS: u64 = 30;
/// Queries after each round of steps.
const QUERIES: u32 = 16;

const TENANTS: [&str; 2] = ["acme", "acm"];
const TEXT_FIELDS: [&str; 7] = ["id", "type", "project", "customer", "user", "endpoint", "model"];
const NUMBER_FIELDS: [&str; 7] = [
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_ms",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
];
const PATHS: [&str; 10] = [
    "properties.a",
    "properties.plan",
    "properties.deep.a",
    "properties.deep.er.plan",
    "properties.é x",
    "properties.a.b",
    "properties.none",
    "properties.\"a.b\"",
    "properties.\"a\".b",
    "properties.deep.er.a",
];
/// Properties that are hard to read right.
const PROPERTIES: [&str; 29] = [
    "{}",
    r#"{"a":1}"#,
    r#"{"a":1.0,"plan":"pro"}"#,
    r#"{"a":"1","plan":"free"}"#,
    r#"{"a":-0.25,"plan":"Pro"}"#,
    r#"{"a":1e2,"plan":""}"#,
    r#"{"a":true,"plan":null}"#,
    r#"{"a":"true","deep":{"a":2.5}}"#,
    r#"{"a":{"b":7},"deep":{"a":"x","er":{"plan":"pro"}}}"#,
    r#"{"a":[1,2],"deep":[{"a":1}]}"#,
    r#"{ "a" : 3 , "deep" : { "a" : 1000000.75 , "er" : { "plan" : 12 } } }"#,
    r#"{"é x":"ü\n\"\\ß","a":"\u0061"}"#,
    r#"{"\u0061":4,"é x":"\ud83d\ude00"}"#,
    r#"{"a":1,"a":2,"plan":"pro","plan":"free"}"#,
    r#"{"deep":{"er":{"plan":{"plan":"x"}}},"a":null}"#,
    r#"{"b":"a","deep":"a","a.b":5,"a":9007199254740993}"#,
    r#"{"a":9007199254740992,"deep":{"a":9007199254740993.0}}"#,
    r#"{"a":9007199254740994}"#,
    r#"{"a":18446744073709551615,"deep":{"a":18446744073709551614}}"#,
    r#"{"a":18446744073709551616,"deep":{"a":-9223372036854775808}}"#,
    r#"{"a":0.1,"deep":{"a":"0.2"}}"#,
    r#"{"a":"-0.30","deep":{"a":" 1"}}"#,
    r#"{"a":1e-20,"deep":{"a":"1e15"}}"#,
    r#"{"a":"01","deep":{"a":"+1"}}"#,
    r#"{"a":9999999999999999999999999999,"deep":{"a":"\u0031"}}"#,
    r#"{"a":-99999999999999999999999999999,"deep":{"a":1e400}}"#,
    r#"{"a.b":"7","deep.er":{"a":8,"plan":"pro"},"deep":{"er.a":9,"a":0.5}}"#,
    r#"{"a.b":{"c":1},"a":{"b":"6.50"},"deep.a":3.25,"deep":{"er":{"a":"x"}}}"#,
    r#"{"deep.er.a":[1],"deep.er":5,"a.b":null,"a":{"b":1}}"#,
];

/// Asks random queries about random events. `home` gives an empty home, with windows by the default
/// rule.
///
/// # Panics
/// When an answer is not the oracle's.
pub async fn queries_conformance<H: Home<Ledger: Queries>, F: AsyncFn() -> H>(home: F) {
    for seed in 1..=SEEDS {
        let home = home().await;
        let mut ledger = home.open().await;
        let oracle = MemoryLedger::new(WindowRule::default());
        let mut dice = Dice::new(seed);
        let mut journal: Vec<Delivery> = Vec::new();
        compare(seed, &mut dice, &ledger, &oracle).await;
        for seq in 1..=RECORDS {
            let events: Vec<EventSpec> = (0..=dice.below(12)).map(|_| random_event(&mut dice)).collect();
            journal.push(record(seq, &scope(dice.pick(&TENANTS)), moment(&mut dice), &events));
            let entry = &journal[journal.len() - 1..];
            let (mine, theirs) = (ledger.apply(entry).await, oracle.apply(entry).await);
            assert!(mine.failed.is_none() && theirs.failed.is_none(), "seed {seed}: {:?}", mine.failed);
            match dice.below(12) {
                0 | 1 => drop(ledger.flush().await.expect("a flush")),
                2 | 3 => home.maintain(&ledger).await.expect("maintenance"),
                4 => {
                    ledger = home.open().await;
                    let flushed = ledger.cursor();
                    let rest: Vec<Delivery> =
                        journal.iter().filter(|entry| Seq::of_record(entry.id) > flushed).cloned().collect();
                    assert!(ledger.apply(&rest).await.failed.is_none(), "seed {seed}");
                }
                5 | 6 => compare(seed, &mut dice, &ledger, &oracle).await,
                _ => {}
            }
        }
        compare(seed, &mut dice, &ledger, &oracle).await;
    }
}

async fn compare<L: Queries>(seed: u64, dice: &mut Dice, ledger: &Arc<L>, oracle: &MemoryLedger) {
    for _ in 0..QUERIES {
        let query = query(dice);
        let tenant = scope(dice.pick(&TENANTS));
        let mine = ledger.query(&tenant, &query).await.map_err(|why| format!("seed {seed}: {query:?}: {why:?}"));
        let mine = mine.expect("rows");
        let theirs = oracle.query(&tenant, &query).await.expect("the oracle's rows");
        assert!(mine == theirs, "seed {seed}: {query:#?}\nfound    {mine:?}\nexpected {theirs:?}");
    }
}

/// Within some days around a change of clocks in Europe, or long before.
fn moment(dice: &mut Dice) -> Timestamp {
    let second = 86 * 86_400 + dice.below(6 * 86_400);
    match dice.below(8) {
        0 => at(second - second % 3_600),
        1 => at(-800_000_000 + second),
        2 => at(second).plus_micros(dice.below(1_000_000)),
        _ => at(second),
    }
}

fn random_event(dice: &mut Dice) -> EventSpec {
    let mut event = event_at(&format!("e{}", dice.below(300)), moment(dice)).kind(dice.pick(&["a", "b", "é"]));
    let names = ["a", "b", "true", "1", "Pro"];
    if dice.below(3) > 0 {
        event = event.user(dice.pick(&names));
    }
    if dice.below(3) > 0 {
        event = event.customer(dice.pick(&names));
    }
    if dice.below(2) > 0 {
        event = event.project(dice.pick(&names)).model(dice.pick(&names));
    }
    if dice.below(2) > 0 {
        event = event.endpoint(dice.pick(&names)).latency_ms(dice.below(2_000).unsigned_abs());
    }
    if dice.below(2) > 0 {
        let many = [0, 1, 7, 1_000_000_000_000].map(|count| count + dice.below(3).unsigned_abs());
        let (input, output) = (dice.pick(&many[..3]), dice.pick(&many[..2]));
        event = dice.tokens(event, input, output);
    }
    if dice.below(5) > 0 { event.properties(dice.pick(&PROPERTIES)) } else { event }
}

fn query(dice: &mut Dice) -> Query {
    loop {
        // Two columns of one name, an order by a column twice: such queries are refused.
        if let Ok(query) = unchecked(dice).check() {
            return query;
        }
    }
}

fn unchecked(dice: &mut Dice) -> UncheckedQuery {
    let intervals = [
        Interval::Minute,
        Interval::Hour,
        Interval::Days(Period::Day),
        Interval::Days(Period::Week),
        Interval::Days(Period::Month),
    ];
    let zone = Zone::parse(dice.pick(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])).expect("a zone");
    let calendar = Calendar { zone, week_start: dice.pick(&[WeekStart::Monday, WeekStart::Saturday]) };
    let bucket = (dice.below(3) == 0).then(|| (dice.pick(&intervals), calendar));
    let group_by = (0..dice.pick(&[0, 0, 1, 1, 2, 3])).map(|_| source(dice).to_owned()).collect();
    let aggregations: Vec<_> = (0..=dice.below(4)).map(|_| aggregation(dice)).collect();
    let filter = (dice.below(2) == 0).then(|| filter(dice, 2));
    let limit = (dice.below(2) == 0).then(|| dice.pick(&[1, 2, 5, 10_000]));
    let range = match (dice.below(3), moment(dice), moment(dice)) {
        (0, one, other) => TimeRange::new(one.min(other), one.max(other)).expect("a range"),
        _ => TimeRange::ALL,
    };
    let mut unchecked = UncheckedQuery { range, bucket, aggregations, group_by, filter, order_by: Vec::new(), limit };
    if let Ok(query) = unchecked.clone().check() {
        let columns = query.columns();
        for _ in 0..dice.below(3) {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let direction = dice.pick(&[None, Some("asc"), Some("desc"), Some("desc")]).map(str::to_owned);
            unchecked.order_by.push(UncheckedOrder { column: dice.pick(&columns).to_owned(), direction });
        }
    }
    unchecked
}

fn source(dice: &mut Dice) -> &'static str {
    match dice.below(8) {
        0..3 => dice.pick(&TEXT_FIELDS),
        3 => dice.pick(&NUMBER_FIELDS),
        4 => dice.pick(&["time", "received_at"]),
        _ => dice.pick(&PATHS),
    }
}

fn aggregation(dice: &mut Dice) -> UncheckedAggregation {
    let op = dice.pick(&["count", "sum", "avg", "min", "max", "unique", "p50", "p95", "p99"]);
    let field = match op {
        "count" if dice.below(2) == 0 => None,
        "count" | "unique" => Some(source(dice)),
        "min" | "max" if dice.below(4) == 0 => Some(dice.pick(&["time", "received_at"])),
        _ if dice.below(2) == 0 => Some(dice.pick(&NUMBER_FIELDS)),
        _ => Some(dice.pick(&PATHS)),
    };
    UncheckedAggregation { op: op.to_owned(), field: field.map(str::to_owned), name: None }
}

fn filter(dice: &mut Dice, depth: u32) -> UncheckedFilter {
    let branch = |dice: &mut Dice| (0..=dice.below(3)).map(|_| filter(dice, depth - 1)).collect();
    match dice.below(4) {
        0 if depth > 0 => UncheckedFilter { and: Some(branch(dice)), ..UncheckedFilter::default() },
        1 if depth > 0 => UncheckedFilter { or: Some(branch(dice)), ..UncheckedFilter::default() },
        _ => test(dice),
    }
}

fn test(dice: &mut Dice) -> UncheckedFilter {
    let field = source(dice);
    let op = dice.pick(&["eq", "ne", "in", "gt", "gte", "lt", "lte", "exists"]);
    let text =
        |dice: &mut Dice| Literal::Text(dice.pick(&["a", "b", "é", "true", "1", "1.0", "pro", "Pro", ""]).to_owned());
    let few = ["0", "1.0", "2.5", "-0.25", "7", "1e2", "950", "1e12", "1e-20", "0.1"];
    let large = ["9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "1e400", "-1e30"];
    let larger = ["18446744073709551614", "18446744073709551615", "9999999999999999999999999999"];
    let number = |dice: &mut Dice| {
        let text = match dice.below(4) {
            0 => dice.pick(&large),
            1 => dice.pick(&larger),
            _ => dice.pick(&few),
        };
        Literal::Number(Number::parse(text).expect("a number"))
    };
    let kind = dice.below(3);
    let value = |dice: &mut Dice| match field {
        "time" | "received_at" => Literal::Text(moment(dice).to_string()),
        _ if NUMBER_FIELDS.contains(&field) => number(dice),
        _ if TEXT_FIELDS.contains(&field) => text(dice),
        _ if kind == 0 => number(dice),
        _ if kind == 1 && matches!(op, "eq" | "ne" | "in") => Literal::Bool(dice.below(2) == 0),
        _ => text(dice),
    };
    let value = match op {
        "exists" => (dice.below(2) == 0).then(|| Literal::Bool(dice.below(2) == 0)),
        "in" => Some(Literal::List((0..=dice.below(3)).map(|_| value(dice)).collect())),
        _ => Some(value(dice)),
    };
    UncheckedFilter { field: Some(field.to_owned()), op: Some(op.to_owned()), value, ..UncheckedFilter::default() }
}
