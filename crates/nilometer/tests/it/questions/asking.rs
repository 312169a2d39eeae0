//! A server with a few tenants, what they sent it, and questions to it.

use std::time::Duration;

use jiff::civil::Weekday;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::truth::Truth;
use super::twins::difference_of_twins;
#[cfg(feature = "cluster")]
use super::twins::parsed;
use super::wall::{Wall, ZONES, now};
use crate::faults::http::{Answer, Client};
use crate::faults::server::{Launch, Server};

/// How often twins are asked again that do not answer the same, and the time between.
const TWIN_TRIES: usize = 40;
const TWIN_PAUSE: Duration = Duration::from_millis(250);
/// The seed of a run with twins, if none is given.
const TWIN_SEED: u64 = 20_261_130;
/// The workspaces of a run.
pub(crate) const TENANTS: [&str; 3] = ["acme", "acm", "zeta"];

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
    asked_server: AskedServer,
    /// Another one, which is told and asked the same and has to answer the same.
    twin: Option<AskedServer>,
    asked: usize,
}

/// A server with its folder.
struct AskedServer {
    data: TempDir,
    launch: Launch,
    server: Server,
    client: Client,
}

impl AskedServer {
    /// Starts one with further settings.
    fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        // Many flushes and merges of little data.
        let launch = Launch::on(data.path()).restless().set("min_time", "0001-01-01").set("flush_rows", 150);
        let launch = settings.iter().fold(launch, |launch, (name, value)| launch.set(name, value));
        let server = launch.start_ready();
        let client = server.client();
        Self { data, launch, server, client }
    }

    fn send(&mut self, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
        let mut headers = vec![("content-type", "application/json"), ("cache-control", "no-cache")];
        headers.extend(key.map(|key| ("x-api-key", key)));
        let answer = self.client.send(method, path, &headers, body.as_bytes());
        answer.unwrap_or_else(|why| panic!("{method} {path}: {why}\n{}", self.server.log()))
    }

    fn crash(&mut self) {
        self.server.kill();
        self.server = self.launch.start_ready();
        self.client = self.server.client();
    }
}

impl Session {
    pub(crate) fn new() -> Self {
        Self::of(None)
    }

    /// With a twin that has these settings.
    #[cfg(feature = "cluster")]
    pub(crate) fn with_twin(settings: &[(&str, &str)]) -> Self {
        Self::of(Some(AskedServer::start(settings)))
    }

    fn of(twin: Option<AskedServer>) -> Self {
        let given = std::env::var("QUESTIONS_SEED").ok();
        let chosen = || if twin.is_some() { TWIN_SEED } else { rand::random() };
        let seed = given.map_or_else(chosen, |text| text.parse().unwrap());
        let truths: Vec<Truth> =
            TENANTS.iter().map(|tenant| Truth::new(format!("key-of-{tenant}-for-questions"))).collect();
        let (random, asked_server) = (StdRng::seed_from_u64(seed), AskedServer::start(&[]));
        let mut session = Self { seed, random, truths, asked_server, twin, asked: 0 };
        for (at, tenant) in TENANTS.iter().enumerate() {
            session.register(at, tenant);
        }
        session
    }

    /// Makes a workspace, and a key of it that may do everything that a key may.
    fn register(&mut self, at: usize, tenant: &str) {
        let key = self.truths[at].key.clone();
        let new_key = json!({"name": "for questions", "scopes": ["ingest", "read", "admin"], "key": key});
        for (path, body) in
            [("/v1/workspaces".to_owned(), json!({"id": tenant})), (format!("/v1/workspaces/{tenant}/keys"), new_key)]
        {
            let made = self.send_as(None, "POST", &path, &body.to_string());
            assert_eq!(made.status, 201, "{}", made.text());
        }
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
        self.send_as(Some(tenant), method, path, &body.map(Value::to_string).unwrap_or_default())
    }

    /// Sends a request of a tenant, or of the operator, to all servers, which have to answer the same.
    pub(crate) fn send_as(&mut self, tenant: Option<usize>, method: &str, path: &str, body: &str) -> Answer {
        self.asked += 1;
        let key = tenant.map(|tenant| self.truths[tenant].key.as_str());
        let mut tries = 0;
        loop {
            let answer = self.asked_server.send(method, path, key, body);
            let Some(twin) = &mut self.twin else { return answer };
            let other = twin.send(method, path, key, body);
            let Some(difference) = difference_of_twins(path, &answer, &other) else { return answer };
            // What depends on the present time may differ for a moment.
            let is_question = method == "GET" || path == "/v1/query";
            if !is_question || tries == TWIN_TRIES {
                panic!(
                    "seed {}, request {}: {method} {path} {body}: {difference}\nfound    {}\nof twin  {}\n{}",
                    self.seed,
                    self.asked,
                    answer.text(),
                    other.text(),
                    twin.server.log()
                );
            }
            tries += 1;
            std::thread::sleep(TWIN_PAUSE);
        }
    }

    /// Asks for all pages of a listing, each server for its own.
    #[cfg(feature = "cluster")]
    pub(crate) fn pages(&mut self, tenant: Option<usize>, path: &str) {
        let key = tenant.map(|tenant| self.truths[tenant].key.as_str());
        let mut cursors = [const { String::new() }; 2];
        loop {
            let twin = self.twin.as_mut().unwrap();
            let answers = [
                self.asked_server.send("GET", &format!("{path}{}", cursors[0]), key, ""),
                twin.send("GET", &format!("{path}{}", cursors[1]), key, ""),
            ];
            self.asked += 1;
            let difference = difference_of_twins(path, &answers[0], &answers[1]);
            let texts = answers.each_ref().map(Answer::text);
            assert_eq!(
                difference, None,
                "seed {}: {path}{cursors:?}\nfound    {}\nof twin  {}",
                self.seed, texts[0], texts[1]
            );
            let next = answers.map(|answer| parsed(answer.text())["next_cursor"].as_str().map(str::to_owned));
            let [Some(next), Some(next_of_twin)] = next else { return };
            cursors = [next, next_of_twin].map(|cursor| format!("&cursor={cursor}"));
        }
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
        self.asked_server.crash();
        if let Some(twin) = &mut self.twin {
            twin.crash();
        }
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
        for server in std::iter::once(self.asked_server).chain(self.twin) {
            server.server.stop();
            assert!(server.data.path().exists());
        }
        assert!(self.asked > 0);
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
