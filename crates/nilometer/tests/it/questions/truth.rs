//! The events of one tenant that count, as the oracle keeps them, and random ones to send.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::wall::{DAY, HOUR, SECOND, Wall, ZONES, text};

pub(crate) const TYPES: [&str; 5] = ["login", "view", "View", "buy", "é"];
pub(crate) const PROJECTS: [&str; 3] = ["web", "app", "a b&c"];
pub(crate) const CUSTOMERS: [&str; 6] = ["acc_001", "acc_002", "acc_010", "acc/3 %", "Acc", "ü"];
pub(crate) const ENDPOINTS: [&str; 3] = ["/v1/chat", "/v1/images?x=1", "/"];
pub(crate) const MODELS: [&str; 3] = ["m-1", "m-2", "M-1"];
pub(crate) const PLANS: [&str; 3] = ["free", "pro", "Pro"];

/// A counted event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) kind: String,
    pub(crate) project: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) tokens: Option<u64>,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) latency_ms: Option<u64>,
    pub(crate) plan: Option<String>,
    pub(crate) price: Option<f64>,
}

impl Event {
    /// The text under one of the names that texts have in questions.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match name {
            "id" => Some(&self.id),
            "type" => Some(&self.kind),
            "project" => self.project.as_deref(),
            "customer" => self.customer.as_deref(),
            "user" => self.user.as_deref(),
            "endpoint" => self.endpoint.as_deref(),
            "model" => self.model.as_deref(),
            "properties.plan" => self.plan.as_deref(),
            other => panic!("{other} is no text"),
        }
    }

    /// Whether a filter lets it pass; the empty text asks for events without one.
    pub(crate) fn passes(&self, name: &str, wanted: Option<&str>) -> bool {
        wanted.is_none_or(|wanted| self.text(name).unwrap_or_default() == wanted)
    }

    /// As a client sends it, under some of the names that a field has.
    fn json(&self, random: &mut StdRng) -> Value {
        let mut event = Map::new();
        let mut put = |names: &[&str], value: Value| {
            let name = names.choose(random).unwrap();
            if !value.is_null() {
                event.insert((*name).to_owned(), value);
            }
        };
        put(&["id", "event_id", "idempotency_key"], json!(self.id));
        put(&["time", "timestamp", "ts"], json!(text(self.time)));
        put(&["type", "event_type"], json!(self.kind));
        put(&["project"], json!(self.project));
        put(&["customer", "customer_id", "account_id"], json!(self.customer));
        put(&["user", "user_id"], json!(self.user));
        put(&["endpoint", "apiEndpoint"], json!(self.endpoint));
        let mut properties = Map::new();
        let measures = [
            (["tokens", "tokens"], json!(self.tokens.filter(|_| self.input_tokens.is_none()))),
            (["input_tokens", "inputTokens"], json!(self.input_tokens)),
            (["output_tokens", "outputTokens"], json!(self.output_tokens)),
            (["latency_ms", "latencyMs"], json!(self.latency_ms)),
            (["model", "model"], json!(self.model)),
            (["plan", "plan"], json!(self.plan)),
            (["price", "price"], json!(self.price)),
        ];
        for (names, value) in measures {
            if !value.is_null() {
                properties.insert(names[random.random_range(0..2)].to_owned(), value);
            }
        }
        event.insert(["properties", "metadata"][random.random_range(0..2)].to_owned(), Value::Object(properties));
        Value::Object(event)
    }
}

/// One tenant.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) key: String,
    pub(crate) wall: Wall,
    pub(crate) events: Vec<Event>,
    ids: BTreeSet<String>,
    /// As sent, to be sent again.
    sent: Vec<Value>,
}

impl Truth {
    pub(crate) fn new(key: String) -> Self {
        Self { key, wall: Wall::of("UTC"), events: Vec::new(), ids: BTreeSet::new(), sent: Vec::new() }
    }

    /// Events of one request: new ones, repeated ones, and others under an id that is taken. They count
    /// from here on.
    pub(crate) fn batch(&mut self, random: &mut StdRng, now: i64) -> Vec<Value> {
        let mut batch = Vec::new();
        for _ in 0..random.random_range(1..40) {
            if let Some(again) = self.sent.choose(random).filter(|_| random.random_range(0..12) == 0) {
                batch.push(again.clone());
                continue;
            }
            let mut event = random_event(random, now);
            if let Some(taken) = self.events.choose(random).filter(|_| random.random_range(0..15) == 0) {
                event.id.clone_from(&taken.id);
            }
            let json = event.json(random);
            batch.push(json.clone());
            self.sent.push(json);
            if self.ids.insert(event.id.clone()) {
                self.events.push(event);
            }
        }
        batch
    }

    /// The events of a range that pass every filter.
    pub(crate) fn events_in<'t>(&'t self, (from, to): (i64, i64), filters: &[(&str, Option<&str>)]) -> Vec<&'t Event> {
        let inside = self.events.iter().filter(|event| from <= event.time && event.time < to);
        inside.filter(|event| filters.iter().all(|(name, wanted)| event.passes(name, *wanted))).collect()
    }
}

/// Where events and the ends of ranges gather: in the last weeks, around changes of clocks and around
/// midnights.
pub(crate) fn random_instant(random: &mut StdRng, now: i64) -> i64 {
    let wall = Wall::of(ZONES.choose(random).unwrap());
    let near = match random.random_range(0..12) {
        0..5 => now - random.random_range(0..50 * DAY),
        5 | 6 => {
            let changes = wall.changes(now);
            changes.first().copied().unwrap_or(now - 30 * DAY) + random.random_range(-30..30) * HOUR
        }
        7..10 => wall.start_of(wall.day_of(now - random.random_range(0..50 * DAY))),
        10 => now - random.random_range(0..8) * DAY,
        _ => now - random.random_range(0..400 * DAY),
    };
    let beside = [0, 0, -1, 1, -SECOND, SECOND, 1_234_567].choose(random).unwrap();
    (near + beside).min(now - 10 * SECOND)
}

fn random_event(random: &mut StdRng, now: i64) -> Event {
    let mut maybe = |names: &[&str], of: u32| {
        let name = names.choose(random).map(|name| (*name).to_owned());
        name.filter(|_| random.random_range(0..of) > 0)
    };
    let users: Vec<String> = (0..25).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let (project, customer, user) = (maybe(&PROJECTS, 3), maybe(&CUSTOMERS, 6), maybe(&users, 8));
    let (endpoint, model, plan) = (maybe(&ENDPOINTS, 2), maybe(&MODELS, 2), maybe(&PLANS, 3));
    let kind = TYPES.choose(random).unwrap();
    let long_ago = random.random_range(0..40) == 0;
    let time =
        if long_ago { random.random_range(-40 * 365 * DAY..40 * 365 * DAY) } else { random_instant(random, now) };
    let mut event = Event { time, project, customer, user, endpoint, model, plan, ..Event::default() };
    event.id = format!("e{:016x}", random.random::<u64>());
    event.kind = (*kind).to_owned();
    match random.random_range(0..3) {
        0 => {
            let (input, output) = (random.random_range(0..5_000), random.random_range(0..900));
            (event.input_tokens, event.output_tokens, event.tokens) = (Some(input), Some(output), Some(input + output));
        }
        1 => event.tokens = Some(random.random_range(0..9_000)),
        _ => {}
    }
    event.latency_ms = (random.random_range(0..2) == 0).then(|| random.random_range(0..3_000));
    // Quarters, so that sums are the same in any order.
    event.price = (random.random_range(0..2) == 0).then(|| f64::from(random.random_range(0..4_000)) / 4.0);
    event
}
