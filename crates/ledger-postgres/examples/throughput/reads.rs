//! How long each question about one tenant takes, one after the other, straight through the ports: without a cache, and
//! without HTTP.

use std::time::{Duration, Instant};

use domain::calendar::{Calendar, Interval, Zone};
use domain::query::{UncheckedAggregation, UncheckedQuery};
use domain::series::{Facet, Metric, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, TimeRange, Timestamp};
use ledger_postgres::PostgresLedger;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use ports::queries::Queries;
use ports::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};

use crate::Outcome;

/// One tenant that is asked about.
pub(crate) struct Asker<'l> {
    pub(crate) ledger: &'l PostgresLedger,
    pub(crate) scope: TenantScope,
    pub(crate) now: Timestamp,
    /// How many customers it has.
    pub(crate) customers: u64,
}

/// What is asked.
const QUESTIONS: [&str; 10] = [
    "active users, 30 days",
    "top events, 30 days",
    "top events, all",
    "weekly retention",
    "account summary, 7 days",
    "hourly series of a customer, 7 days",
    "windows of a customer and hour",
    "newest 100 of the tenant",
    "newest 100 of a customer",
    "query, count by a property",
];

impl Asker<'_> {
    /// Asks everything so many times and tells how long that took.
    pub(crate) async fn ask_all(&self, requests: u64) -> Outcome<()> {
        for question in QUESTIONS {
            let requests = if question.starts_with("query") { requests.div_ceil(20) } else { requests };
            let mut took = Vec::new();
            for request in 0..requests + requests.div_ceil(10) {
                let begun = Instant::now();
                self.ask(question, request).await?;
                if request >= requests.div_ceil(10) {
                    took.push(begun.elapsed());
                }
            }
            took.sort_unstable();
            let at = |share: usize| took.get((took.len() * share / 100).min(took.len() - 1)).copied();
            let (half, most): (Duration, Duration) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
            println!("{question:<36} p50 {half:>8.1?}  p99 {most:>8.1?}");
        }
        Ok(())
    }

    async fn ask(&self, question: &str, request: u64) -> Outcome<()> {
        let Self { ledger, scope, now, .. } = self;
        let customer = format!("customer-{}", request.wrapping_mul(7_919) % self.customers);
        let days = |days: i64| self.since(days * MICROS_PER_DAY);
        match question {
            "active users, 30 days" => drop(ledger.active_users(scope, &users(self.whole_days(30)?)).await?),
            "weekly retention" => drop(ledger.active_users(scope, &users(self.whole_days(63)?)).await?),
            "top events, 30 days" => drop(ledger.top_types(scope, days(30)?, None, 10).await?),
            "top events, all" => drop(ledger.top_types(scope, TimeRange::ALL, None, 10).await?),
            "account summary, 7 days" => drop(ledger.summary(scope, &customer, days(7)?, 10).await?),
            "hourly series of a customer, 7 days" => drop(ledger.series(scope, &hourly(customer, days(7)?)).await?),
            "windows of a customer and hour" => {
                let range = self.since(MICROS_PER_HOUR)?;
                let query = WindowQuery { customer: Some(customer), range, state: None, after: None, limit: 200 };
                drop(ledger.windows(scope, &query).await?);
            }
            "newest 100 of the tenant" => drop(ledger.events(scope, &newest(None)).await?),
            "newest 100 of a customer" => drop(ledger.events(scope, &newest(Some(customer))).await?),
            _ => {
                let count = UncheckedAggregation { op: "count".to_owned(), ..UncheckedAggregation::default() };
                let query = UncheckedQuery {
                    range: TimeRange::new(Timestamp::MIN, *now).ok_or("no range")?,
                    bucket: None,
                    aggregations: vec![count],
                    group_by: vec!["properties.region".to_owned()],
                    filter: None,
                    order_by: Vec::new(),
                    limit: None,
                };
                drop(ledger.query(scope, &query.check()?).await?);
            }
        }
        Ok(())
    }

    /// From so many microseconds before now on.
    fn since(&self, us: i64) -> Outcome<TimeRange> {
        Ok(TimeRange::new(self.now.plus_micros(-us), self.now).ok_or("no range")?)
    }

    /// So many days of UTC up to today.
    fn whole_days(&self, days: i64) -> Outcome<TimeRange> {
        let end = self.now.floor_to(MICROS_PER_DAY).plus_micros(MICROS_PER_DAY);
        Ok(TimeRange::new(end.plus_micros(-days * MICROS_PER_DAY), end).ok_or("no range")?)
    }
}

fn users(range: TimeRange) -> ActiveUsersQuery {
    ActiveUsersQuery { range, zone: Zone::utc(), project: None, kind: None, named_only: false }
}

fn hourly(customer: String, range: TimeRange) -> SeriesQuery {
    SeriesQuery {
        metric: Metric::Tokens,
        range,
        interval: Interval::Hour,
        calendar: Calendar::utc(),
        group_by: Vec::new(),
        filters: vec![(Facet::Customer, customer)],
        groups_max: 100,
        points_max: 10_000,
    }
}

fn newest(customer: Option<String>) -> EventQuery {
    let filter = EventFilter { customer, ..EventFilter::default() };
    EventQuery { filter, order: Order::Descending, after: None, limit: 100, bytes_max: 16 << 20 }
}
