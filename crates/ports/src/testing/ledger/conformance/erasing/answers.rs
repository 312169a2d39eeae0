//! What a ledger answers, as text: everything that stays as it was when something is erased, and what is left of the rest.

use domain::calendar::{Calendar, Interval, Period, Zone};
use domain::event::EventId;
use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::time::TimeRange;

use crate::active_users::{ActiveUsers, ActiveUsersQuery};
use crate::analytics::Analytics;
use crate::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};
use crate::testing::ledger::records::{at, scope};

/// The tenants whose answers [`answers`] gives.
pub const TENANTS: [&str; 2] = ["a", "b"];

/// The points of the twin as a ledger answers them: an erased customer is among the others.
fn points(points: Vec<SeriesPoint>) -> Vec<SeriesPoint> {
    let mut points: Vec<_> = points
        .into_iter()
        .map(|point| match point.group.iter().any(|name| name == "\u{1}") {
            true => SeriesPoint { group: Vec::new(), is_others: true, ..point },
            false => point,
        })
        .collect();
    points.sort_by(|left, right| {
        (left.start, left.is_others, &left.group).cmp(&(right.start, right.is_others, &right.group))
    });
    points
}

async fn series_of(ledger: &dyn Analytics, tenant: &str, answers: &mut Vec<String>) {
    let range = TimeRange::new(at(1_200), at(150_060)).expect("a range");
    let groups = [
        vec![],
        vec![Facet::Customer],
        vec![Facet::Type],
        vec![Facet::Endpoint],
        vec![Facet::Project, Facet::Model],
        vec![Facet::Type, Facet::Endpoint],
    ];
    let filters = [None, Some((Facet::Customer, "c1")), Some((Facet::Customer, "")), Some((Facet::Endpoint, "/e1"))];
    let (hour, day) = (Interval::Hour, Interval::Days(Period::Day));
    for metric in [Metric::Count, Metric::Tokens, Metric::AvgLatencyMs] {
        // Sums other than counts are made of the same rows.
        let told = if metric == Metric::Count { groups.len() } else { 2 };
        for interval in [Interval::Minute, hour, day] {
            let groups = groups.iter().take(told);
            for (group_by, filter) in groups.flat_map(|group| filters.map(|filter| (group.clone(), filter))) {
                let query = SeriesQuery {
                    metric,
                    range: if interval == day { TimeRange::ALL } else { range },
                    interval,
                    calendar: Calendar::utc(),
                    group_by,
                    filters: filter.into_iter().map(|(facet, name)| (facet, name.to_owned())).collect(),
                    groups_max: usize::MAX,
                    points_max: 1 << 20,
                };
                let found = ledger.series(&scope(tenant), &query).await.expect("a series");
                let found = points(found);
                answers.push(format!("{tenant} {metric:?} {interval:?} {:?} {filter:?} {found:?}", query.group_by));
            }
        }
    }
}

async fn users_of(ledger: &dyn ActiveUsers, tenant: &str, answers: &mut Vec<String>) {
    for named_only in [false, true] {
        for (project, kind) in [(None, None), (Some("p1"), None), (None, Some("k1"))] {
            let query = ActiveUsersQuery {
                range: TimeRange::ALL,
                zone: Zone::utc(),
                project: project.map(str::to_owned),
                kind: kind.map(str::to_owned),
                named_only,
            };
            let days = ledger.active_users(&scope(tenant), &query).await.expect("users");
            answers.push(format!("{tenant} {named_only} {project:?} {kind:?} {days:?}"));
        }
    }
}

async fn rows_of<L: Reports + Analytics>(ledger: &L, tenant: &str, answers: &mut Vec<String>) {
    let scope = scope(tenant);
    let windows = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: 10_000 };
    answers.push(format!("{tenant} {:?}", ledger.windows(&scope, &windows).await.expect("windows")));
    answers.push(format!("{tenant} {:?}", ledger.customers(&scope, None, 100).await.expect("customers")));
    for customer in ["", "c0", "c1", "c2"] {
        let usage = ledger.usage(&scope, customer, at(100), TimeRange::ALL).await.expect("usage");
        answers.push(format!("{tenant} {customer} {usage:?}"));
        let summary = ledger.summary(&scope, customer, TimeRange::ALL, 10).await.expect("a summary");
        let summary = summary.map(|mut summary| {
            summary.top_users.retain(|(name, _)| !name.starts_with('\u{1}'));
            summary
        });
        answers.push(format!("{tenant} {customer} {summary:?}"));
    }
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
    };
    answers.push(format!("{tenant} {:?}", ledger.events(&scope, &all).await.expect("events")));
    for id in 0..90 {
        let event = ledger.event(&scope, EventId::native(&format!("e{id}"))).await.expect("an event");
        answers.push(format!("{tenant} {event:?}"));
    }
}

/// Everything that stays as it was, and what is left of the rest, as text that begins with the tenant.
pub async fn answers<L: Reports + Analytics + ActiveUsers>(ledger: &L) -> Vec<String> {
    let mut answers = Vec::new();
    for tenant in TENANTS {
        series_of(ledger, tenant, &mut answers).await;
        let edges = TimeRange::new(at(1_800), at(100_020)).expect("a range");
        for (range, project) in [(TimeRange::ALL, None), (edges, None), (edges, Some("p1"))] {
            let types = ledger.top_types(&scope(tenant), range, project, 10).await.expect("types");
            answers.push(format!("{tenant} {range:?} {project:?} {types:?}"));
        }
        users_of(ledger, tenant, &mut answers).await;
        rows_of(ledger, tenant, &mut answers).await;
    }
    answers
}
