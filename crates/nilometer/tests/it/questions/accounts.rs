//! Which customers there are, and what one of them did.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::asking::{Question, Session, encoded, with_parameters};
use super::ranges::Range;
use super::stats::most_first;
use super::truth::{CUSTOMERS, Truth};
use super::wall::{DAY, now};

pub(crate) fn question(session: &mut Session) -> Question {
    if session.random.random_range(0..10) == 0 { sample(session) } else { summary(session) }
}

fn sample(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let limit = *[1, 2, 4, 10, 100].choose(&mut session.random).unwrap();
    let path = *["/accounts/sample", "/v1/accounts/sample"].choose(&mut session.random).unwrap();
    Question::get(tenant, path, &[("limit", limit.to_string())], move |truth, _| {
        let ids: BTreeSet<_> = truth.events.iter().filter_map(|event| event.customer.as_deref()).collect();
        json!({"account_ids": ids.into_iter().take(limit).collect::<Vec<_>>()})
    })
}

/// The range of time as a client writes it.
#[derive(Clone)]
enum Window {
    Last(&'static str, i64),
    Custom(Range),
}

fn summary(session: &mut Session) -> Question {
    let tenant = session.tenant();
    let wall = session.truths[tenant].wall.clone();
    let random = &mut session.random;
    let mut parameters = Vec::new();
    let window = match random.random_range(0..8) {
        0 => Window::Last("last_24h", DAY),
        1 => {
            parameters.push(("window", "last_24h".to_owned()));
            Window::Last("last_24h", DAY)
        }
        2 | 3 => {
            parameters.push(("window", "last_7d".to_owned()));
            Window::Last("last_7d", 7 * DAY)
        }
        _ => {
            let range = Range::random(random, now(), &wall);
            parameters.extend(range.parameters());
            Window::Custom(range)
        }
    };
    let top = *[1, 3, 10, 100].choose(random).unwrap();
    if top != 10 {
        parameters.push(("top", top.to_string()));
    }
    let customer = if random.random_range(0..20) == 0 { "nobody" } else { *CUSTOMERS.choose(random).unwrap() };
    let path = ["/accounts", "/v1/accounts"].choose(random).unwrap();
    let path = with_parameters(&format!("{path}/{}/summary", encoded(customer)), &parameters);
    let expected = move |truth: &Truth, now| {
        if !truth.events.iter().any(|event| event.customer.as_deref() == Some(customer)) {
            return (404, Value::Null);
        }
        let (name, (from, to)) = match &window {
            Window::Last(name, length) => (*name, (now - length, now + 1)),
            Window::Custom(range) => ("custom", range.instants(&wall)),
        };
        let events = truth.events_in((from, to), &[("customer", Some(customer))]);
        let totals: BTreeMap<_, _> =
            most_first(events.iter().map(|event| event.kind.as_str()), 100).into_iter().collect();
        let users = most_first(events.iter().filter_map(|event| event.user.as_deref()), top);
        let users: Vec<Value> =
            users.into_iter().map(|(user, events)| json!({"user_id": user, "events": events})).collect();
        let mut answer = json!({"account_id": customer, "window": name, "totals": totals, "top_users": users});
        if let Window::Custom(_) = window {
            answer["from"] = json!(super::wall::text(from));
            answer["to"] = json!(super::wall::text(to));
        }
        (200, answer)
    };
    Question { tenant, path, body: None, expected: Box::new(expected) }
}
