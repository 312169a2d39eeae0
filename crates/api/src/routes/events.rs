//! Raw events out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::access::audit::EVENT_READ;
use domain::calendar::Calendar;
use domain::event::{EventId, IdScheme, cloud_event_id, is_cloud_event_id};
use domain::limits::PAGE_BYTES_MAX;
use domain::position::EventPosition;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::reports::{EventCursor, EventFilter, EventQuery, Order};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use crate::ask::{answer, calendar};
use crate::cursor::Cursors;
use crate::extract::{Bounds, Id, Parameters, ProjectScope, limit, one_of, text, zone};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{ListRefusals, OneRefusals};
use crate::shape::{EventBody, Listing};
use crate::state::ApiState;

const LISTING: &str = "events";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParameters {
    /// By customer; empty for events without one.
    customer: Option<String>,
    /// By user.
    user: Option<String>,
    /// By type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// By endpoint.
    endpoint: Option<String>,
    /// By project.
    project: Option<String>,
    /// Events of this day or time, or later.
    from: Option<String>,
    /// Events before this time, or up to and with this day.
    to: Option<String>,
    /// IANA name of the zone that dates and times without an offset are of; the tenant's own without it.
    tz: Option<String>,
    /// `desc`, newest first, or `asc`.
    #[param(example = "desc")]
    order: Option<String>,
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl EventParameters {
    /// What is asked for, for the audit log: as it was written, with the project that the caller is bound to. Of the
    /// cursor only that there is one.
    fn asked(&self) -> Map<String, Value> {
        let given = [
            ("customer", &self.customer),
            ("user", &self.user),
            ("type", &self.kind),
            ("endpoint", &self.endpoint),
            ("project", &self.project),
            ("from", &self.from),
            ("to", &self.to),
            ("tz", &self.tz),
            ("order", &self.order),
            ("limit", &self.limit),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
        let page = self.cursor.is_some().then(|| ("is_next_page".to_owned(), json!(true)));
        given.chain(page).collect()
    }

    fn query(self, calendar: &Calendar) -> Result<EventQuery, Problem> {
        let orders = [("desc", Order::Descending), ("asc", Order::Ascending)];
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        Ok(EventQuery {
            filter: EventFilter {
                range: bounds.range(calendar, TimeRange::ALL)?,
                customer: self.customer,
                user: text("user", self.user)?,
                kind: text("type", self.kind)?,
                endpoint: text("endpoint", self.endpoint)?,
                project: text("project", self.project)?,
            },
            order: one_of("order", self.order.as_deref(), &orders)?.unwrap_or_default(),
            after: None,
            limit: limit(self.limit.as_deref())?,
            bytes_max: PAGE_BYTES_MAX,
        })
    }
}

/// List events
///
/// Everything applied, newest first unless asked otherwise. Every filter must match.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "events", params(EventParameters),
    responses((status = 200, description = "One page", body = Listing<EventBody>), ListRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, by }: ProjectScope,
    Parameters(mut parameters): Parameters<EventParameters>,
) -> Result<Json<Listing<EventBody>>, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    let asked = parameters.asked();
    let calendar = calendar(&api, &scope, zone(parameters.tz.as_deref())?);
    let cursor = parameters.cursor.clone();
    let mut query = parameters.query(&calendar)?;
    let cursors = cursors(&api, &scope, &calendar, &query)?;
    let after: Option<(i64, u128)> = cursors.read(cursor.as_deref())?;
    query.after = after.map(|(micros, position)| EventCursor {
        time: Timestamp::from_micros(micros),
        position: EventPosition::from_bytes(position.to_be_bytes()),
    });
    api.access.note_read(&by, "GET /v1/events", || asked).await?;
    let page = answer(&api, |reports| reports.events(&scope, &query)).await?;
    let place = |at: EventCursor| (at.time.micros(), u128::from_be_bytes(at.position.to_bytes()));
    let next = page.next.and_then(|at| cursors.after(&place(at)));
    let lens = api.access.lens(&by.principal);
    let data: Result<Vec<_>, _> = page.rows.into_iter().map(|event| EventBody::new(&scope, event, &lens)).collect();
    let data = data?;
    api.metrics.values_unreadable(data.iter().map(EventBody::unreadable).sum());
    Ok(Json(Listing { data, next_cursor: next }))
}

fn cursors(api: &ApiState, scope: &TenantScope, calendar: &Calendar, query: &EventQuery) -> Result<Cursors, Problem> {
    let EventFilter { range, customer, user, kind, endpoint, project } = &query.filter;
    let is_ascending = query.order == Order::Ascending;
    let range = (range.from().micros(), range.to().micros());
    let asked = (range, customer, user, kind, endpoint, project, is_ascending);
    api.cursor_key.cursors(scope, LISTING, &calendar.zone, &asked)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneEventParameters {
    /// The source of a CloudEvent, whose own id the path names then.
    source: Option<String>,
}

/// Read one event
///
/// By the id that its sender gave it, or by the one that answers show. A CloudEvent is known by its source and id
/// together: by `ce:source#id`, or by its own id with `source`.
#[utoipa::path(
    get, path = "/v1/events/{id}", tag = "events", operation_id = "event",
    params(("id" = String, Path, description = "The event's id, percent-encoded"), OneEventParameters),
    responses((status = 200, description = "The event", body = EventBody), OneRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, by }: ProjectScope,
    Id(id): Id,
    Parameters(parameters): Parameters<OneEventParameters>,
) -> Result<Json<EventBody>, Problem> {
    let asked = [("id", Some(&id)), ("source", parameters.source.as_ref())];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    let asked = asked.chain(project.get().map(|project| ("project".to_owned(), json!(**project))));
    api.access.note_read(&by, EVENT_READ, || asked.collect()).await?;
    let of = |scheme, text| EventId { scheme, text };
    let event = match parameters.source.as_deref() {
        Some(source) => {
            let id = cloud_event_id(source, &id);
            answer(&api, |reports| reports.event(&scope, of(IdScheme::CloudEvent, &id))).await?
        }
        None => match answer(&api, |reports| reports.event(&scope, of(IdScheme::Native, &id))).await? {
            None if is_cloud_event_id(&id) => {
                answer(&api, |reports| reports.event(&scope, of(IdScheme::CloudEvent, &id))).await?
            }
            found => found,
        },
    };
    let event = event
        .filter(|event| project.takes(event.project.as_deref()))
        .ok_or_else(|| Problem::new(ProblemKind::NotFound, "no event with this id is applied and kept").at("id"))?;
    let event = EventBody::new(&scope, event, &api.access.lens(&by.principal))?;
    api.metrics.values_unreadable(event.unreadable());
    Ok(Json(event))
}
