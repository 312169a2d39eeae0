//! A hard quota under eight clients that send the same ids again and again, while the server is killed: never more is
//! counted than the quota allows, and in the end exactly that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use serde_json::{Value, json};

use super::checker::{stored_ids, verify};
use super::http::Client;
use super::say;
use super::seed::Seed;
use super::server::Launch;

/// Clients at once.
const CLIENTS: u64 = 8;
/// Kills in one run.
const KILLS: u32 = 12;
/// Events that the workspace may send in a month.
const LIMIT: usize = 3_000;
/// Events that one customer may send in a month.
const LIMIT_OF_CUSTOMER: usize = 700;
/// Ids that clients draw from: more than the quota lets in, and few enough for many repetitions.
const IDS: u32 = 5_000;
/// Longest life of a server after it listens.
const LIFE_MS_MAX: u64 = 400;
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Every fourth event is of the customer with a quota of its own.
fn event(number: u32) -> Value {
    let customer = if number.is_multiple_of(4) { "limited" } else { "free" };
    json!({"id": format!("q{number}"), "customer": customer})
}

fn set(client: &mut Client, quota: &Value) {
    let json = [("content-type", "application/json")];
    let answer = client.send("PUT", "/v1/workspaces/default/quotas", &json, quota.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What is used of the quotas: of the workspace, and of the customer.
fn used(client: &mut Client) -> (u64, u64) {
    let quotas = client.get("/v1/quotas").unwrap().json();
    let of = |customer: Value| {
        let mut mine = quotas["data"].as_array().unwrap().iter().filter(|quota| quota["customer"] == customer);
        mine.next().unwrap()["used"].as_u64().unwrap()
    };
    (of(Value::Null), of(json!("limited")))
}

#[test]
fn i1_i2_a_hard_quota_is_exact_over_retries_and_kills() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let server = launch.start_ready();
    let mut client = server.client();
    set(&mut client, &json!({"measure": "events", "period": "month", "limit": LIMIT}));
    let of_customer =
        json!({"customer": "limited", "measure": "events", "period": "month", "limit": LIMIT_OF_CUSTOMER});
    set(&mut client, &of_customer);
    server.kill();

    let (ended, aim) = (AtomicBool::new(false), Mutex::new(None));
    let acknowledged = Mutex::new(BTreeSet::new());
    let run = |part: u64| send_until_ended(seed, part, &ended, &aim, &acknowledged);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=CLIENTS).map(|part| scope.spawn(move || run(part))).collect();
        let mut random = seed.random(0);
        for _ in 0..KILLS {
            let server = launch.spawn();
            *aim.lock() = Some(server.address());
            std::thread::sleep(Duration::from_millis(random.random_range(50..LIFE_MS_MAX)));
            assert!(!server.has_ended(), "it ended by itself; seed {seed}:\n{}", server.log());
            server.kill();
            *aim.lock() = None;
        }
        ended.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });

    let server = launch.start_ready();
    let mut client = server.client();
    let stored = stored_ids(&mut client);
    let is_of_customer = |id: &&String| id[1..].parse::<u32>().unwrap().is_multiple_of(4);
    let (all, of_customer) = (stored.len(), stored.keys().filter(is_of_customer).count());
    assert!(stored.values().all(|times| *times == 1) && all <= LIMIT && of_customer <= LIMIT_OF_CUSTOMER, "{all}");
    assert_eq!(used(&mut client), (all as u64, of_customer as u64), "seed {seed}");
    let lost: Vec<_> = acknowledged.lock().iter().filter(|id| !stored.contains_key(*id)).cloned().collect();
    assert!(lost.is_empty(), "I1, seed {seed}: {lost:?}");
    say(&format!("{KILLS} kills, {all} events of {LIMIT}, of the customer {of_customer} of {LIMIT_OF_CUSTOMER}"));

    fill_up(&mut client, seed, all, of_customer);
    server.stop();
    verify(data.path());
}

/// Sends events until it has ended; what was sent without an answer is sent again.
fn send_until_ended(
    seed: Seed,
    part: u64,
    ended: &AtomicBool,
    aim: &Mutex<Option<SocketAddr>>,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    let mut random = seed.random(part);
    let mut unanswered: Option<Vec<u32>> = None;
    while !ended.load(Ordering::Relaxed) {
        let Some(address) = *aim.lock() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let mut client = Client::impatient(address, SILENCE_MAX);
        let numbers = unanswered.take().unwrap_or_else(|| {
            let count = random.random_range(1..=20);
            (0..count).map(|_| random.random_range(0..IDS)).collect()
        });
        let known = acknowledged.lock().clone();
        let body = Value::from(numbers.iter().map(|number| event(*number)).collect::<Vec<_>>()).to_string();
        match client.post("/v1/events", &body) {
            Ok(answer) if matches!(answer.status, 202 | 422) => {
                for result in answer.json()["results"].as_array().unwrap() {
                    match result["status"].as_str().unwrap() {
                        "accepted" | "duplicate" => {
                            acknowledged.lock().insert(result["event_id"].as_str().unwrap().to_owned());
                        }
                        _ => {
                            assert_eq!(result["code"], "quota_exceeded", "seed {seed}: {result}");
                            let id = result["event_id"].as_str().unwrap();
                            assert!(!known.contains(id), "seed {seed}: {id} counts and is told to be refused");
                        }
                    }
                }
            }
            Ok(answer) => assert!(matches!(answer.status, 503), "seed {seed}: {}", answer.text()),
            Err(_) => unanswered = Some(numbers),
        }
    }
}

/// All is left that was not used: new events pass one by one until it is full, and none after that.
fn fill_up(client: &mut Client, seed: Seed, all: usize, of_customer: usize) {
    let send = |client: &mut Client, first: u32, count: usize, customer: &str| {
        let event = |number: u32| json!({"id": format!("n{number}"), "customer": customer});
        let events: Vec<_> = (first..).take(count).map(event).collect();
        let answer = client.post("/v1/events?wait=applied", &Value::from(events).to_string()).unwrap();
        answer.json()["accepted"].as_u64().unwrap_or(0)
    };
    let (left, left_of_customer) = (LIMIT - all, LIMIT_OF_CUSTOMER - of_customer);
    let passed = send(client, 0, left_of_customer + 5, "limited");
    assert_eq!(passed, left_of_customer.min(left) as u64, "seed {seed}: of the customer");
    let passed_of_others = send(client, 10_000, left + 5, "free");
    assert_eq!(passed + passed_of_others, left as u64, "seed {seed}: of the workspace");
    assert_eq!(send(client, 20_000, 3, "free"), 0);
    assert_eq!(used(client).0, LIMIT as u64);
}
