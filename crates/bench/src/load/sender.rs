//! One connection's sending: fill the request, send it until it is acknowledged, keep count.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use domain::time::Timestamp;

use super::plan::LoadPlan;
use super::tally::Tally;
use crate::http::connection::{Connection, PostRequest, Target};
use crate::http::delivery::{self, RETRY_TIMEOUT, RetryCounts, excerpt};
use crate::http::reader::{Response, find, find_last};
use crate::workload::EventWriter;

/// Where events are posted.
const PATH: &str = "/v1/events";
/// Streams begin so many keys apart, when requests present several in turns.
const KEYS_APART: usize = 1_009;

/// Sends the events of one stream.
#[derive(Debug)]
pub(super) struct Sender {
    target: Arc<Target>,
    /// Counts requests, for the turns of their keys.
    turn: usize,
    connection: Connection,
    request: PostRequest,
    writer: EventWriter,
    tally: Tally,
    receipt: String,
}

impl Sender {
    /// The sender of stream `stream`.
    pub(super) fn new(plan: &LoadPlan, stream: u16) -> anyhow::Result<Self> {
        Ok(Self {
            target: Arc::clone(&plan.target),
            turn: usize::from(stream) * KEYS_APART,
            connection: Connection::new(Arc::clone(&plan.target)),
            request: PostRequest::new(&plan.target, PATH, "application/json"),
            writer: EventWriter::new(Arc::clone(&plan.workload), stream),
            tally: Tally::new(plan.workload.customers().len())?,
            receipt: String::new(),
        })
    }

    /// Sends one request of `events` new events and returns when it is acknowledged.
    pub(super) async fn send(&mut self, events: u64, now: Timestamp) -> anyhow::Result<()> {
        if let Some(key) = self.target.key_of(self.turn) {
            self.request.present(key);
            self.turn += 1;
        }
        self.request.fill(|out| self.writer.write_body(out, events, now));
        let mut counts = RetryCounts::default();
        let response = delivery::deliver(&mut self.connection, self.request.bytes(), RETRY_TIMEOUT, &mut counts).await;
        self.tally.refused += counts.refused;
        self.tally.reconnects += counts.reconnects;
        let response = response?;
        if response.status / 100 != 2 {
            bail!("server answered {}: {}", response.status, excerpt(self.connection.body(&response)));
        }
        self.count(&response, events)
    }

    /// Gets `path`; returns the status.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<u16> {
        Ok(self.connection.get(path).await?.status)
    }

    /// The id of the last event sent, unless that was a repetition.
    pub(super) fn last_id(&self) -> Option<String> {
        self.writer.last_id()
    }

    /// Adds a latency from the due instant to the acknowledgement.
    pub(super) fn record_latency(&mut self, latency_us: u64) {
        self.tally.latencies.record(latency_us);
    }

    /// Adds a latency from the acknowledgement to visibility.
    pub(super) fn record_visible(&mut self, latency_us: u64) {
        self.tally.visible.record(latency_us);
    }

    /// What was sent.
    pub(super) fn into_tally(mut self) -> Tally {
        if !self.receipt.is_empty() {
            self.tally.receipts.push(self.receipt);
        }
        self.tally
    }

    fn count(&mut self, response: &Response, events: u64) -> anyhow::Result<()> {
        let body = self.connection.body(response);
        let verdicts = Verdicts::scan(body).context("failed to read the server's verdicts")?;
        let answered = verdicts.accepted + verdicts.duplicates + verdicts.rejected;
        ensure!(answered == events, "server gave {answered} verdicts on {events} events");
        ensure!(verdicts.rejected == 0, "server rejected {} valid events: {}", verdicts.rejected, excerpt(body));
        self.tally.requests += 1;
        self.tally.events += events;
        self.tally.accepted += verdicts.accepted;
        self.tally.duplicates += verdicts.duplicates;
        if let Some(receipt) = verdicts.receipt {
            receipt.clone_into(&mut self.receipt);
        }
        for customer in self.writer.fresh() {
            if let Some(calls) = usize::try_from(*customer).ok().and_then(|index| self.tally.calls.get_mut(index)) {
                *calls += 1;
            }
        }
        Ok(())
    }
}

/// The counts in an acknowledgement, found without parsing the verdict on every event.
#[derive(Debug, PartialEq, Eq)]
struct Verdicts<'b> {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    receipt: Option<&'b str>,
}

impl<'b> Verdicts<'b> {
    fn scan(body: &'b [u8]) -> Option<Self> {
        Some(Self {
            accepted: number(body, b"\"accepted\":")?,
            duplicates: number(body, b"\"duplicates\":")?,
            rejected: number(body, b"\"rejected\":")?,
            receipt: text(body, b"\"receipt\":\""),
        })
    }
}

fn number(body: &[u8], field: &[u8]) -> Option<u64> {
    let value = &body[find(body, field)? + field.len()..];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

fn text<'b>(body: &'b [u8], field: &[u8]) -> Option<&'b str> {
    let value = &body[find_last(body, field)? + field.len()..];
    let end = value.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&value[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_found_in_any_order_of_fields() {
        let expected = Some(Verdicts { accepted: 98, duplicates: 2, rejected: 0, receipt: Some("r-1") });
        for body in [
            r#"{"accepted":98,"duplicates":2,"rejected":0,"receipt":"r-1","results":[{"status":"accepted"}]}"#,
            r#"{"results":[{"event_id":"a","status":"duplicate"}],"receipt":"r-1","rejected":0,"duplicates":2,"accepted":98}"#,
        ] {
            assert_eq!(Verdicts::scan(body.as_bytes()), expected);
        }
    }

    #[test]
    fn an_answer_without_counts_is_no_acknowledgement() {
        assert_eq!(Verdicts::scan(br#"{"accepted":1,"duplicates":0}"#), None);
        assert_eq!(Verdicts::scan(br#"{"accepted":"x","duplicates":0,"rejected":0}"#), None);
    }

    #[test]
    fn a_batch_of_duplicates_has_no_receipt() {
        let found = Verdicts::scan(br#"{"accepted":0,"duplicates":1,"rejected":0,"receipt":null}"#);
        assert_eq!(found.map(|verdicts| verdicts.receipt), Some(None));
    }
}
