//! `nilometer bench analytics`: generates months of realistic events with `nilometer seed`, then times
//! the questions of product and usage analytics on them, answer caches off. Also times `export` and
//! `import` of the same events as whole processes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use domain::time::{MICROS_PER_DAY, Timestamp};
use serde::Serialize;

use super::args::AnalyticsArgs;
use super::client::{Client, encoded};
use super::folder::Folder;
use super::latency::{Latencies, Percentiles};
use super::output::Output;
use super::process::{FileKind, run_own, seed};
use super::query::{self, RouteReport};
use super::server::Server;
use crate::http::connection::{Connection, PostRequest};
use clock::Stopwatch;

/// Days of events.
const DAYS: i64 = 60;
/// Requests before the measured ones, as a share of them.
const WARM_UP_SHARE: u32 = 10;
/// Answer caches hide what is measured here.
pub(super) const CACHES_OFF: [(&str, &str); 2] =
    [("NILOMETER_CACHE_SUMMARY_MS", "0"), ("NILOMETER_CACHE_SERIES_MS", "0")];

/// What the questions took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AnalyticsReport {
    /// Events asked about.
    events: u64,
    /// Question by question.
    pub(super) routes: Vec<RouteReport>,
    /// Grouping all events by one property with the structured query.
    pub(super) grouping: Percentiles,
}

impl fmt::Display for AnalyticsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asking about {} events over {DAYS} days", self.events)?;
        for RouteReport { name, latency, .. } in &self.routes {
            write!(f, "\n{name:<28} {latency}")?;
        }
        write!(f, "\n{:<28} {}", "query, by one property", self.grouping)
    }
}

/// What moving events in and out took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TransferReport {
    /// Rows of each file.
    rows: u64,
    /// Rows per second of `import`, of the whole process, per format.
    pub(super) import_per_s: Vec<(&'static str, u64)>,
    /// Rows per second of `export`, likewise.
    export_per_s: Vec<(&'static str, u64)>,
}

impl fmt::Display for TransferReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moving {} rows, whole processes", self.rows)?;
        for (direction, rates) in [("export", &self.export_per_s), ("import", &self.import_per_s)] {
            rates.iter().try_for_each(|(format, rate)| write!(f, "\n{direction} {format:<20} {rate} rows/s"))?;
        }
        Ok(())
    }
}

/// Runs the command.
pub(super) async fn run(args: AnalyticsArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let folder = Folder::open(args.data.clone())?;
    if let Some(events) = args.events {
        output.line(format_args!("{}\n", seed(folder.path(), events).await?))?;
    }
    let report = measure(folder.path(), args.requests).await?;
    output.result(&report, &report)
}

/// Times every question with `requests` requests on the events in `data`.
pub(super) async fn measure(data: &Path, requests: u32) -> anyhow::Result<AnalyticsReport> {
    let (server, _) = Server::start(data, &CACHES_OFF).await?;
    let events = Client::new(server.target()).customers().await?.iter().map(|customer| customer.calls).sum();
    let mut routes = Vec::new();
    for Question { name, paths } in questions_to(&server).await? {
        routes.push(query::time_route(&server, name, &paths, requests).await?);
    }
    let grouping = time_structured(&server, STRUCTURED[0].1, requests.div_ceil(20).max(10)).await?;
    server.stop().await?;
    Ok(AnalyticsReport { events, routes, grouping })
}

/// One question, and the requests that ask it.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// What is asked.
    pub(super) name: &'static str,
    /// Where.
    pub(super) paths: Vec<String>,
}

/// All questions, about the largest customer of `server`, a middle one, and its newest days.
pub(super) async fn questions_to(server: &Server) -> anyhow::Result<Vec<Question>> {
    let mut client = Client::new(server.target());
    let mut customers = client.customers().await?;
    customers.sort_by_key(|customer| customer.calls);
    let whale = &customers.last().context("the folder holds no customer; fill it with --events")?.id;
    let small = &customers[customers.len() / 2].id;
    let newest = client.newest_event().await?;
    let questions = questions(whale, small, newest).into_iter();
    Ok(questions.map(|(name, paths)| Question { name, paths }).collect())
}

fn questions(whale: &str, small: &str, newest: Timestamp) -> Vec<(&'static str, Vec<String>)> {
    let day = |back: i64| newest.plus_micros(-back * MICROS_PER_DAY).to_string()[..10].to_owned();
    let (today, week, month, first) = (day(0), day(6), day(29), day(DAYS + 7));
    let summary = |id: &str| {
        let from = newest.plus_micros(-7 * MICROS_PER_DAY);
        format!("/accounts/{}/summary?from={from}&to={newest}", encoded(id))
    };
    let series =
        |id: &str| format!("/v1/analytics?metric=tokens&interval=hour&customer={}&from={week}&to={today}", encoded(id));
    vec![
        ("dau, 30 days", vec![format!("/stats/dau?from={month}&to={today}")]),
        ("top events, 30 days", vec![format!("/stats/top-events?from={month}&to={today}")]),
        ("top events, all", vec!["/stats/top-events".to_owned()]),
        ("weekly retention, all", vec![format!("/stats/retention?period=weekly&from={first}&to={today}")]),
        ("summary 7 days, customer", vec![summary(small)]),
        ("summary 7 days, whale", vec![summary(whale)]),
        ("hourly series, customer", vec![series(small)]),
        ("hourly series, whale", vec![series(whale)]),
    ]
}

/// Structured queries over all events: by name, the document that is posted.
pub(super) const STRUCTURED: [(&str, &str); 3] = [
    ("query, count by property", r#"{"aggregations":[{"op":"count"}],"group_by":["properties.plan"]}"#),
    (
        "query, sums by type",
        r#"{"aggregations":[{"op":"sum","field":"tokens"},{"op":"avg","field":"latency_ms"},{"op":"max","field":"tokens"}],"group_by":["type"]}"#,
    ),
    (
        "query, sum of a property",
        r#"{"aggregations":[{"op":"sum","field":"properties.amount_cents"},{"op":"count","field":"properties.amount_cents"}]}"#,
    ),
];

/// Times a structured query.
pub(super) async fn time_structured(server: &Server, body: &str, requests: u32) -> anyhow::Result<Percentiles> {
    let mut request = PostRequest::new(server.target(), "/v1/query", "application/json");
    request.fill(|out| out.extend_from_slice(body.as_bytes()));
    let mut connection = Connection::new(Arc::clone(server.target()));
    let mut latencies = Latencies::new()?;
    for number in 0..requests + requests.div_ceil(WARM_UP_SHARE) {
        let watch = Stopwatch::start();
        let response = connection.exchange(request.bytes()).await?;
        let latency_us = watch.elapsed_us();
        ensure!(response.status == 200, "the query answered {}", response.status);
        if number >= requests.div_ceil(WARM_UP_SHARE) {
            latencies.record(latency_us);
        }
    }
    Ok(latencies.summary())
}

/// Exports the events in `data` to files in `scratch`, and imports each into an empty folder there.
pub(super) async fn transfer(data: &Path, scratch: &Path) -> anyhow::Result<TransferReport> {
    let (server, _) = Server::start(data, &[]).await?;
    let rows = Client::new(server.target()).customers().await?.iter().map(|customer| customer.calls).sum::<u64>();
    server.stop().await?;
    let mut report = TransferReport { rows, import_per_s: Vec::new(), export_per_s: Vec::new() };
    for kind in [FileKind::Csv, FileKind::Ndjson] {
        let scratch = Folder::temporary(scratch)?;
        let file = scratch.path().join(kind.file_name());
        let watch = Stopwatch::start();
        run_own(&["export", "--format", kind.name(), "--output"], &[&file], data).await?;
        report.export_per_s.push((kind.name(), per_second(rows, watch)));
        let empty = scratch.path().join("imported");
        let watch = Stopwatch::start();
        run_own(&["import"], &[&file], &empty).await?;
        report.import_per_s.push((kind.name(), per_second(rows, watch)));
    }
    Ok(report)
}

fn per_second(rows: u64, watch: Stopwatch) -> u64 {
    rows.saturating_mul(1_000_000) / watch.elapsed_us().max(1)
}
