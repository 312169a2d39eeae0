//! Compares what a server stores with what its clients know:
//! I1 everything acknowledged is stored; I2 nothing is stored twice; I3 windows, totals and raw
//! events tell the same; I4 nothing is stored that was never sent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::client_log::{ClientLog, Fate, usage};
use super::http::Client;
use super::server::Server;
use crate::harness::{run, stderr, stdout};

/// The numbers of a run.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: usize,
    pub(crate) stored: usize,
    lost: usize,
    doubled: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, stored, lost, doubled } = self;
        write!(f, "acknowledged {acknowledged}, stored {stored}, lost {lost}, doubled {doubled}")
    }
}

/// Calls and tokens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    calls: u64,
    tokens: u64,
}

impl Sum {
    fn add(&mut self, calls: u64, tokens: u64) {
        self.calls += calls;
        self.tokens += tokens;
    }

    fn of(aggregations: &Value) -> Self {
        Self {
            calls: aggregations["totalCalls"].as_u64().unwrap(),
            tokens: aggregations["totalTokens"].as_u64().unwrap(),
        }
    }
}

/// Sums by customer; events without one are under the empty name.
type Sums = BTreeMap<String, Sum>;

/// Reads everything back from a ready server, then stops it and has `nilometer verify` recompute
/// everything. Panics, with the seed, when an invariant does not hold.
pub(crate) fn check(server: &Server, data: &Path, log: &ClientLog) -> Verdict {
    let verdict = check_running(server, log);
    server.stop();
    let message = verify(data);
    assert!(message.contains(&format!("verified {} events: ", verdict.stored)), "I3: {message}");
    verdict
}

/// Checks a server that stays.
pub(crate) fn check_running(server: &Server, log: &ClientLog) -> Verdict {
    let seed = log.seed();
    let mut client = server.client();
    server.wait_drained();
    let stored = stored_ids(&mut client);
    let known = log.by_id();
    let mut verdict = Verdict { stored: stored.len(), ..Verdict::default() };
    let mut lost = Vec::new();
    for (id, (_, fate)) in &known {
        if *fate == Fate::Acknowledged {
            verdict.acknowledged += 1;
            if !stored.contains_key(id) {
                lost.push(id);
            }
        }
    }
    verdict.lost = lost.len();
    let doubled: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).collect();
    verdict.doubled = doubled.len();
    let phantoms: Vec<_> = stored.keys().filter(|id| !known.contains_key(*id)).collect();
    let trouble = format!("{verdict}; seed {seed}; log of the server:\n{}", server.log());
    assert!(lost.is_empty(), "I1: {lost:.20?}: {trouble}");
    assert!(doubled.is_empty(), "I2: {doubled:.20?}: {trouble}");
    assert!(phantoms.is_empty(), "I4: {phantoms:.20?}: {trouble}");

    let mut expected = sums_of(stored.keys().map(|id| known[id].0));
    assert_eq!(windows(&mut client), expected, "I3: sums of windows against events; {trouble}");
    // Events without a customer belong to no customer.
    expected.remove("");
    assert_eq!(totals(&mut client), expected, "I3: totals of customers against events; {trouble}");
    verdict
}

/// Checks a server whose raw events may be gone: everything that was sent must be in the sums.
pub(crate) fn check_sums(server: &Server, log: &ClientLog) {
    let mut client = server.client();
    server.wait_drained();
    let mut expected = sums_of(log.by_id().values().map(|(number, _)| *number));
    assert_eq!(windows(&mut client), expected, "I1, I2: sums of windows; seed {}:\n{}", log.seed(), server.log());
    expected.remove("");
    assert_eq!(totals(&mut client), expected, "I1, I2: totals of customers; seed {}:\n{}", log.seed(), server.log());
}

/// Has a stopped folder recomputed, where there must be no difference; returns what is printed.
pub(crate) fn verify(data: &Path) -> String {
    let output = run(&["verify", "--data", data.to_str().unwrap()]);
    let message = stdout(&output).to_owned();
    assert_eq!(output.status.code(), Some(0), "I3: {message}{}", stderr(&output));
    assert!(message.ends_with(" 0 differences\n"), "I3: {message}");
    message
}

fn sums_of(numbers: impl Iterator<Item = u64>) -> Sums {
    let mut sums = Sums::new();
    for number in numbers {
        let usage = usage(number);
        sums.entry(usage.customer.unwrap_or_default()).or_default().add(1, usage.tokens);
    }
    sums
}

/// How often each id is stored.
pub(crate) fn stored_ids(client: &mut Client) -> BTreeMap<String, u32> {
    let mut ids = BTreeMap::new();
    for_each_row(client, "/v1/events?limit=1000", |event| {
        *ids.entry(event["event_id"].as_str().unwrap().to_owned()).or_default() += 1;
    });
    ids
}

fn totals(client: &mut Client) -> Sums {
    let mut sums = Sums::new();
    for_each_row(client, "/v1/customers?limit=1000", |customer| {
        sums.insert(customer["id"].as_str().unwrap().to_owned(), Sum::of(&customer["totals"]));
    });
    sums
}

fn windows(client: &mut Client) -> Sums {
    let mut sums = Sums::new();
    for_each_row(client, "/v1/windows?limit=1000", |window| {
        let Sum { calls, tokens } = Sum::of(&window["aggregations"]);
        let customer = window["customerId"].as_str().unwrap_or_default().to_owned();
        sums.entry(customer).or_default().add(calls, tokens);
    });
    sums
}

/// Reads a listing page by page.
pub(crate) fn for_each_row(client: &mut Client, path: &str, mut row: impl FnMut(&Value)) {
    let mut cursor = String::new();
    loop {
        let answer = client.get(&format!("{path}{cursor}")).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let page = answer.json();
        page["data"].as_array().unwrap().iter().for_each(&mut row);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}
