//! Active users per day, week and month, and the most frequent types.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::asking::{Question, Session};
use super::ranges::{ALWAYS, Range, runs, zone};
use super::truth::{Event, PROJECTS, TYPES, Truth};
use super::wall::{Wall, Width, now, text};

type Parameters = Vec<(&'static str, String)>;

pub(crate) fn question(session: &mut Session) -> Question {
    match session.random.random_range(0..6) {
        0 => top_types(session),
        1 => default_range(session),
        2 | 3 => rolling(session),
        _ => active(session),
    }
}

/// A filter by project or type: half of the time none, sometimes the empty text or one never seen.
pub(crate) fn filter(session: &mut Session, name: &'static str, parameters: &mut Parameters) -> Option<String> {
    let random = &mut session.random;
    let known: &[&str] = if name == "type" { &TYPES } else { &PROJECTS };
    let value = match random.random_range(0..10) {
        0..5 => return None,
        5 if name == "project" => "",
        6 => "never seen",
        _ => known.choose(random).unwrap(),
    };
    parameters.push((name, value.to_owned()));
    Some(value.to_owned())
}

fn path(width: Width) -> &'static str {
    match width {
        Width::Week => "/stats/wau",
        Width::Month => "/v1/stats/mau",
        _ => "/stats/dau",
    }
}

/// How many users did something in each run of days.
fn rows(truth: &Truth, wall: &Wall, range: (i64, i64), runs: &[Date], width: Width, filters: &Filters) -> Value {
    let mut users: BTreeMap<Date, BTreeSet<&str>> = runs.iter().map(|day| (*day, BTreeSet::new())).collect();
    for event in truth.events_in(range, &filters.as_pairs()) {
        let run = wall.first_of(wall.day_of(event.time), width);
        users.entry(run).or_default().extend(event.user.as_deref());
    }
    let row = |(day, users): (Date, BTreeSet<&str>)| json!({"date": day.to_string(), "users": users.len()});
    json!({"tz": wall.name, "data": users.into_iter().map(row).collect::<Vec<_>>()})
}

/// What users are counted by.
#[derive(Debug, Clone)]
pub(crate) struct Filters {
    pub(crate) project: Option<String>,
    pub(crate) kind: Option<String>,
}

impl Filters {
    pub(crate) fn random(session: &mut Session, parameters: &mut Parameters) -> Self {
        Self { project: filter(session, "project", parameters), kind: filter(session, "type", parameters) }
    }

    pub(crate) fn as_pairs(&self) -> [(&str, Option<&str>); 2] {
        [("project", self.project.as_deref()), ("type", self.kind.as_deref())]
    }
}

fn active(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters = Parameters::new();
    let mut wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let width = *[Width::Day, Width::Week, Width::Month].choose(&mut session.random).unwrap();
    if width == Width::Week && session.random.random_range(0..3) == 0 {
        parameters.push(("week_start", "sunday".to_owned()));
        wall.week_start = Weekday::Sunday;
    }
    let range = Range::random(&mut session.random, now(), &wall);
    parameters.extend(range.parameters());
    let filters = Filters::random(session, &mut parameters);
    let (instants, (first, last)) = (range.instants(&wall), range.days(&wall));
    let runs = runs(&wall, first, last, width);
    Question::get(tenant, path(width), &parameters, move |truth, _| {
        rows(truth, &wall, instants, &runs, width, &filters)
    })
}

/// The last 30 days, 12 weeks or 12 months, with the one that is not over yet.
fn default_range(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters = Parameters::new();
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let filters = Filters::random(session, &mut parameters);
    let width = *[Width::Day, Width::Week, Width::Month].choose(&mut session.random).unwrap();
    Question::get(tenant, path(width), &parameters, move |truth, now| {
        let today = wall.day_of(now);
        let last = wall.first_of(today, width);
        let first = match width {
            Width::Week => last.checked_sub(11.weeks()).unwrap(),
            Width::Month => last.checked_sub(11.months()).unwrap(),
            _ => last.checked_sub(29.days()).unwrap(),
        };
        let range = (wall.start_of(first), wall.start_of(today.tomorrow().unwrap()));
        rows(truth, &wall, range, &runs(&wall, first, today, width), width, &filters)
    })
}

/// One row per day, with the users of the days that end with it.
fn rolling(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters: Parameters = vec![("rolling", "true".to_owned())];
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let (path, length) =
        *[("/v1/stats/dau", 1), ("/v1/stats/wau", 7), ("/stats/mau", 30)].choose(&mut session.random).unwrap();
    let range = Range::of_days(&mut session.random, now(), &wall);
    parameters.extend(range.parameters());
    let filters = Filters::random(session, &mut parameters);
    let (first, last) = range.days(&wall);
    Question::get(tenant, path, &parameters, move |truth, _| {
        let mut active: BTreeMap<Date, BTreeSet<&str>> = BTreeMap::new();
        for event in truth.events_in(ALWAYS, &filters.as_pairs()) {
            active.entry(wall.day_of(event.time)).or_default().extend(event.user.as_deref());
        }
        let row = |day: Date| {
            let earliest = day.checked_sub((length - 1).days()).unwrap();
            let users: BTreeSet<&&str> = active.range(earliest..=day).flat_map(|(_, users)| users).collect();
            json!({"date": day.to_string(), "users": users.len()})
        };
        let rows: Vec<Value> = runs(&wall, first, last, Width::Day).into_iter().map(row).collect();
        json!({"tz": wall.name, "data": rows})
    })
}

/// Events per type, most first, then in order of type.
fn top_types(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters = Parameters::new();
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let mut instants = ALWAYS;
    if session.random.random_range(0..4) > 0 {
        let range = Range::random(&mut session.random, now(), &wall);
        parameters.extend(range.parameters());
        instants = range.instants(&wall);
    }
    let project = filter(session, "project", &mut parameters);
    let limit = *[1, 2, 3, 10, 1_000].choose(&mut session.random).unwrap();
    if limit != 10 {
        parameters.push(("limit", limit.to_string()));
    }
    Question::get(tenant, "/stats/top-events", &parameters, move |truth, _| {
        let events = truth.events_in(instants, &[("project", project.as_deref())]);
        let types = most_first(events.iter().map(|event: &&Event| event.kind.as_str()), limit);
        let row = |(kind, count)| json!({"type": kind, "count": count});
        let end = |at: i64, always: i64| (at != always).then(|| text(at));
        let (from, to) = (end(instants.0, ALWAYS.0), end(instants.1, ALWAYS.1));
        json!({"tz": wall.name, "from": from, "to": to, "data": types.into_iter().map(row).collect::<Vec<_>>()})
    })
}

/// The most frequent names, most first, then in order of name.
pub(crate) fn most_first<'n>(names: impl Iterator<Item = &'n str>, limit: usize) -> Vec<(&'n str, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    counts.truncate(limit);
    counts
}
