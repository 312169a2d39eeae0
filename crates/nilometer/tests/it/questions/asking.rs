//! A server with a few tenants, what they sent it, and questions to it.

use jiff::civil::Weekday;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::truth::Truth;
use super::wall::{Wall, ZONES, now};
use crate::faults::http::{Answer, Client};
use crate::faults::server::{Launch, Server};

const TENANTS: [&str; 3] = ["acme", "acm", "zeta"];

/// The status and the body to expect, when the server's clock shows the given time.
pub(crate) type Expected = Box<dyn Fn(&Truth, i64) -> (u16, Value)>;

/// Something to ask for.
pub(crate) struct Question {
    /// Whose key it is asked with.
    pub(crate) tenant: usize,
    pub(crate) path: String,
    /// What is posted; asked with `GET` without it.
    pub(crate) body: Option<Value>,
    pub(crate) expected: Expected,
}

impl Question {
    pub(crate) fn get(
        tenant: usize,
        path: &str,
        parameters: &[(&str, String)],
        expected: impl Fn(&Truth, i64) -> Value + 'static,
    ) -> Self {
        let expected = Box::new(move |truth: &Truth, now| (200, expected(truth, now)));
        Self { tenant, path: with_parameters(path, parameters), body: None, expected }
    }
}

/// A path with a query string.
pub(crate) fn with_parameters(path: &str, parameters: &[(&str, String)]) -> String {
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Percent-encoded wherever that could be needed.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// One run.
pub(crate) struct Session {
    pub(crate) seed: u64,
    pub(crate) random: StdRng,
    pub(crate) truths: Vec<Truth>,
    data: TempDir,
    launch: Launch,
    server: Server,
    client: Client,
    asked: usize,
}

impl Session {
    pub(crate) fn new() -> Self {
        let given = std::env::var("QUESTIONS_SEED").ok();
        let seed = given.map_or_else(rand::random, |text| text.parse().unwrap());
        let data = tempfile::tempdir().unwrap();
        let truths: Vec<Truth> =
            TENANTS.iter().map(|tenant| Truth::new(format!("key-of-{tenant}-for-questions"))).collect();
        // Many flushes and merges of little data.
        let launch = Launch::on(data.path()).restless().set("min_time", "0001-01-01").set("flush_rows", 150);
        let server = launch.start_ready();
        let mut client = server.client();
        for (tenant, truth) in TENANTS.iter().zip(&truths) {
            register(&mut client, tenant, &truth.key);
        }
        Self { seed, random: StdRng::seed_from_u64(seed), truths, data, launch, server, client, asked: 0 }
    }

    pub(crate) fn tenant(&mut self) -> usize {
        self.random.random_range(0..TENANTS.len())
    }

    /// Sends random events of one tenant, and waits until they count.
    pub(crate) fn post_batch(&mut self) {
        let tenant = self.tenant();
        let batch = self.truths[tenant].batch(&mut self.random, now());
        self.post(tenant, &batch);
    }

    /// Sends events, and waits until they count.
    pub(crate) fn post(&mut self, tenant: usize, batch: &[Value]) {
        let answer = self.send(tenant, "POST", "/v1/events?wait=applied", Some(&json!(batch)));
        assert_eq!(answer.status, 202, "seed {}: {}", self.seed, answer.text());
        let told = answer.json();
        let told = (&told["rejected"], &told["applied"]);
        assert_eq!(told, (&json!(0), &json!(true)), "seed {}: {}", self.seed, answer.text());
    }

    pub(crate) fn send(&mut self, tenant: usize, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.asked += 1;
        let headers = [
            ("x-api-key", self.truths[tenant].key.as_str()),
            ("content-type", "application/json"),
            ("cache-control", "no-cache"),
        ];
        let answer = self.client.send(method, path, &headers, body.as_bytes());
        answer.unwrap_or_else(|why| panic!("seed {}: {method} {path}: {why}\n{}", self.seed, self.server.log()))
    }

    /// Asks, and compares. An answer is right when it is right at some moment of the request.
    pub(crate) fn ask(&mut self, question: &Question) {
        let before = now();
        let method = if question.body.is_some() { "POST" } else { "GET" };
        let answer = self.send(question.tenant, method, &question.path, question.body.as_ref());
        let after = now();
        let truth = &self.truths[question.tenant];
        let found = (answer.status, answer.json());
        let is_right = |at| {
            let (status, body) = (question.expected)(truth, at);
            if let Some(refusal) = refused_for_size(&question.path, &body) {
                return refusal == found.0;
            }
            status == found.0 && (status >= 400 || difference("", &found.1, &body).is_none())
        };
        if is_right(before) || is_right(after) {
            return;
        }
        let (status, body) = (question.expected)(truth, after);
        panic!(
            "seed {}: {} of {} in {}, request {}\nbody {}\nfirst difference: {:?}\nfound {} {}\nexpected {status} {body}",
            self.seed,
            question.path,
            truth.key,
            truth.wall.name,
            self.asked,
            question.body.as_ref().unwrap_or(&Value::Null),
            difference("", &found.1, &body),
            found.0,
            found.1,
        );
    }

    /// Ends the server as a crash would, and starts it again.
    pub(crate) fn crash(&mut self) {
        self.server.kill();
        self.server = self.launch.start_ready();
        self.client = self.server.client();
    }

    /// Gives a tenant another zone and another start of weeks.
    pub(crate) fn move_to_another_zone(&mut self) {
        let tenant = self.tenant();
        let name = ZONES.choose(&mut self.random).unwrap();
        let starts = [("monday", Weekday::Monday), ("sunday", Weekday::Sunday), ("saturday", Weekday::Saturday)];
        let (start, week_start) = *starts.choose(&mut self.random).unwrap();
        let settings = json!({"timezone": name, "week_start": start});
        let answer = self.send(tenant, "PATCH", "/v1/settings", Some(&settings));
        assert_eq!(answer.status, 200, "seed {}: {settings}: {}", self.seed, answer.text());
        self.truths[tenant].wall = Wall { week_start, ..Wall::of(name) };
        let told = self.send(tenant, "GET", "/v1/settings", None).json();
        assert_eq!((&told["timezone"], &told["week_start"]), (&json!(name), &json!(start)), "seed {}", self.seed);
    }

    /// Stops the server tidily.
    pub(crate) fn end(self) {
        self.server.stop();
        assert!(self.asked > 0 && self.data.path().exists());
    }
}

/// Makes a workspace, and a key of it that may do everything that a key may.
fn register(client: &mut Client, tenant: &str, key: &str) {
    let new_key = json!({"name": "for questions", "scopes": ["ingest", "read", "admin"], "key": key});
    for (path, body) in
        [("/v1/workspaces".to_owned(), json!({"id": tenant})), (format!("/v1/workspaces/{tenant}/keys"), new_key)]
    {
        let headers = [("content-type", "application/json")];
        let made = client.send("POST", &path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
    }
}

/// Where two answers differ first; numbers may differ in their last digits.
pub(crate) fn difference(place: &str, found: &Value, expected: &Value) -> Option<String> {
    let differ = || Some(format!("{place}: found {found}, expected {expected}"));
    match (found, expected) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64()?, right.as_f64()?);
            let close = (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.0);
            if close { None } else { differ() }
        }
        (Value::Array(left), Value::Array(right)) => {
            let mut pairs = left.iter().zip(right).enumerate();
            let inside = pairs.find_map(|(at, (left, right))| difference(&format!("{place}[{at}]"), left, right));
            inside.or_else(|| if left.len() == right.len() { None } else { differ() })
        }
        (Value::Object(left), Value::Object(right)) => {
            let null = Value::Null;
            let names = left.keys().chain(right.keys());
            let mut pairs = names.map(|name| (name, left.get(name).unwrap_or(&null), right.get(name).unwrap_or(&null)));
            let missing = left.len() != right.len();
            let inside = pairs.find_map(|(name, left, right)| difference(&format!("{place}.{name}"), left, right));
            inside.or_else(|| if missing { differ() } else { None })
        }
        _ if found == expected => None,
        _ => differ(),
    }
}

/// The status of the refusal of an answer that is longer than the API's limits allow (I6).
fn refused_for_size(path: &str, body: &Value) -> Option<u16> {
    const ROWS_MAX: usize = 3_660;
    const CELLS_MAX: usize = 200_000;
    const POINTS_MAX: usize = 10_000;
    let rows = |name: &str| body[name].as_array().map_or(0, Vec::len);
    let cells =
        || body["cohorts"].as_array().into_iter().flatten().map(|row| row["cells"].as_array().map_or(0, Vec::len));
    if path.contains("/analytics") {
        return (rows("data") > POINTS_MAX).then_some(422);
    }
    let is_long = rows("data") > ROWS_MAX || rows("cohorts") > ROWS_MAX || cells().sum::<usize>() > CELLS_MAX;
    (path.contains("/stats/") && is_long).then_some(400)
}
