//! Who came for the first time when, and came back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::Date;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::asking::{Question, Session};
use super::ranges::{ALWAYS, Range, runs, zone};
use super::stats::Filters;
use super::truth::Truth;
use super::wall::{Wall, Width, now};

/// What is asked for.
struct Asked {
    wall: Wall,
    width: Width,
    or_after: bool,
    periods: usize,
    filters: Filters,
}

pub(crate) fn question(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let mut parameters = Vec::new();
    let wall = zone(&mut session.random, &session.truths[tenant].wall, &mut parameters);
    let (width, name) = *[(Width::Day, "daily"), (Width::Week, "weekly")].choose(&mut session.random).unwrap();
    if width == Width::Day || session.random.random_range(0..2) == 0 {
        parameters.push(("period", name.to_owned()));
    }
    let or_after = session.random.random_range(0..2) == 0;
    if or_after {
        parameters.push(("variant", "on_or_after".to_owned()));
    }
    let mut periods = if width == Width::Day { 30 } else { 12 };
    if session.random.random_range(0..2) == 0 {
        periods = *[0, 1, 2, 5, 40].choose(&mut session.random).unwrap();
        parameters.push(("periods", periods.to_string()));
    }
    let mut days = None;
    if session.random.random_range(0..4) > 0 {
        let range = Range::of_days(&mut session.random, now(), &wall);
        parameters.extend(range.parameters());
        days = Some(range.days(&wall));
    }
    let filters = Filters::random(session, &mut parameters);
    let asked = Asked { wall, width, or_after, periods, filters };
    let path = ["/stats/retention", "/v1/stats/retention"].choose(&mut session.random).unwrap();
    Question::get(tenant, path, &parameters, move |truth, now| {
        let today = asked.wall.day_of(now);
        let (first, last) = days.unwrap_or_else(|| match asked.width {
            Width::Week => (asked.wall.first_of(today, Width::Week).checked_sub(11.weeks()).unwrap(), today),
            _ => (today.checked_sub(29.days()).unwrap(), today),
        });
        let cohorts = runs(&asked.wall, first, last, asked.width);
        asked.answer(truth, &cohorts, today, name)
    })
}

impl Asked {
    fn answer(&self, truth: &Truth, cohorts: &[Date], today: Date, name: &str) -> Value {
        // By user, the periods with activity; the first of them is the user's cohort.
        let mut active: BTreeMap<&str, BTreeSet<Date>> = BTreeMap::new();
        for event in truth.events_in(ALWAYS, &self.filters.as_pairs()) {
            if let Some(user) = &event.user {
                let period = self.wall.first_of(self.wall.day_of(event.time), self.width);
                active.entry(user).or_default().insert(period);
            }
        }
        let mut pooled: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut rows = Vec::new();
        for cohort in cohorts {
            let members: Vec<_> = active.values().filter(|periods| periods.first() == Some(cohort)).collect();
            let mut cells = Vec::new();
            let mut period = *cohort;
            for n in 0..=self.periods {
                if period > today {
                    break;
                }
                let next = self.wall.next(period, self.width);
                let came = |periods: &&&BTreeSet<Date>| {
                    if self.or_after { periods.range(period..).next().is_some() } else { periods.contains(&period) }
                };
                let users = members.iter().filter(came).count();
                let complete = next <= today;
                if complete {
                    let (sum, eligible) = pooled.entry(n).or_default();
                    (*sum, *eligible) = (*sum + users, *eligible + members.len());
                }
                cells.push(json!({"n": n, "users": users, "ratio": ratio(users, members.len()), "complete": complete}));
                period = next;
            }
            rows.push(json!({"cohort": cohort.to_string(), "size": members.len(), "cells": cells}));
        }
        pooled.retain(|_, (_, eligible)| *eligible > 0);
        let average = |(n, (users, eligible)): (&usize, &(usize, usize))| json!({"n": n, "users": users, "eligible": eligible, "ratio": ratio(*users, *eligible)});
        let averages: Vec<Value> = pooled.iter().map(average).collect();
        json!({"period": name, "cohorts": rows, "averages": averages})
    }
}

#[expect(clippy::cast_precision_loss, reason = "few users")]
fn ratio(users: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| users as f64 / of as f64)
}
