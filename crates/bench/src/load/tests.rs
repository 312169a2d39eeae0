//! The count that a load reports is the count that a server holds, whatever the server does to it.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::time::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::http::connection::Target;
use crate::schedule::{Pace, Schedule};
use crate::workload::{Mix, Workload};

/// What the server does with a request to store events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Stores and acknowledges.
    Store,
    /// Stores and closes the connection without an answer.
    StoreAndHangUp,
    /// Stores nothing and asks to try again.
    Refuse,
}

/// A server in memory: exact deduplication, and misbehaviour on demand.
#[derive(Debug, Default)]
struct Twin {
    customers: Mutex<HashMap<String, String>>,
    requests: AtomicU64,
    looks: AtomicU64,
}

impl Twin {
    async fn start(act: fn(u64) -> Act) -> (Arc<Self>, Arc<Target>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let twin = Arc::new(Self::default());
        let its = Arc::clone(&twin);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&its).serve(stream, act));
            }
        });
        (twin, Arc::new(Target::resolve(&url, None).await.unwrap()))
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream, act: fn(u64) -> Act) {
        while let Some((head, body)) = receive(&mut stream).await {
            let answer = if head.starts_with("GET") {
                // An event is visible at every third look.
                let status =
                    if self.looks.fetch_add(1, Ordering::Relaxed) % 3 == 2 { "200 OK" } else { "404 Not Found" };
                format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}")
            } else {
                match act(self.requests.fetch_add(1, Ordering::Relaxed)) {
                    Act::Refuse => "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nbusy".to_owned(),
                    Act::Store => self.store(&body),
                    Act::StoreAndHangUp => {
                        self.store(&body);
                        return;
                    }
                }
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn store(&self, body: &[u8]) -> String {
        let events = match serde_json::from_slice(body).unwrap() {
            Value::Array(events) => events,
            single => vec![single],
        };
        let mut customers = self.customers.lock().unwrap();
        let before = customers.len();
        for event in &events {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            customers.insert(text("eventId"), text("customerId"));
        }
        let accepted = customers.len() - before;
        let duplicates = events.len() - accepted;
        let body = format!(r#"{{"accepted":{accepted},"duplicates":{duplicates},"rejected":0,"receipt":"r"}}"#);
        format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for customer in self.customers.lock().unwrap().values() {
            *calls.entry(customer.clone()).or_default() += 1;
        }
        calls
    }
}

async fn receive(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes.split_off(end + 4)));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn plan(target: Arc<Target>, schedule: Schedule) -> LoadPlan {
    let mix = Mix {
        customers: 7,
        whale: Some(0.5),
        users: 9,
        endpoints: 5,
        models: 2,
        history_days: 1,
        duplicates: 0.2,
        personal: false,
        seed: 3,
    };
    let now = Timestamp::from_micros(1_767_225_600_000_000);
    let workload = Arc::new(Workload::new(5, mix, now));
    LoadPlan { target, workload, connections: 3, schedule, now, visibility: false }
}

fn reported(plan: &LoadPlan, tally: &Tally) -> BTreeMap<String, u64> {
    let calls = plan.workload.customers().iter().cloned().zip(tally.calls.iter().copied());
    calls.filter(|(_, calls)| *calls > 0).collect()
}

fn by_events(events: u64, batch: u64) -> Schedule {
    Schedule { batch, events_max: Some(events), duration_max: None, pace: None }
}

#[tokio::test]
async fn refused_and_lost_requests_are_counted_exactly_once() {
    let (twin, target) = Twin::start(|number| match number % 10 {
        3 => Act::Refuse,
        7 => Act::StoreAndHangUp,
        _ => Act::Store,
    })
    .await;
    let plan = plan(target, by_events(1_003, 20));
    let tally = Load::start(plan.clone()).finish().await.unwrap().tally;
    assert_eq!((tally.events, tally.requests), (1_003, 51));
    assert!(tally.refused > 0 && tally.reconnects > 0, "{tally:?}");
    assert_eq!(reported(&plan, &tally), twin.calls());
    assert_eq!(tally.latencies.summary().count, 51);
    assert_eq!(tally.receipts, ["r", "r", "r"]);
}

#[tokio::test]
async fn an_open_loop_sends_every_request_of_its_schedule() {
    let (twin, target) = Twin::start(|_| Act::Store).await;
    let pace = Some(Pace::new(2_000, 4));
    let duration_max = Some(Duration::from_millis(200));
    let plan = plan(target, Schedule { batch: 4, events_max: None, duration_max, pace });
    let tally = Load::start(plan.clone()).finish().await.unwrap().tally;
    assert_eq!((tally.requests, tally.events), (100, 400));
    assert_eq!(reported(&plan, &tally), twin.calls());
}

#[tokio::test]
async fn a_run_without_end_ends_when_it_is_stopped() {
    for pace in [None, Some(Pace::new(5_000, 2))] {
        let (twin, target) = Twin::start(|_| Act::Store).await;
        let plan = plan(target, Schedule { batch: 2, events_max: None, duration_max: None, pace });
        let load = Load::start(plan.clone());
        while twin.requests.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        let tally = load.stop().await.unwrap().tally;
        assert_eq!(reported(&plan, &tally), twin.calls());
    }
}

#[tokio::test]
async fn sampled_events_are_part_of_the_count() {
    let (twin, target) = Twin::start(|_| Act::Store).await;
    let plan = LoadPlan { visibility: true, ..plan(target, by_events(200, 10)) };
    let tally = Load::start(plan.clone()).finish().await.unwrap().tally;
    let samples = tally.visible.summary().count;
    assert!(samples > 0);
    assert!(tally.events >= 200 + samples);
    assert_eq!(reported(&plan, &tally), twin.calls());
}

#[tokio::test]
async fn an_answer_that_is_no_acknowledgement_ends_the_run_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while receive(&mut stream).await.is_some() {
                let answer = b"HTTP/1.1 422 No\r\ncontent-length: 9\r\n\r\nbad event";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    let target = Arc::new(Target::resolve(&url, None).await.unwrap());
    let why = Load::start(plan(target, by_events(10, 5))).finish().await.unwrap_err().to_string();
    assert!(why.contains("422") && why.contains("bad event"), "{why}");
}
