//! Statistics over days of a zone: active users, top event types, retention.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::activity::{self, DailyUsers, RetentionQuery, Variant};
use domain::calendar::{Calendar, Day, DayRange, Period};
use domain::limits::{RETENTION_CELLS_MAX, RETENTION_PERIODS_MAX, STATISTIC_ROWS_MAX, TOP_EVENTS_MAX};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use pipeline::FairPermit;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::ask::{blocking, calendar, within_time};
use crate::extract::{Bounds, Parameters, ProjectScope, Span, flag, number, one_of, text, week_start, zone};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::RangeRefusals;
use crate::shape::{ActiveUsersBody, RetentionBody, TopEventsBody};
use crate::state::ApiState;

/// Event types of an answer when the request names no limit.
const TOP_EVENTS_DEFAULT: usize = 10;
/// Rows and cohorts of an answer when the request names no range: days, and weeks or months.
const DAYS_DEFAULT: i32 = 30;
const PERIODS_DEFAULT: i32 = 12;

/// A way to count active users.
#[derive(Debug, Clone, Copy)]
struct Active {
    period: Period,
    /// Days of a rolling row.
    rolling_days: u16,
}

const DAILY: Active = Active { period: Period::Day, rolling_days: 1 };
const WEEKLY: Active = Active { period: Period::Week, rolling_days: 7 };
const MONTHLY: Active = Active { period: Period::Month, rolling_days: 30 };

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActiveParameters {
    /// From this day or time on; without it the last 30 days, or 12 months.
    from: Option<String>,
    /// Up to and with this day, or before this time; today without it.
    to: Option<String>,
    /// IANA name of the zone of days, dates and times without an offset; the tenant's own without it.
    tz: Option<String>,
    /// Only events of this project; empty for events without one.
    project: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `true`: a row for each day, of the users active in the 1 or 30 days that end with it.
    #[param(value_type = Option<bool>)]
    rolling: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WeeklyParameters {
    /// From this day or time on; without it the last 12 weeks.
    from: Option<String>,
    /// Up to and with this day, or before this time; today without it.
    to: Option<String>,
    /// IANA name of the zone of days, dates and times without an offset; the tenant's own without it.
    tz: Option<String>,
    /// The day that weeks begin on, `monday`, `sunday` or `saturday`; as in the settings without it.
    #[param(example = "monday")]
    week_start: Option<String>,
    /// Only events of this project; empty for events without one.
    project: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `true`: a row for each day, of the users active in the 7 days that end with it.
    #[param(value_type = Option<bool>)]
    rolling: Option<String>,
}

impl ActiveParameters {
    fn weekly(self, week_start: Option<String>) -> WeeklyParameters {
        let Self { from, to, tz, project, kind, rolling } = self;
        WeeklyParameters { from, to, tz, week_start, project, kind, rolling }
    }
}

/// Daily active users
///
/// Every day of the range has a row. Events without a user are not counted.
#[utoipa::path(
    get, path = "/stats/dau", tag = "statistics", operation_id = "dau", params(ActiveParameters),
    responses((status = 200, description = "One row per day", body = ActiveUsersBody), RangeRefusals),
)]
pub(crate) async fn dau(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<ActiveParameters>,
) -> Result<Json<ActiveUsersBody>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    active(&api, &scope, parameters.weekly(None), DAILY).await
}

/// Weekly active users
///
/// Every week that the range touches has a row, dated by its first day. Only events inside the range
/// count, also in the first and last week.
#[utoipa::path(
    get, path = "/stats/wau", tag = "statistics", operation_id = "wau", params(WeeklyParameters),
    responses((status = 200, description = "One row per week, or per day", body = ActiveUsersBody), RangeRefusals),
)]
pub(crate) async fn wau(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<WeeklyParameters>,
) -> Result<Json<ActiveUsersBody>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    active(&api, &scope, parameters, WEEKLY).await
}

/// Monthly active users
///
/// Every month that the range touches has a row, dated by its first day. Only events inside the range
/// count, also in the first and last month.
#[utoipa::path(
    get, path = "/stats/mau", tag = "statistics", operation_id = "mau", params(ActiveParameters),
    responses((status = 200, description = "One row per month, or per day", body = ActiveUsersBody), RangeRefusals),
)]
pub(crate) async fn mau(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<ActiveParameters>,
) -> Result<Json<ActiveUsersBody>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    active(&api, &scope, parameters.weekly(None), MONTHLY).await
}

async fn active(
    api: &ApiState,
    scope: &TenantScope,
    parameters: WeeklyParameters,
    Active { period, rolling_days }: Active,
) -> Result<Json<ActiveUsersBody>, Problem> {
    let mut calendar = calendar(api, scope, zone(parameters.tz.as_deref())?);
    calendar.week_start = week_start(parameters.week_start.as_deref())?.unwrap_or(calendar.week_start);
    let rolling = flag("rolling", parameters.rolling.as_deref())?;
    let bounds = Bounds::read(parameters.from.as_deref(), parameters.to.as_deref())?;
    let today = calendar.day_of(api.pipeline.clock().now());
    let Span { range, days } = bounds.span(&calendar, today, |last| first_of(&calendar, period, last))?;
    let rows = if rolling { Period::Day } else { period };
    check_rows(activity::periods_in(&calendar, days, rows, STATISTIC_ROWS_MAX + 1))?;
    let earlier = days.first.plus(1 - i32::from(rolling_days));
    let from = if rolling && rolling_days > 1 { calendar.start_of(earlier) } else { range.from() };
    let query = ActiveUsersQuery {
        range: TimeRange::new(from, range.to()).unwrap_or(range),
        zone: calendar.zone.clone(),
        project: parameters.project,
        kind: text("type", parameters.kind)?,
        named_only: false,
    };
    let is_estimate = api.reads.active_users.is_estimate(scope, &query);
    let count = move |activity: DailyUsers, cancelled: &CancellationToken| {
        let rows = if rolling {
            activity::active_rolling(&activity, days, rolling_days, &|| cancelled.is_cancelled())
        } else {
            activity::active_per_period(&activity, &calendar, days, period, &|| cancelled.is_cancelled())
        };
        Some(ActiveUsersBody::new(&calendar, rows?, is_estimate))
    };
    counted(api, scope, &query, count).await.map(Json)
}

/// Counts from the users of each day. Only a few questions at once load and count them, and counting stops
/// when the request has been given up.
async fn counted<T: Send + 'static>(
    api: &ApiState,
    scope: &TenantScope,
    query: &ActiveUsersQuery,
    count: impl FnOnce(DailyUsers, &CancellationToken) -> Option<T> + Send + 'static,
) -> Result<T, Problem> {
    let answer = async {
        let (activity, permit) = activity_of(api, scope, query).await?;
        blocking(move |cancelled| {
            let _permit = permit;
            count(activity, cancelled)
        })
        .await
    };
    within_time(api, answer).await
}

/// Loads the users of each day, with the permit to hold them. When that needs raw events that retention has
/// dropped, the refusal names the parameter that makes raw events necessary.
async fn activity_of(
    api: &ApiState,
    scope: &TenantScope,
    query: &ActiveUsersQuery,
) -> Result<(DailyUsers, Arc<FairPermit>), Problem> {
    let activity = api.reads.active_users.active_users_with_permit(scope, query).await;
    let field = || match query {
        _ if query.zone != api.settings.calendar(scope).zone => "tz",
        ActiveUsersQuery { project: Some(_), kind: Some(_), .. } => "type",
        _ => "from",
    };
    activity.map_err(|why| Problem::from(why).at_if(ProblemKind::Gone, field()))
}

/// The first day of a range that ends with `last` and whose beginning was not given.
fn first_of(calendar: &Calendar, period: Period, last: Day) -> Day {
    let periods = if period == Period::Day { DAYS_DEFAULT } else { PERIODS_DEFAULT };
    calendar.later(calendar.period_of(last, period), period, 1 - periods)
}

fn check_rows(rows: usize) -> Result<(), Problem> {
    if rows <= STATISTIC_ROWS_MAX {
        return Ok(());
    }
    let detail = format!("'from' lies too far before 'to': an answer has at most {STATISTIC_ROWS_MAX} rows");
    Err(Problem::parameter("from", detail))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopEventsParameters {
    /// From this day or time on; from the beginning without it.
    from: Option<String>,
    /// Up to and with this day, or before this time; to the end without it.
    to: Option<String>,
    /// IANA name of the zone of days, dates and times without an offset; the tenant's own without it.
    tz: Option<String>,
    /// Only events of this project; empty for events without one.
    project: Option<String>,
    /// Most types: 1 to 1000, 10 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 10)]
    limit: Option<String>,
}

/// Event types with most events
#[utoipa::path(
    get, path = "/stats/top-events", tag = "statistics", operation_id = "top_events", params(TopEventsParameters),
    responses((status = 200, description = "Most events first", body = TopEventsBody), RangeRefusals),
)]
pub(crate) async fn top_events(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<TopEventsParameters>,
) -> Result<Json<TopEventsBody>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    let limit = number("limit", parameters.limit.as_deref(), TOP_EVENTS_DEFAULT, 1..=TOP_EVENTS_MAX)?;
    let calendar = calendar(&api, &scope, zone(parameters.tz.as_deref())?);
    let bounds = Bounds::read(parameters.from.as_deref(), parameters.to.as_deref())?;
    let range = bounds.range(&calendar, TimeRange::ALL)?;
    let project = parameters.project.as_deref();
    let types = within_time(&api, api.reads.analytics.top_types(&scope, range, project, limit)).await?;
    Ok(Json(TopEventsBody::new(&calendar, range, types)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RetentionParameters {
    /// `weekly`, or `daily`.
    #[param(example = "weekly")]
    period: Option<String>,
    /// `on`: active in that very period. `on_or_after`: in that or any later one.
    #[param(example = "on")]
    variant: Option<String>,
    /// Cohorts from this day or time on; the last 12 weeks or 30 days without it.
    from: Option<String>,
    /// Cohorts up to and with this day, or before this time; today without it.
    to: Option<String>,
    /// IANA name of the zone of days, dates and times without an offset; the tenant's own without it.
    tz: Option<String>,
    /// Only events of this project; empty for events without one.
    project: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// How many periods a cohort is followed for: 0 to 366; 12 weeks or 30 days if not given.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 366)]
    periods: Option<String>,
}

impl RetentionParameters {
    fn query(&self, calendar: Calendar, api: &ApiState, time_min: Timestamp) -> Result<RetentionQuery, Problem> {
        let periods = [("weekly", Period::Week), ("daily", Period::Day)];
        let period = one_of("period", self.period.as_deref(), &periods)?.unwrap_or(Period::Week);
        let variants = [("on", Variant::On), ("on_or_after", Variant::OnOrAfter)];
        let variant = one_of("variant", self.variant.as_deref(), &variants)?.unwrap_or(Variant::On);
        let default = if period == Period::Week { PERIODS_DEFAULT } else { DAYS_DEFAULT };
        let default = usize::try_from(default).unwrap_or(RETENTION_PERIODS_MAX);
        let periods = number("periods", self.periods.as_deref(), default, 0..=RETENTION_PERIODS_MAX)?;
        let now = api.pipeline.clock().now();
        let today = calendar.day_of(now);
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        let cohorts: DayRange = bounds.span(&calendar, today, |last| first_of(&calendar, period, last))?.days;
        let rows = activity::periods_in(&calendar, cohorts, period, STATISTIC_ROWS_MAX + 1);
        check_rows(rows)?;
        if rows.saturating_mul(periods + 1) > RETENTION_CELLS_MAX {
            let detail = format!("'periods' times {rows} cohorts is more than {RETENTION_CELLS_MAX} cells");
            return Err(Problem::parameter("periods", detail));
        }
        let periods = u16::try_from(periods).unwrap_or(u16::MAX);
        let first_day = calendar.day_of(time_min);
        Ok(RetentionQuery { calendar, period, variant, cohorts, periods, first_day, now })
    }
}

/// Retention by cohort
///
/// A cohort is the users whose first event ever, of the type and project if given, lies in a period. A
/// late earlier event moves its user to the older cohort. Days that end before the setting `min_time` are
/// left out. Averages pool the complete cells of all cohorts.
#[utoipa::path(
    get, path = "/stats/retention", tag = "statistics", operation_id = "retention", params(RetentionParameters),
    responses((status = 200, description = "One row per cohort", body = RetentionBody), RangeRefusals),
)]
pub(crate) async fn retention(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<RetentionParameters>,
) -> Result<Json<RetentionBody>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    let time_min = api.settings.limits(&scope, api.pipeline.limits()).time_min;
    let query = parameters.query(calendar(&api, &scope, zone(parameters.tz.as_deref())?), &api, time_min)?;
    let users = ActiveUsersQuery {
        range: TimeRange::ALL,
        zone: query.calendar.zone.clone(),
        project: parameters.project,
        kind: text("type", parameters.kind)?,
        // Who was erased is in no cohort.
        named_only: true,
    };
    let count = move |activity: DailyUsers, cancelled: &CancellationToken| {
        Some(RetentionBody::new(query.period, activity::retention(&activity, &query, &|| cancelled.is_cancelled())?))
    };
    counted(&api, &scope, &users, count).await.map(Json)
}
