//! Metrics over time.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::{Map, Value, json};

use super::asking::{Question, Session};
use super::ranges::{Range, zone};
use super::truth::{CUSTOMERS, ENDPOINTS, Event, MODELS, PROJECTS, TYPES, Truth};
use super::wall::{DAY, Wall, Width, now, text};

/// Rows that one answer may have, and a reserve.
const ROWS_MAX: i64 = 9_000;
const FACETS: [&str; 5] = ["project", "customer", "type", "endpoint", "model"];
const METRICS: [&str; 6] = ["count", "tokens", "input_tokens", "output_tokens", "avg_latency_ms", "unique_users"];

struct Asked {
    wall: Wall,
    metric: &'static str,
    width: Width,
    range: (i64, i64),
    group_by: Vec<&'static str>,
    filters: Vec<(&'static str, Option<&'static str>)>,
}

pub(crate) fn question(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters = Vec::new();
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let random = &mut session.random;
    let range = Range::random(random, now(), &wall);
    parameters.extend(range.parameters());
    let instants = range.instants(&wall);
    let fits = |width: &Width| match width {
        Width::Minute => (instants.1 - instants.0) / (DAY / 1_440) < ROWS_MAX,
        Width::Hour => (instants.1 - instants.0) / (DAY / 24) < ROWS_MAX,
        _ => true,
    };
    let widths: Vec<Width> = Width::ALL.into_iter().filter(fits).collect();
    let width = *widths.choose(random).unwrap();
    parameters.push(("interval", width.name().to_owned()));
    let metric = *METRICS.choose(random).unwrap();
    if metric != "count" || random.random_range(0..2) == 0 {
        parameters.push(("metric", metric.to_owned()));
    }
    let mut facets = FACETS;
    facets.shuffle(random);
    let group_by = facets[..*[0, 0, 1, 1, 2, 5].choose(random).unwrap()].to_vec();
    if !group_by.is_empty() {
        parameters.push(("group_by", group_by.join(",")));
    }
    let mut filters = Vec::new();
    for (facet, known) in FACETS.into_iter().zip([&PROJECTS[..], &CUSTOMERS, &TYPES, &ENDPOINTS, &MODELS]) {
        if random.random_range(0..5) == 0 {
            let value = match random.random_range(0..6) {
                0 if facet != "type" => "",
                1 => "never seen",
                _ => known.choose(random).unwrap(),
            };
            parameters.push((facet, value.to_owned()));
            filters.push((facet, Some(value)));
        }
    }
    let path = *["/analytics", "/v1/analytics"].choose(random).unwrap();
    let asked = Asked { wall, metric, width, range: instants, group_by, filters };
    Question::get(tenant, path, &parameters, move |truth, _| asked.answer(truth))
}

impl Asked {
    fn answer(&self, truth: &Truth) -> Value {
        let mut points: BTreeMap<(i64, Vec<&str>), Vec<&Event>> = BTreeMap::new();
        if self.group_by.is_empty() {
            for start in self.wall.buckets(self.range.0, self.range.1, self.width) {
                points.insert((start, Vec::new()), Vec::new());
            }
        }
        for event in truth.events_in(self.range, &self.filters) {
            let group = self.group_by.iter().map(|facet| event.text(facet).unwrap_or_default()).collect();
            points.entry((self.wall.bucket_of(event.time, self.width), group)).or_default().push(event);
        }
        let row = |((start, group), events): ((i64, Vec<&str>), Vec<&Event>)| {
            let mut row = json!({"time": text(start), "value": self.value(&events)});
            if !group.is_empty() {
                let value = |name: &str| if name.is_empty() { Value::Null } else { json!(name) };
                let pairs = self.group_by.iter().zip(group).map(|(facet, name)| ((*facet).to_owned(), value(name)));
                row["group"] = Value::Object(pairs.collect::<Map<_, _>>());
            }
            row
        };
        let rows: Vec<Value> = points.into_iter().map(row).collect();
        json!({"metric": self.metric, "interval": self.width.name(), "tz": self.wall.name, "data": rows})
    }

    #[expect(clippy::cast_precision_loss, reason = "few events")]
    fn value(&self, events: &[&Event]) -> Value {
        let sum = |read: fn(&Event) -> Option<u64>| events.iter().filter_map(|event| read(event)).sum::<u64>();
        match self.metric {
            "count" => json!(events.len()),
            "tokens" => json!(sum(|event| event.tokens)),
            "input_tokens" => json!(sum(|event| event.input_tokens)),
            "output_tokens" => json!(sum(|event| event.output_tokens)),
            "unique_users" => {
                json!(events.iter().filter_map(|event| event.user.as_deref()).collect::<BTreeSet<_>>().len())
            }
            _ => {
                let measured = events.iter().filter(|event| event.latency_ms.is_some()).count() as u64;
                if measured == 0 {
                    return Value::Null;
                }
                // To the microsecond, halves up.
                let us = sum(|event| event.latency_ms) * 1_000;
                json!(((us + measured / 2) / measured) as f64 / 1_000.0)
            }
        }
    }
}
