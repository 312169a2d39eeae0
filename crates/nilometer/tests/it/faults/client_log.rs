//! What the clients know: the oracle. Every event is noted before it is sent and again when it is
//! acknowledged; what was sent and not acknowledged has an unknown outcome and may be either.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;

use super::http::Client;
use super::seed::Seed;

/// 2023-11-14T22:13:20Z, when the first event happened.
const EPOCH_SEC: u64 = 1_700_000_000;
/// Customers; events of the first one name none.
const CUSTOMERS: u64 = 7;

/// Everything that was ever sent.
#[derive(Debug)]
pub(crate) struct ClientLog {
    seed: Seed,
    next: AtomicU64,
    fates: Mutex<BTreeMap<u64, Fate>>,
}

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent, perhaps more than once, and never acknowledged.
    Unknown,
    /// The server said that it is durable.
    Acknowledged,
}

impl ClientLog {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed, next: AtomicU64::new(0), fates: Mutex::default() }
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// Numbers of events for one batch: mostly new ones, some that have to be sent again, some that
    /// need not be. They are noted as sent.
    pub(crate) fn batch(&self, random: &mut StdRng, count: usize) -> Vec<u64> {
        let mut fates = self.fates.lock();
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let behind = self.next.load(Ordering::Relaxed);
            let number = match random.random_range(0..100) {
                0..15 => unknown_from(&fates, random.random_range(0..=behind)),
                15..25 if behind > 0 => Some(random.random_range(0..behind)),
                _ => None,
            };
            let number = number.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            fates.entry(number).or_insert(Fate::Unknown);
            numbers.push(number);
        }
        numbers
    }

    /// Numbers of new events, noted as sent.
    pub(crate) fn fresh(&self, count: u64) -> Vec<u64> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let numbers: Vec<_> = (first..first + count).collect();
        self.fates.lock().extend(numbers.iter().map(|number| (*number, Fate::Unknown)));
        numbers
    }

    /// Everything that has to be sent again.
    pub(crate) fn unknown(&self) -> Vec<u64> {
        let fates = self.fates.lock();
        fates.iter().filter(|(_, fate)| **fate == Fate::Unknown).map(|(number, _)| *number).collect()
    }

    pub(crate) fn acknowledge(&self, numbers: &[u64]) {
        self.fates.lock().extend(numbers.iter().map(|number| (*number, Fate::Acknowledged)));
    }

    /// Everything, by the id under which it was sent.
    pub(crate) fn by_id(&self) -> BTreeMap<String, (u64, Fate)> {
        self.fates.lock().iter().map(|(number, fate)| (self.id(*number), (*number, *fate))).collect()
    }

    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.seed)
    }

    /// The event with this number, the same whenever it is sent.
    pub(crate) fn event(&self, number: u64) -> String {
        let (id, usage) = (self.id(number), usage(number));
        let mut event = format!(r#"{{"id":"{id}","type":"t{}","endpoint":"/e{}""#, number % 3, number % 5);
        if let Some(customer) = &usage.customer {
            write!(event, r#","customer":"{customer}""#).unwrap();
        }
        if let Some(time_sec) = time_sec(number) {
            write!(event, r#","time":{time_sec}"#).unwrap();
        }
        let Usage { tokens, latency_ms, .. } = usage;
        let properties = format!(r#"{{"tokens":{tokens},"latencyMs":{latency_ms},"model":"m{}"}}"#, number % 2);
        event + r#","properties":"# + &properties + "}"
    }

    /// A request body of these events.
    pub(crate) fn body(&self, numbers: &[u64]) -> String {
        let events: Vec<_> = numbers.iter().map(|number| self.event(*number)).collect();
        format!("[{}]", events.join(","))
    }

    /// Sends new events one by one, each of which must be acknowledged: one record and one sync each.
    pub(crate) fn send_singly(&self, client: &mut Client, count: u64) {
        self.fresh(count).chunks(1).for_each(|numbers| self.send(client, numbers));
    }

    /// Sends everything again that is not acknowledged, as clients would.
    pub(crate) fn send_unknown(&self, client: &mut Client) {
        self.unknown().chunks(500).for_each(|numbers| self.send(client, numbers));
    }

    /// Sends a batch, which must be acknowledged and applied.
    pub(crate) fn send(&self, client: &mut Client, numbers: &[u64]) {
        let answer = client.post("/v1/events?wait=applied", &self.body(numbers)).unwrap();
        assert_eq!(answer.status, 202, "seed {}: {}", self.seed, answer.text());
        self.note(numbers, &answer.json()).unwrap();
    }

    /// Notes what an answer to a batch says; complains when it is not an honest one.
    pub(crate) fn note(&self, numbers: &[u64], answer: &Value) -> Result<(), String> {
        let results = answer["results"].as_array().ok_or_else(|| format!("no results in {answer}"))?;
        let ids: Vec<_> = results.iter().map(|result| result["event_id"].as_str().unwrap_or_default()).collect();
        if ids != numbers.iter().map(|number| self.id(*number)).collect::<Vec<_>>() {
            return Err(format!("verdicts on other events than were sent: {answer}"));
        }
        let taken = |result: &Value| {
            result["status"] == "accepted" || result["status"] == "duplicate" && result.get("code").is_none()
        };
        match results.iter().find(|result| !taken(result)) {
            Some(other) => Err(format!("a good event, sent alike each time, got {other}")),
            None => {
                self.acknowledge(numbers);
                Ok(())
            }
        }
    }
}

/// What an event counts for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usage {
    pub(crate) customer: Option<String>,
    pub(crate) tokens: u64,
    pub(crate) latency_ms: u64,
}

/// What the event with this number counts for.
pub(crate) fn usage(number: u64) -> Usage {
    let customer = number % CUSTOMERS;
    Usage { customer: (customer > 0).then(|| format!("c{customer}")), tokens: number % 1_000, latency_ms: number % 50 }
}

/// When the event with this number happened, unless it leaves that to the server.
fn time_sec(number: u64) -> Option<u64> {
    (!number.is_multiple_of(11)).then(|| EPOCH_SEC + number * 7 % 86_400)
}

fn unknown_from(fates: &BTreeMap<u64, Fate>, from: u64) -> Option<u64> {
    fates.range(from..).take(200).find(|(_, fate)| **fate == Fate::Unknown).map(|(number, _)| *number)
}
