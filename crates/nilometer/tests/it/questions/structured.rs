//! Structured queries: `POST /v1/query`.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::asking::{Question, Session};
use super::ranges::{ALWAYS, Range, zone};
use super::truth::{CUSTOMERS, ENDPOINTS, Event, MODELS, PLANS, PROJECTS, TYPES, Truth};
use super::wall::{Wall, Width, now, text};

const TEXTS: [&str; 7] = ["type", "project", "customer", "user", "endpoint", "model", "properties.plan"];
const NUMBERS: [&str; 5] = ["tokens", "input_tokens", "output_tokens", "latency_ms", "properties.price"];

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Number(f64),
    Text(String),
    Null,
}

impl Cell {
    fn of_text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }

    /// Ascending, absent ones last.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Greater,
            _ => Ordering::Less,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Null => Value::Null,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn number(event: &Event, name: &str) -> Option<f64> {
    match name {
        "tokens" => event.tokens.map(|count| count as f64),
        "input_tokens" => event.input_tokens.map(|count| count as f64),
        "output_tokens" => event.output_tokens.map(|count| count as f64),
        "latency_ms" => event.latency_ms.map(|ms| ms as f64),
        "properties.price" => event.price,
        other => panic!("{other} is no number"),
    }
}

#[derive(Debug)]
enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    TextIn { field: &'static str, values: Vec<&'static str>, not: bool },
    TextAbove { field: &'static str, value: &'static str },
    Exists { field: &'static str, there: bool },
    Number { field: &'static str, op: &'static str, value: f64 },
}

impl Filter {
    fn random(random: &mut StdRng, depth: u32) -> Self {
        let some =
            |random: &mut StdRng| (0..random.random_range(1..4)).map(|_| Self::random(random, depth - 1)).collect();
        let field = *TEXTS.choose(random).unwrap();
        let known: &[&'static str] = match field {
            "type" => &TYPES,
            "project" => &PROJECTS,
            "customer" => &CUSTOMERS,
            "endpoint" => &ENDPOINTS,
            "model" => &MODELS,
            "user" => &["u1", "u7", "u21"],
            _ => &PLANS,
        };
        match random.random_range(0..10) {
            0 | 1 if depth > 0 => Self::All(some(random)),
            2 | 3 if depth > 0 => Self::Any(some(random)),
            0..5 => {
                let values = (0..random.random_range(1..3)).map(|_| *known.choose(random).unwrap()).collect();
                Self::TextIn { field, values, not: false }
            }
            5 => Self::TextIn { field, values: vec![known[0]], not: true },
            6 => Self::TextAbove { field, value: known[1] },
            7 => {
                let field = if random.random_range(0..2) == 0 { field } else { NUMBERS.choose(random).unwrap() };
                Self::Exists { field, there: random.random_range(0..2) == 0 }
            }
            _ => Self::Number {
                field: NUMBERS.choose(random).unwrap(),
                op: ["gt", "gte", "lt", "lte", "eq"].choose(random).unwrap(),
                value: f64::from(random.random_range(0..4_000)) / 4.0,
            },
        }
    }

    fn json(&self) -> Value {
        let list = |filters: &[Self]| filters.iter().map(Self::json).collect::<Vec<_>>();
        match self {
            Self::All(filters) => json!({"and": list(filters)}),
            Self::Any(filters) => json!({"or": list(filters)}),
            Self::TextIn { field, values, not: true } => json!({"field": field, "op": "ne", "value": values[0]}),
            Self::TextIn { field, values, .. } if values.len() == 1 => {
                json!({"field": field, "op": "eq", "value": values[0]})
            }
            Self::TextIn { field, values, .. } => json!({"field": field, "op": "in", "value": values}),
            Self::TextAbove { field, value } => json!({"field": field, "op": "gt", "value": value}),
            Self::Exists { field, there: true } => json!({"field": field, "op": "exists"}),
            Self::Exists { field, there } => json!({"field": field, "op": "exists", "value": there}),
            Self::Number { field, op, value } => json!({"field": field, "op": op, "value": value}),
        }
    }

    #[expect(clippy::float_cmp, reason = "equality is what is asked for")]
    fn passes(&self, event: &Event) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.passes(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(event)),
            Self::TextIn { field, values, not } => event.text(field).is_some_and(|text| values.contains(&text)) != *not,
            Self::TextAbove { field, value } => event.text(field).is_some_and(|text| text > *value),
            Self::Exists { field, there } => {
                let is_number = NUMBERS.contains(field);
                let found = if is_number { number(event, field).is_some() } else { event.text(field).is_some() };
                found == *there
            }
            Self::Number { field, op, value } => number(event, field).is_some_and(|found| match *op {
                "gt" => found > *value,
                "gte" => found >= *value,
                "lt" => found < *value,
                "lte" => found <= *value,
                _ => found == *value,
            }),
        }
    }
}

struct Asked {
    wall: Wall,
    range: (i64, i64),
    width: Option<Width>,
    group_by: Vec<&'static str>,
    aggregations: Vec<(&'static str, Option<&'static str>)>,
    filter: Option<Filter>,
    order_by: Vec<(usize, bool)>,
    limit: usize,
}

pub(crate) fn question(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut named = Vec::new();
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut named);
    let random = &mut session.random;
    let mut range = ALWAYS;
    if random.random_range(0..3) > 0 {
        let asked = Range::random(random, now(), &wall);
        named.extend(asked.parameters());
        range = asked.instants(&wall);
    }
    let mut body: Value = named.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let width = (random.random_range(0..3) == 0).then(|| *Width::ALL.choose(random).unwrap());
    let mut group_by: Vec<&str> = Vec::new();
    for _ in 0..*[0, 1, 1, 2].choose(random).unwrap() {
        let name = *TEXTS.choose(random).unwrap();
        if !group_by.contains(&name) {
            group_by.push(name);
        }
    }
    let mut aggregations = vec![("count", None)];
    for _ in 0..random.random_range(0..4) {
        let op = *["count", "unique", "sum", "avg", "min", "max", "p50", "p95", "p99"].choose(random).unwrap();
        let fields: &[&str] = if matches!(op, "count" | "unique") { &TEXTS } else { &NUMBERS };
        let aggregation = (op, Some(*fields.choose(random).unwrap()));
        if !aggregations.contains(&aggregation) {
            aggregations.push(aggregation);
        }
    }
    let filter = (random.random_range(0..2) == 0).then(|| Filter::random(random, 2));
    let mut asked = Asked { wall, range, width, group_by, aggregations, filter, order_by: Vec::new(), limit: 1_000 };
    if random.random_range(0..2) == 0 {
        let column = random.random_range(0..asked.columns().len());
        asked.order_by.push((column, random.random_range(0..2) == 0));
    }
    if random.random_range(0..3) == 0 {
        asked.limit = *[1, 2, 5, 10_000].choose(random).unwrap();
    }
    asked.write(&mut body);
    Question {
        tenant,
        path: "/v1/query".to_owned(),
        body: Some(body),
        expected: Box::new(move |truth, _| (200, asked.answer(truth))),
    }
}

impl Asked {
    fn write(&self, body: &mut Value) {
        let aggregation = |(op, field): &(&str, Option<&str>)| match field {
            Some(field) => json!({"op": op, "field": field}),
            None => json!({"op": op}),
        };
        body["aggregations"] = self.aggregations.iter().map(aggregation).collect();
        if let Some(width) = self.width {
            body["interval"] = json!(width.name());
        }
        if !self.group_by.is_empty() {
            body["group_by"] = json!(self.group_by);
        }
        if let Some(filter) = &self.filter {
            body["filter"] = filter.json();
        }
        if let Some((column, descending)) = self.order_by.first() {
            let direction = if *descending { "desc" } else { "asc" };
            body["order_by"] = json!([{"column": self.columns()[*column], "direction": direction}]);
        }
        if self.limit != 1_000 {
            body["limit"] = json!(self.limit);
        }
    }

    fn columns(&self) -> Vec<String> {
        let keys = self.width.iter().map(|_| "time").chain(self.group_by.iter().copied()).map(str::to_owned);
        let name = |(op, field): &(&str, Option<&str>)| match field {
            Some(field) => format!("{op}_{field}"),
            None => (*op).to_owned(),
        };
        keys.chain(self.aggregations.iter().map(name)).collect()
    }

    /// The bucket as its start, then the groups.
    #[expect(clippy::cast_precision_loss, reason = "an instant of our time is exact in a double")]
    fn key_of(&self, event: &Event) -> Vec<Cell> {
        let bucket = self.width.map(|width| Cell::Number(self.wall.bucket_of(event.time, width) as f64));
        bucket.into_iter().chain(self.group_by.iter().map(|name| Cell::of_text(event.text(name)))).collect()
    }

    fn answer(&self, truth: &Truth) -> Value {
        let keys = usize::from(self.width.is_some()) + self.group_by.len();
        let mut groups: Vec<(Vec<Cell>, Vec<&Event>)> = Vec::new();
        if keys == 0 {
            groups.push((Vec::new(), Vec::new()));
        }
        for event in truth.events_in(self.range, &[]) {
            if self.filter.as_ref().is_some_and(|filter| !filter.passes(event)) {
                continue;
            }
            let key = self.key_of(event);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, events)) => events.push(event),
                None => groups.push((key, vec![event])),
            }
        }
        let all: Vec<&Event> = groups.iter().flat_map(|(_, events)| events.iter().copied()).collect();
        let counts = |((_, field), column): (&(&str, Option<&str>), &String)| {
            let has = |field: &str, event: &Event| {
                if NUMBERS.contains(&field) { number(event, field).is_some() } else { event.text(field).is_some() }
            };
            let values = all.iter().filter(|event| field.is_none_or(|field| has(field, event))).count();
            json!({"column": column, "values": values, "texts_read": 0, "skipped": 0, "overflow": []})
        };
        let aggregations: Vec<Value> = self.aggregations.iter().zip(&self.columns()[keys..]).map(counts).collect();
        let row = |(key, events): (Vec<Cell>, Vec<&Event>)| {
            let values = self.aggregations.iter().map(|(op, field)| aggregate(&events, op, *field));
            key.into_iter().chain(values).collect::<Vec<Cell>>()
        };
        let mut rows: Vec<Vec<Cell>> = groups.into_iter().map(row).collect();
        rows.sort_by(|left, right| {
            let asked = self.order_by.iter().map(|(column, descending)| {
                let (left, right) = (&left[*column], &right[*column]);
                let absent = *left == Cell::Null || *right == Cell::Null;
                if *descending && !absent { right.compare(left) } else { left.compare(right) }
            });
            let keys = (0..keys).map(|column| left[column].compare(&right[column]));
            asked.chain(keys).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
        });
        let truncated = rows.len() > self.limit;
        rows.truncate(self.limit);
        let json = |row: &Vec<Cell>| -> Value {
            let cell = |(at, cell): (usize, &Cell)| match cell {
                #[expect(clippy::cast_possible_truncation, reason = "it was a whole number of microseconds")]
                Cell::Number(start) if at == 0 && self.width.is_some() => json!(text(*start as i64)),
                cell => cell.json(),
            };
            row.iter().enumerate().map(cell).collect()
        };
        let rows: Vec<Value> = rows.iter().map(json).collect();
        json!({"columns": self.columns(), "rows": rows, "truncated": truncated, "aggregations": aggregations})
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn aggregate(events: &[&Event], op: &str, field: Option<&str>) -> Cell {
    let Some(field) = field else { return Cell::Number(events.len() as f64) };
    if matches!(op, "count" | "unique") {
        let texts: Vec<&str> = events.iter().filter_map(|event| event.text(field)).collect();
        let distinct = texts.iter().collect::<BTreeSet<_>>().len();
        return Cell::Number(if op == "count" { texts.len() } else { distinct } as f64);
    }
    let mut values: Vec<f64> = events.iter().filter_map(|event| number(event, field)).collect();
    values.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return Cell::Null };
    let sum: f64 = values.iter().sum();
    let percentile = |percent: usize| {
        // Rounded once: equal percentiles of groups of different sizes are equal to the last bit.
        let hundredths = (values.len() - 1) * percent;
        let low = values[hundredths / 100];
        let high = values.get(hundredths / 100 + 1).copied().unwrap_or(low);
        let rest = (hundredths % 100) as f64;
        (low * (100.0 - rest) + high * rest) / 100.0
    };
    Cell::Number(match op {
        "sum" => sum,
        "avg" => sum / values.len() as f64,
        "min" => *first,
        "max" => *last,
        "p50" => percentile(50),
        "p95" => percentile(95),
        _ => percentile(99),
    })
}
