//! Customers and their live counters.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::calendar::DayRange;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use ports::reports::CustomerUsage;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::answer;
use crate::extract::{Id, NoParameters, Parameters, ReadScope, limit};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{ListRefusals, OneRefusals};
use crate::shape::{CustomerBody, Listing, UsageBody};
use crate::state::ApiState;

const LISTING: &str = "customers";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomerParameters {
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List customers
///
/// In order of id. A customer exists from its first event on.
#[utoipa::path(
    get, path = "/v1/customers", tag = "usage", operation_id = "customers", params(CustomerParameters),
    responses((status = 200, description = "One page", body = Listing<CustomerBody>), ListRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<CustomerParameters>,
) -> Result<Json<Listing<CustomerBody>>, Problem> {
    let zone = api.settings.calendar(&scope).zone;
    let cursors = api.cursor_key.cursors(&scope, LISTING, &zone, &())?;
    let after: Option<String> = cursors.read(parameters.cursor.as_deref())?;
    let limit = limit(parameters.limit.as_deref())?;
    let page = answer(&api, |reports| reports.customers(&scope, after.as_deref(), limit)).await?;
    let next = page.next.and_then(|id| cursors.after(&id));
    let data = page.rows.into_iter().map(|customer| CustomerBody::new(&scope, customer)).collect();
    Ok(Json(Listing { data, next_cursor: next }))
}

/// Read one customer
#[utoipa::path(
    get, path = "/v1/customers/{id}", tag = "usage", operation_id = "customer",
    params(("id" = String, Path, description = "The customer's id, percent-encoded")),
    responses((status = 200, description = "The customer", body = CustomerBody), OneRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Json<CustomerBody>, Problem> {
    let usage = now_of(&api, &scope, &id).await?;
    Ok(Json(CustomerBody::new(&scope, usage.customer)))
}

/// Read a customer's live counters
///
/// The current window, today in the tenant's zone, and everything, each with totals by endpoint and
/// model. Where a day does not begin with a window, today is all windows that begin in it.
#[utoipa::path(
    get, path = "/v1/customers/{id}/usage", tag = "usage", operation_id = "customer_usage",
    params(("id" = String, Path, description = "The customer's id, percent-encoded")),
    responses((status = 200, description = "The counters", body = UsageBody), OneRefusals),
)]
pub(crate) async fn usage(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Json<UsageBody>, Problem> {
    let usage = now_of(&api, &scope, &id).await?;
    Ok(Json(UsageBody::new(&scope, usage)))
}

async fn now_of(api: &ApiState, scope: &TenantScope, customer: &str) -> Result<CustomerUsage, Problem> {
    let now = api.pipeline.clock().now();
    let calendar = api.settings.calendar(scope);
    let today = calendar.day_of(now);
    let today = windows_of(api.pipeline.rule(), calendar.range_of(DayRange { first: today, last: today }));
    let usage = answer(api, |reports| reports.usage(scope, customer, now, today)).await?;
    usage.ok_or_else(|| Problem::new(ProblemKind::NotFound, "no event of this customer is applied").at("id"))
}

/// From the first window that begins in `day` to the end of the last.
fn windows_of(rule: WindowRule, day: TimeRange) -> TimeRange {
    let first_from = |instant: Timestamp| rule.start_of(instant.plus_micros(rule.length_us() - 1));
    TimeRange::new(first_from(day.from()), first_from(day.to())).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::calendar::{Calendar, Day, WeekStart, Zone};

    use super::*;

    #[test]
    fn a_day_that_begins_within_a_window_has_the_windows_that_begin_in_it() {
        let kathmandu = Calendar { zone: Zone::parse("Asia/Kathmandu").unwrap(), week_start: WeekStart::Monday };
        let today = |length_sec: u32| {
            let day = Day::parse("2026-11-21").unwrap();
            let day = kathmandu.range_of(DayRange { first: day, last: day });
            let windows = windows_of(WindowRule::new(length_sec, 5).unwrap(), day);
            (windows.from().to_string(), windows.to().to_string())
        };
        let exact = ("2026-11-20T18:15:00Z".to_owned(), "2026-11-21T18:15:00Z".to_owned());
        assert_eq!(today(30), exact);
        assert_eq!(today(900), exact);
        assert_eq!(today(3_600), ("2026-11-20T19:00:00Z".to_owned(), "2026-11-21T19:00:00Z".to_owned()));
    }
}
