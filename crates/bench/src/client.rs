//! Asks the server the questions that a benchmark needs answered: is it ready, is a batch applied,
//! what has it counted, which events does it hold. Not for measuring.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use domain::time::{MICROS_PER_HOUR, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http::connection::{Connection, Target};
use clock::Stopwatch;

/// Pause between two requests for something awaited.
const POLL_PAUSE: Duration = Duration::from_millis(2);
/// Longest that accepted batches may take to be applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(300);

/// A customer, and how many events the server counted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CustomerCalls {
    /// The id of the customer.
    pub(super) id: String,
    /// How many events the server counted for the customer.
    pub(super) calls: u64,
}

/// An event the server holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownEvent {
    /// The id of the event.
    pub(super) id: String,
    /// The time of the event.
    pub(super) time: Timestamp,
}

impl KnownEvent {
    /// The first instants of the hour it happened in and of the next one.
    pub(super) fn hour(&self) -> (Timestamp, Timestamp) {
        let from = self.time.floor_to(MICROS_PER_HOUR);
        (from, from.plus_micros(MICROS_PER_HOUR))
    }
}

/// Asks over a connection of its own.
#[derive(Debug)]
pub(super) struct Client {
    connection: Connection,
}

impl Client {
    /// A client of `target`.
    pub(super) fn new(target: &Arc<Target>) -> Self {
        Self { connection: Connection::new(Arc::clone(target)) }
    }

    /// Returns when the server is ready, after at most `within`.
    pub(super) async fn wait_ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let since = Stopwatch::start();
        loop {
            let found = match self.connection.get("/readyz").await {
                Ok(response) if response.status == 200 => return Ok(()),
                Ok(response) => String::from_utf8_lossy(self.connection.body(&response)).into_owned(),
                Err(why) => format!("{why:#}"),
            };
            ensure!(since.elapsed() < within, "server is not ready after {} s: {found}", within.as_secs());
            sleep(POLL_PAUSE).await;
        }
    }

    /// Returns when the batches of all `receipts` are applied.
    pub(super) async fn wait_applied(&mut self, receipts: &[String]) -> anyhow::Result<()> {
        let since = Stopwatch::start();
        for receipt in receipts {
            let path = format!("/v1/receipts/{receipt}");
            loop {
                let answer = self.json(&path).await?;
                match text(&answer, "status")? {
                    "applied" => break,
                    "queued" => {}
                    other => bail!("batch {receipt} is {other}: {answer}"),
                }
                let within = APPLIED_WITHIN.as_secs();
                ensure!(since.elapsed() < APPLIED_WITHIN, "batch {receipt} is not applied after {within} s");
                sleep(POLL_PAUSE).await;
            }
        }
        Ok(())
    }

    /// All customers of the tenant with their counts.
    pub(super) async fn customers(&mut self) -> anyhow::Result<Vec<CustomerCalls>> {
        let mut customers = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.json(&format!("/v1/customers?limit=1000{cursor}")).await?;
            for row in rows(&page)? {
                let calls = row["totals"]["totalCalls"].as_u64().context("customer has no totals.totalCalls")?;
                customers.push(CustomerCalls { id: text(row, "id")?.to_owned(), calls });
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(customers),
            }
        }
    }

    /// About `count` events of a customer, evenly spread over the time from its first to its last.
    pub(super) async fn events_across(&mut self, customer: &str, count: u32) -> anyhow::Result<Vec<KnownEvent>> {
        let oldest = self.event(customer, "order=asc").await?.time;
        let newest = self.event(customer, "order=desc").await?.time;
        let step_us = (newest.micros() - oldest.micros()) / i64::from(count.max(1));
        let mut events = Vec::new();
        for step in 1..=i64::from(count) {
            let after = oldest.plus_micros(step_us * step + 1);
            events.push(self.event(customer, &format!("order=desc&to={after}")).await?);
        }
        Ok(events)
    }

    /// The time of the newest event of the tenant.
    pub(super) async fn newest_event(&mut self) -> anyhow::Result<Timestamp> {
        let page = self.json("/v1/events?limit=1").await?;
        let row = rows(&page)?.first().context("the server holds no event")?;
        Timestamp::parse(text(row, "time")?).context("event has an unreadable time")
    }

    /// Erases a customer, and returns how many events went when all is done.
    pub(super) async fn erase(&mut self, customer: &str) -> anyhow::Result<u64> {
        let body = json!({"kind": "customer", "id": customer}).to_string();
        let response = self.connection.post("/v1/erasures", &body).await?;
        let answer = String::from_utf8_lossy(self.connection.body(&response)).into_owned();
        ensure!(response.status == 202, "an erasure was answered {}: {answer}", response.status);
        let asked: Value = serde_json::from_str(&answer).context("an erasure was answered no JSON")?;
        let path = format!("/v1/erasures/{}", text(&asked, "id")?);
        let since = Stopwatch::start();
        loop {
            let report = self.json(&path).await?;
            if text(&report, "status")? == "done" {
                return report["gone"]["events"].as_u64().context("the report has no gone.events");
            }
            ensure!(since.elapsed() < APPLIED_WITHIN, "not erased after {} s: {report}", APPLIED_WITHIN.as_secs());
            sleep(POLL_PAUSE).await;
        }
    }

    /// The first event that a listing gives.
    async fn event(&mut self, customer: &str, which: &str) -> anyhow::Result<KnownEvent> {
        let page = self.json(&format!("/v1/events?customer={}&limit=1&{which}", encoded(customer))).await?;
        let row = rows(&page)?.first().with_context(|| format!("customer {customer} has no events"))?;
        let time = Timestamp::parse(text(row, "time")?).context("event has an unreadable time")?;
        Ok(KnownEvent { id: text(row, "event_id")?.to_owned(), time })
    }

    async fn json(&mut self, path: &str) -> anyhow::Result<Value> {
        let response = self.connection.get(path).await?;
        let body = self.connection.body(&response);
        ensure!(response.status == 200, "{path} answered {}: {}", response.status, String::from_utf8_lossy(body));
        serde_json::from_slice(body).with_context(|| format!("{path} answered no JSON"))
    }
}

/// An id as it stands in a path or a query (RFC 3986): everything but unreserved characters escaped.
pub(super) fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn rows(page: &Value) -> anyhow::Result<&Vec<Value>> {
    page["data"].as_array().context("listing has no data")
}

fn text<'v>(value: &'v Value, field: &str) -> anyhow::Result<&'v str> {
    value[field].as_str().with_context(|| format!("answer has no {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_where_a_url_needs_it() {
        assert_eq!(encoded("bench-0_1.~"), "bench-0_1.~");
        assert_eq!(encoded("a/b c&ü"), "a%2Fb%20c%26%C3%BC");
    }

    #[test]
    fn an_event_lies_in_its_hour() {
        let time = Timestamp::from_micros(1_767_225_600_000_000 + 5 * MICROS_PER_HOUR + 1);
        let (from, to) = KnownEvent { id: String::new(), time }.hour();
        assert_eq!((from.to_string(), to.to_string()), ("2026-01-01T05:00:00Z".into(), "2026-01-01T06:00:00Z".into()));
    }
}
