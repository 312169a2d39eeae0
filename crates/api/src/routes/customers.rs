//! Customers and their live counters.

use std::collections::HashMap;
use std::sync::Arc;

use access::control::ProfileChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::calendar::DayRange;
use domain::limits::{CUSTOMER_BODY_BYTES_MAX, QUERY_TIME_MAX};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use ports::reports::{Customer, CustomerUsage};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::ask::{answer, answer_within};
use crate::extract::{Document, Id, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag};
use crate::page::{Answer, Page, PageParameters};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{CustomerRefusals, ListRefusals, OneRefusals};
use crate::shape::{CustomerBody, Listing, UsageBody, given};
use crate::state::ApiState;

const LISTING: &str = "customers";

/// List customers
///
/// In order of id. A customer exists from its first event on.
#[utoipa::path(
    get, path = "/v1/customers", tag = "usage", operation_id = "customers", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<CustomerBody>), ListRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(PageParameters { limit, cursor }): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let zone = api.settings.calendar(&scope).zone;
    let cursors = api.cursor_key.cursors(&scope, LISTING, &zone, &())?;
    let page: Page<String> = Page::of(cursors, limit.as_deref(), cursor.as_deref())?;
    let found = answer(&api, |reports| reports.customers(&scope, page.after.as_deref(), page.limit)).await?;
    let ids: Vec<String> = found.rows.iter().map(|customer| customer.id.clone()).collect();
    let profiles = answer_within(QUERY_TIME_MAX, api.access.customers(&scope, &ids)).await?;
    let profiles: HashMap<_, _> = profiles.into_iter().map(|profile| (profile.customer.clone(), profile)).collect();
    let body = |customer: Customer| {
        let profile = profiles.get(&customer.id).cloned();
        CustomerBody::new(&scope, customer, profile)
    };
    page.fill(found.rows, found.next, |customer| customer.id.clone(), body)
}

/// Read one customer
#[utoipa::path(
    get, path = "/v1/customers/{id}", tag = "usage", operation_id = "customer",
    params(("id" = String, Path, description = "The customer's id, percent-encoded")),
    responses((status = 200, description = "The customer", body = CustomerBody, headers(("ETag" = String, description = "Its version"))), OneRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let usage = now_of(&api, &scope, &id).await?;
    let profile = answer_within(QUERY_TIME_MAX, api.access.customers(&scope, &[id])).await?.pop();
    let tag = etag(profile.as_ref().map_or(0, |profile| profile.versioned.version));
    Ok((tag, Json(CustomerBody::new(&scope, usage.customer, profile))).into_response())
}

/// A change of what is kept about a customer; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CustomerChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerChangeIn {
    /// The display name; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Acme Ltd.")]
    name: Option<Option<String>>,
    /// Free attributes. One that is null is taken away; those that are not named stay.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"plan": "pro"}))]
    attributes: Option<Map<String, Value>>,
}

/// Change what is kept about a customer
///
/// A name for people and free attributes; the customer itself comes with its first event.
#[utoipa::path(
    patch, path = "/v1/customers/{id}", tag = "usage", operation_id = "change_customer",
    params(("id" = String, Path, description = "The customer's id, percent-encoded"), IfMatch),
    request_body = CustomerChangeIn,
    responses((status = 200, description = "The customer as it is now", body = CustomerBody, headers(("ETag" = String, description = "Its version"))), CustomerRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<CustomerChangeIn, CUSTOMER_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let usage = now_of(&api, &scope, &id).await?;
    let change = ProfileChange { name: fields.name, attributes: fields.attributes };
    let profile = api.access.change_customer(&by, &id, change, version).await?;
    let tag = etag(profile.versioned.version);
    Ok((tag, Json(CustomerBody::new(&scope, usage.customer, Some(profile)))).into_response())
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
