//! The audit log.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::audit::{AuditEntry, AuditFilter};
use domain::access::rights::Permission;
use domain::calendar::Calendar;
use domain::limits::{PAGE_ROWS_MAX, QUERY_TIME_MAX};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::{answer_within, calendar};
use crate::extract::{Bounds, Operator, Parameters, ProjectScope, Standing, limit, one_of, zone};
use crate::problem::Problem;
use crate::routes::docs::ListRefusals;
use crate::shape::{AuditBody, Listing};
use crate::state::ApiState;

const LISTING: &str = "audit";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParameters {
    /// By who did it, as `user:Ab3dE6gH9jK2`.
    actor: Option<String>,
    /// By what was done, as `key.create`.
    action: Option<String>,
    /// By what it was done to, as `key:Ab3dE6gH9jK2`.
    target: Option<String>,
    /// Entries of this day or time, or later.
    from: Option<String>,
    /// Entries before this time, or up to and with this day.
    to: Option<String>,
    /// IANA name of the zone that dates and times without an offset are of; the tenant's own without it.
    tz: Option<String>,
    /// `ndjson`: all entries that fit, one JSON object per line, the newest first.
    #[param(pattern = "^ndjson$")]
    format: Option<String>,
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ServerAuditParameters {
    /// By who did it.
    actor: Option<String>,
    /// By what was done, as `workspace.create`.
    action: Option<String>,
    /// By what it was done to.
    target: Option<String>,
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// Entries before this number: the `next_cursor` of the page before.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
}

impl AuditParameters {
    fn filter(&self, calendar: &Calendar) -> Result<AuditFilter, Problem> {
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        let range = bounds.range(calendar, TimeRange::ALL)?;
        Ok(AuditFilter {
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            from: self.from.is_some().then(|| range.from()),
            to: self.to.is_some().then(|| range.to()),
            before: None,
        })
    }
}

/// Read the audit log
///
/// The newest entries first. Each has a hash over itself and all before it, so that a change of the log shows.
#[utoipa::path(
    get, path = "/v1/audit", tag = "workspaces", operation_id = "audit", params(AuditParameters),
    responses(
        (status = 200, description = "One page, or all as lines", content(
            (Listing<AuditBody> = "application/json"),
            (String = "application/x-ndjson"),
        )),
        ListRefusals,
    ),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, by, .. }: ProjectScope,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Response, Problem> {
    let calendar = calendar(&api, &scope, zone(parameters.tz.as_deref())?);
    let mut filter = parameters.filter(&calendar)?;
    let asked = (&filter.actor, &filter.action, &filter.target, &parameters.from, &parameters.to);
    let cursors = api.cursor_key.cursors(&scope, LISTING, &calendar.zone, &asked)?;
    filter.before = cursors.read(parameters.cursor.as_deref())?;
    if one_of("format", parameters.format.as_deref(), &[("ndjson", true)])?.is_some() {
        api.access.note_export(&by, "audit").await?;
        let standing = Standing::new(&api, &by, Permission::ReadAudit);
        return Ok(export(api, scope, standing, filter));
    }
    let limit = limit(parameters.limit.as_deref())?;
    let mut rows = entries(&api, &scope, &filter, limit + 1).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).and_then(|last| cursors.after(&last.seq));
    Ok(Json(Listing { data: rows.into_iter().map(AuditBody::from).collect(), next_cursor: next }).into_response())
}

/// Read the server's own audit log
///
/// Workspaces, people and their logins, keys of the operator. The newest entries first.
#[utoipa::path(
    get, path = "/v1/server/audit", tag = "server", operation_id = "server_audit", params(ServerAuditParameters),
    responses((status = 200, description = "One page", body = Listing<AuditBody>), ListRefusals),
)]
pub(crate) async fn server(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Parameters(parameters): Parameters<ServerAuditParameters>,
) -> Result<Json<Listing<AuditBody>>, Problem> {
    let before = match parameters.before.as_deref() {
        None => None,
        Some(text) => {
            let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            Some(number.ok_or_else(|| Problem::parameter("before", "'before' must be the number of an entry"))?)
        }
    };
    let ServerAuditParameters { actor, action, target, .. } = parameters;
    let filter = AuditFilter { actor, action, target, before, ..AuditFilter::default() };
    let limit = limit(parameters.limit.as_deref())?;
    let log = api.access.audit_log();
    let mut rows = answer_within(QUERY_TIME_MAX, log.server_audit_entries(&filter, limit + 1)).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| last.seq.to_string());
    Ok(Json(Listing { data: rows.into_iter().map(AuditBody::from).collect(), next_cursor: next }))
}

async fn entries(
    api: &ApiState,
    scope: &TenantScope,
    filter: &AuditFilter,
    limit: usize,
) -> Result<Vec<AuditEntry>, Problem> {
    answer_within(QUERY_TIME_MAX, api.access.audit_log().audit_entries(scope, filter, limit)).await
}

/// All entries as lines, read a page at a time as the reader takes them.
fn export(api: Arc<ApiState>, scope: TenantScope, standing: Standing, filter: AuditFilter) -> Response {
    let pages = futures::stream::unfold(Some((api, scope, standing, filter)), |state| async move {
        let (api, scope, standing, mut filter) = state?;
        if !standing.lasts() {
            return Some((Err(std::io::Error::other("the credential has ended")), None));
        }
        let rows = match entries(&api, &scope, &filter, PAGE_ROWS_MAX).await {
            Ok(rows) => rows,
            Err(_) => return Some((Err(std::io::Error::other("the audit log cannot be read")), None)),
        };
        let last = rows.last()?.seq;
        let mut lines = Vec::new();
        for row in rows {
            if serde_json::to_writer(&mut lines, &AuditBody::from(row)).is_ok() {
                lines.push(b'\n');
            }
        }
        filter.before = Some(last);
        Some((Ok(lines), Some((api, scope, standing, filter))))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(pages)).into_response()
}
