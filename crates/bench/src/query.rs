//! `nilometer bench query`: times the reading routes one request at a time, on subjects found in
//! the server itself, so that it works on any data. Each route rotates through several subjects; no
//! single answer can be cached into a good number.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, ensure};
use domain::time::Timestamp;
use serde::Serialize;

use super::args::QueryArgs;
use super::check::Check;
use super::client::{Client, CustomerCalls, KnownEvent, encoded};
use super::ingest;
use super::latency::{Latencies, Percentiles};
use super::load::Load;
use super::output::Output;
use super::plan::IngestPlan;
use super::server::Server;
use super::workload::Mix;
use crate::http::connection::Connection;
use clock::Stopwatch;

/// Ordinary customers that are asked about.
const SMALL_CUSTOMERS: usize = 32;
/// Events of each that are asked about.
const EVENTS_EACH: u32 = 8;
/// Requests before the measured ones, as a share of them.
const WARM_UP_SHARE: u32 = 10;

/// Share of the whale in the load that fills a server.
const WHALE_SHARE: f64 = 0.5;
/// Days over which that load is spread.
const FILLED_DAYS: u32 = 7;
/// The name of the route that has a floor.
pub(super) const WINDOWS_OF_CUSTOMER: &str = "windows, customer and hour";

/// The load that fills a server for reading: one whale among a thousand customers, a week of it.
pub(super) const fn fill_plan(events: u64) -> IngestPlan {
    let mix = Mix { whale: Some(WHALE_SHARE), history_days: FILLED_DAYS, ..Mix::STANDARD };
    IngestPlan { events_max: Some(events), ..IngestPlan::of(mix, 100, 8) }
}

/// The latencies of one route.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RouteReport {
    /// What is asked.
    pub(super) name: &'static str,
    /// One of the requests.
    pub(super) example: String,
    /// How long answers took.
    pub(super) latency: Percentiles,
}

/// What the reading routes took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct QueryReport {
    /// Events per second offered meanwhile.
    under_load: Option<u64>,
    /// Route by route.
    pub(super) routes: Vec<RouteReport>,
    /// Stored against acknowledged, of the load offered meanwhile.
    pub(super) check: Option<Check>,
}

impl fmt::Display for QueryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.under_load {
            Some(rate) => write!(f, "reading while {rate} events/s are offered")?,
            None => write!(f, "reading")?,
        }
        for RouteReport { name, latency, .. } in &self.routes {
            write!(f, "\n{name:<28} {latency}")?;
        }
        self.check.iter().try_for_each(|check| write!(f, "\ncounts                       {check}"))
    }
}

/// Runs the command.
pub(super) async fn run(args: QueryArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let (_folder, server) = ingest::open(&args.server, output).await?;
    if let Some(events) = args.events {
        let filled = ingest::measure(&server, &fill_plan(events)).await?;
        output.line(format_args!("{filled}\n"))?;
        filled.check.ensure_exact()?;
    }
    let report = measure(&server, args.requests, args.under_load).await?;
    server.stop().await?;
    output.result(&report, &report)?;
    report.check.map_or(Ok(()), Check::ensure_exact)
}

/// Times every route with `requests` requests, while `under_load` events per second are offered.
pub(super) async fn measure(server: &Server, requests: u32, under_load: Option<u64>) -> anyhow::Result<QueryReport> {
    let questions = Subjects::find(server).await?.questions();
    let load = under_load.map(|rate| {
        let plan = IngestPlan { rate: Some(rate), ..IngestPlan::of(Mix::STANDARD, 100, 8) }.begin(server);
        (Arc::clone(&plan.workload), Load::start(plan))
    });
    let mut routes = Vec::new();
    for (name, paths) in questions {
        routes.push(time_route(server, name, &paths, requests).await?);
    }
    let mut check = None;
    if let Some((workload, load)) = load {
        let tally = load.stop().await?.tally;
        let mut client = Client::new(server.target());
        client.wait_applied(&tally.receipts).await?;
        check = Some(Check::compare(&workload, &tally.calls, &client.customers().await?));
    }
    Ok(QueryReport { under_load, routes, check })
}

/// Times one route.
pub(super) async fn time_route(
    server: &Server,
    name: &'static str,
    paths: &[String],
    requests: u32,
) -> anyhow::Result<RouteReport> {
    let mut connection = Connection::new(Arc::clone(server.target()));
    let latency = time(&mut connection, paths, requests).await.with_context(|| format!("failed to time {name}"))?;
    Ok(RouteReport { name, example: paths.first().cloned().unwrap_or_default(), latency })
}

async fn time(connection: &mut Connection, paths: &[String], requests: u32) -> anyhow::Result<Percentiles> {
    ensure!(!paths.is_empty(), "the server holds nothing to ask about");
    let warm_up = requests.div_ceil(WARM_UP_SHARE);
    let mut latencies = Latencies::new()?;
    for (number, path) in (0..warm_up + requests).zip(paths.iter().cycle()) {
        let watch = Stopwatch::start();
        let response = connection.get(path).await?;
        let latency_us = watch.elapsed_us();
        ensure!(response.status == 200, "{path} answered {}", response.status);
        if number >= warm_up {
            latencies.record(latency_us);
        }
    }
    Ok(latencies.summary())
}

/// The customers and events that questions are about.
#[derive(Debug)]
struct Subjects {
    whale: (String, Vec<KnownEvent>),
    small: Vec<(String, Vec<KnownEvent>)>,
}

impl Subjects {
    async fn find(server: &Server) -> anyhow::Result<Self> {
        let mut client = Client::new(server.target());
        let (whale, small) =
            choose(client.customers().await?).context("the server holds no customer; fill it with --events")?;
        let events = client.events_across(&whale, EVENTS_EACH).await?;
        let mut subjects = Self { whale: (whale, events), small: Vec::new() };
        for customer in small {
            let events = client.events_across(&customer, EVENTS_EACH).await?;
            subjects.small.push((customer, events));
        }
        Ok(subjects)
    }

    /// The requests of each route.
    fn questions(&self) -> Vec<(&'static str, Vec<String>)> {
        let whale = std::slice::from_ref(&self.whale);
        let known = self.small.iter().chain(whale).flat_map(|(_, events)| events);
        let usage = |id: &str| format!("/v1/customers/{id}/usage");
        let events = |id: &str| format!("/v1/events?customer={id}&limit=100");
        let event = |event: &KnownEvent| format!("/v1/events/{}", encoded(&event.id));
        vec![
            (WINDOWS_OF_CUSTOMER, windows(&self.small)),
            ("windows, whale and hour", windows(whale)),
            ("usage, customer", per_customer(&self.small, usage)),
            ("usage, whale", per_customer(whale, usage)),
            ("events, customer", per_customer(&self.small, events)),
            ("events, whale", per_customer(whale, events)),
            ("events, newest", vec!["/v1/events?limit=100".to_owned()]),
            ("event by id", known.map(event).collect()),
        ]
    }
}

/// The customer with the most events, and those from the middle of the order.
fn choose(mut customers: Vec<CustomerCalls>) -> Option<(String, Vec<String>)> {
    customers.sort_by_key(|customer| customer.calls);
    let whale = customers.last()?.id.clone();
    let skipped = (customers.len() / 2).saturating_sub(SMALL_CUSTOMERS / 2);
    let small = customers.into_iter().skip(skipped).take(SMALL_CUSTOMERS);
    Some((whale, small.map(|customer| customer.id).collect()))
}

fn per_customer(of: &[(String, Vec<KnownEvent>)], path: impl Fn(&str) -> String) -> Vec<String> {
    of.iter().map(|(id, _)| path(&encoded(id))).collect()
}

/// All windows of a customer in an hour in which it has some.
fn windows(of: &[(String, Vec<KnownEvent>)]) -> Vec<String> {
    let hours = of.iter().flat_map(|(id, events)| events.iter().map(move |event| (id, event.hour())));
    let path = |id: &str, from: Timestamp, to: Timestamp| {
        format!("/v1/windows?customer={}&from={from}&to={to}&limit=1000", encoded(id))
    };
    hours.map(|(id, (from, to))| path(id, from, to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whale_is_the_largest_customer_and_the_others_are_ordinary() {
        let customers = (0..101).map(|calls| CustomerCalls { id: format!("c{calls}"), calls }).collect();
        let found = choose(customers);
        let Some((whale, small)) = found else { unreachable!("there are customers") };
        assert_eq!(whale, "c100");
        assert_eq!(small.len(), SMALL_CUSTOMERS);
        assert!(small.contains(&"c50".to_owned()) && !small.contains(&"c0".to_owned()));
        assert_eq!(choose(Vec::new()), None);
    }

    #[test]
    fn a_lonely_customer_is_whale_and_ordinary_at_once() {
        let one = vec![CustomerCalls { id: "a".to_owned(), calls: 1 }];
        assert_eq!(choose(one), Some(("a".to_owned(), vec!["a".to_owned()])));
    }
}
