//! The last seconds: how many events and users, by what is known of the users.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::asking::{Session, difference};
use super::truth::PLANS;
use super::wall::{SECOND, now, text};
use crate::faults::server::WAIT_MAX;
use crate::faults::wait;

const ROUNDS: usize = 12;
/// Questions in each round.
const QUESTIONS: usize = 30;
/// How far back events lie, in seconds; windows reach further.
const AGE_MAX: i64 = 2_000;
const WINDOW_MAX: i64 = 1_800;

/// What one tenant sent, and what it told of its users.
#[derive(Default)]
struct Recent {
    events: Vec<(i64, Option<String>)>,
    sent: usize,
    /// User → attribute → value; `None` before the first table.
    table: Option<BTreeMap<String, BTreeMap<String, String>>>,
    generation: u64,
    version: i64,
}

pub(crate) fn run() {
    let mut session = Session::new();
    let mut recent: Vec<Recent> = session.truths.iter().map(|_| Recent::default()).collect();
    for round in 0..ROUNDS {
        let tenant = session.tenant();
        post(&mut session, tenant, &mut recent[tenant]);
        match session.random.random_range(0..4) {
            0 => replace(&mut session, tenant, &mut recent[tenant]),
            1 => change(&mut session, tenant, &mut recent[tenant]),
            2 if round > 3 => session.crash(),
            _ => {}
        }
        for _ in 0..QUESTIONS {
            let tenant = session.tenant();
            ask(&mut session, tenant, &recent[tenant]);
        }
    }
    session.end();
}

/// Events of the last half hour, in any order, some without a user.
fn post(session: &mut Session, tenant: usize, recent: &mut Recent) {
    let mut batch = Vec::new();
    for _ in 0..session.random.random_range(20..200) {
        let random = &mut session.random;
        let time = now() - random.random_range(0..AGE_MAX * SECOND);
        let user = (random.random_range(0..8) > 0).then(|| format!("u{}", random.random_range(0..30)));
        recent.sent += 1;
        batch.push(json!({"id": format!("live{}", recent.sent), "time": text(time), "user": user, "type": "x"}));
        recent.events.push((time, user));
    }
    session.post(tenant, &batch);
}

fn attributes(session: &mut Session) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for (name, values) in [("plan", &PLANS[..]), ("region", &["eu", "us"]), ("tier", &["1"])] {
        if session.random.random_range(0..4) > 0 {
            let value = values.choose(&mut session.random).unwrap();
            attributes.insert(name.to_owned(), (*value).to_owned());
        }
    }
    attributes
}

fn some_users(session: &mut Session) -> Vec<String> {
    (0..40).filter(|_| session.random.random_range(0..3) > 0).map(|n| format!("u{n}")).collect()
}

/// Replaces the whole table; then again with the same, which changes nothing, and with older, which is
/// refused.
fn replace(session: &mut Session, tenant: usize, recent: &mut Recent) {
    let table: BTreeMap<_, _> = some_users(session).into_iter().map(|user| (user, attributes(session))).collect();
    recent.version = (recent.version + 1).max(now());
    recent.generation += 1;
    let body = json!({"user_metadata": table, "ts": text(recent.version)});
    for path in ["/reference/users", "/v1/reference/users"] {
        let answer = session.send(tenant, "PUT", path, Some(&body));
        assert_eq!(answer.status, 200, "seed {}: {}", session.seed, answer.text());
        let told = answer.json();
        assert_eq!(told["generation"], json!(recent.generation), "seed {}: {told}", session.seed);
        assert_eq!(told["users"], json!(table.len()), "seed {}: {told}", session.seed);
    }
    let stale = json!({"user_metadata": {}, "ts": text(recent.version - SECOND)});
    assert_eq!(session.send(tenant, "PUT", "/reference/users", Some(&stale)).status, 409, "seed {}", session.seed);
    let other = json!({"user_metadata": {"other": {"plan": "x"}}, "ts": text(recent.version)});
    assert_eq!(session.send(tenant, "PUT", "/reference/users", Some(&other)).status, 409, "seed {}", session.seed);
    recent.table = Some(table);
    told_table(session, tenant, recent);
}

/// Changes some users and takes others away.
fn change(session: &mut Session, tenant: usize, recent: &mut Recent) {
    let Some(table) = &mut recent.table else { return };
    let mut patch = Map::new();
    for n in 0..8 {
        let user = format!("u{}", n * 5);
        match session.random.random_range(0..3) {
            0 => {
                table.remove(&user);
                patch.insert(user, Value::Null);
            }
            1 => {
                let known = table.entry(user.clone()).or_default();
                known.remove("region");
                known.insert("plan".to_owned(), format!("patched {n}"));
                patch.insert(user, json!({"region": null, "plan": format!("patched {n}")}));
            }
            _ => {}
        }
    }
    // Makes sure that something changes.
    table.insert("u3".to_owned(), BTreeMap::from([("turn".to_owned(), recent.generation.to_string())]));
    patch.insert("u3".to_owned(), Value::Null);
    recent.version = (recent.version + 1).max(now());
    for part in [json!({"u3": null}), {
        patch.insert("u3".to_owned(), json!({"turn": recent.generation.to_string()}));
        Value::Object(patch)
    }] {
        recent.version += 1;
        let body = json!({"user_metadata": part, "ts": text(recent.version)});
        let answer = session.send(tenant, "PATCH", "/reference/users", Some(&body));
        assert_eq!(answer.status, 200, "seed {}: {}", session.seed, answer.text());
        recent.generation = answer.json()["generation"].as_u64().unwrap();
    }
    told_table(session, tenant, recent);
}

fn told_table(session: &mut Session, tenant: usize, recent: &Recent) {
    let told = session.send(tenant, "GET", "/reference/users", None).json();
    assert_eq!(told["user_metadata"], json!(recent.table), "seed {}", session.seed);
    assert_eq!(told["generation"], json!(recent.generation), "seed {}", session.seed);
}

/// Asks for a window of any length. An answer is right when it is right at some second of the request.
fn ask(session: &mut Session, tenant: usize, recent: &Recent) {
    let window = match session.random.random_range(0..4) {
        0 => *[1, 2, 60, 300, WINDOW_MAX].choose(&mut session.random).unwrap(),
        _ => session.random.random_range(1..=WINDOW_MAX),
    };
    let path = format!("{}?window={window}", ["/metrics", "/v1/live"].choose(&mut session.random).unwrap());
    // After a restart the view is refused until it has been rebuilt.
    let whole = wait::until(WAIT_MAX, || session.send(tenant, "GET", &path, None).status != 503);
    assert!(whole, "seed {}: the live view does not come back", session.seed);
    let before = now().div_euclid(SECOND);
    let answer = session.send(tenant, "GET", &path, None);
    let after = now().div_euclid(SECOND);
    assert_eq!(answer.status, 200, "seed {}: {path}: {}", session.seed, answer.text());
    let found = without_nothing(answer.json());
    let mut why = None;
    for second in before..=after {
        why = difference("", &found, &without_nothing(recent.answer(window, second)));
        if why.is_none() {
            return;
        }
    }
    panic!("seed {}: {path} of tenant {tenant}: {why:?}\nfound {found}", session.seed);
}

/// Values that no user had may be left out.
fn without_nothing(mut answer: Value) -> Value {
    let members = answer.as_object_mut().unwrap();
    for counts in members.values_mut().filter_map(Value::as_object_mut) {
        counts.retain(|_, count| *count != json!(0));
    }
    members.retain(|_, value| value.as_object().is_none_or(|counts| !counts.is_empty()));
    answer
}

impl Recent {
    #[expect(clippy::cast_precision_loss, reason = "few events")]
    fn answer(&self, window: i64, now: i64) -> Value {
        let second = |time: &i64| time.div_euclid(SECOND);
        let inside: Vec<&Option<String>> = self
            .events
            .iter()
            .filter(|(time, _)| now - window < second(time) && second(time) <= now)
            .map(|(_, user)| user)
            .collect();
        let empty = BTreeMap::new();
        let table = self.table.as_ref().unwrap_or(&empty);
        let known = inside.iter().filter_map(|user| table.get(user.as_ref()?));
        let mut by: BTreeMap<String, BTreeMap<&str, u64>> = BTreeMap::new();
        for (attribute, value) in known.clone().flatten() {
            *by.entry(format!("by_{attribute}")).or_default().entry(value).or_default() += 1;
        }
        let users: BTreeSet<&String> = inside.iter().filter_map(|user| user.as_ref()).collect();
        let mut answer = json!({
            "window_sec": window,
            "events_per_sec": inside.len() as f64 / window as f64,
            "unique_users": users.len(),
            "unknown": inside.len() - known.count(),
            "generation": self.generation,
        });
        by.into_iter().for_each(|(name, counts)| answer[name] = json!(counts));
        answer
    }
}
