//! Usage windows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::calendar::Calendar;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowState;
use ports::reports::WindowQuery;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::{answer, calendar};
use crate::extract::{Bounds, Parameters, ReadScope, limit, one_of, zone};
use crate::problem::Problem;
use crate::routes::docs::ListRefusals;
use crate::shape::{Listing, WindowBody};
use crate::state::ApiState;

const LISTING: &str = "windows";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WindowParameters {
    /// By customer; empty for events without one.
    customer: Option<String>,
    /// Windows that start on this day, at this time, or later.
    from: Option<String>,
    /// Windows that start before this time, or up to and with this day.
    to: Option<String>,
    /// IANA name of the zone that dates and times without an offset are of; the tenant's own without it.
    tz: Option<String>,
    /// `open`: events in time may still come, `closed`: none was late, or `revised`: some were late.
    #[param(example = "closed")]
    state: Option<String>,
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl WindowParameters {
    fn query(self, calendar: &Calendar) -> Result<WindowQuery, Problem> {
        let states = [("open", WindowState::Open), ("closed", WindowState::Closed), ("revised", WindowState::Revised)];
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        Ok(WindowQuery {
            customer: self.customer,
            range: bounds.range(calendar, TimeRange::ALL)?,
            state: one_of("state", self.state.as_deref(), &states)?,
            after: None,
            limit: limit(self.limit.as_deref())?,
        })
    }
}

/// List usage windows
///
/// In order of customer, then start. Only windows with events exist. A window is `open` until every event
/// that was received before its end and grace is applied, then `closed` if none of its events came later and
/// `revised` if some did. Each late event raises the revision, also of an open window; a window that is not
/// open changes only with a higher revision.
#[utoipa::path(
    get, path = "/v1/windows", tag = "usage", operation_id = "windows", params(WindowParameters),
    responses((status = 200, description = "One page", body = Listing<WindowBody>), ListRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<WindowParameters>,
) -> Result<Json<Listing<WindowBody>>, Problem> {
    let calendar = calendar(&api, &scope, zone(parameters.tz.as_deref())?);
    let (cursor, state) = (parameters.cursor.clone(), parameters.state.clone());
    let mut query = parameters.query(&calendar)?;
    let asked = (query.range.from().micros(), query.range.to().micros(), &query.customer, state);
    let cursors = api.cursor_key.cursors(&scope, LISTING, &calendar.zone, &asked)?;
    let after: Option<(String, i64)> = cursors.read(cursor.as_deref())?;
    query.after = after.map(|(customer, start_us)| (customer, Timestamp::from_micros(start_us)));
    let page = answer(&api, |reports| reports.windows(&scope, &query)).await?;
    let next = page.next.and_then(|(customer, start)| cursors.after(&(customer, start.micros())));
    let data = page.rows.into_iter().map(|window| WindowBody::new(&scope, window)).collect();
    Ok(Json(Listing { data, next_cursor: next }))
}
