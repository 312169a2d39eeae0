//! The audit log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::audit::{AuditEntry, AuditFilter};
use domain::access::rights::Permission;
use domain::calendar::Calendar;
use domain::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, QUERY_TIME_MAX};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::{answer_within, calendar};
use crate::extract::{Bounds, Operator, Parameters, ProjectScope, Standing, one_of, zone};
use crate::page::{Answer, Page};
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
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
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
    let page: Page<u64> = Page::of(cursors, parameters.limit.as_deref(), parameters.cursor.as_deref())?;
    filter.before = page.after;
    if one_of("format", parameters.format.as_deref(), &[("ndjson", true)])?.is_some() {
        api.access.note_export(&by, "audit").await?;
        let standing = Standing::new(&api, by.principal, Permission::ReadAudit);
        return Ok(export(api, scope, standing, filter));
    }
    let rows = entries(&api, &scope, &filter, page.limit + 1).await?;
    fill(page, rows).map(IntoResponse::into_response)
}

/// A page of entries. Where they are long, those that were read are not all.
fn fill(page: Page<u64>, rows: Vec<AuditEntry>) -> Result<Answer, Problem> {
    let is_cut = rows.iter().map(AuditEntry::bytes).sum::<usize>() >= PAGE_BYTES_MAX;
    let rest = rows.last().filter(|_| is_cut).map(|last| last.seq);
    page.fill(rows, rest, |entry| entry.seq, AuditBody::from)
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
) -> Result<Answer, Problem> {
    let ServerAuditParameters { actor, action, target, limit, cursor } = parameters;
    let cursors = api.cursor_key.cursors_of_list(None, LISTING, &(&actor, &action, &target))?;
    let page: Page<u64> = Page::of(cursors, limit.as_deref(), cursor.as_deref())?;
    let filter = AuditFilter { actor, action, target, before: page.after, ..AuditFilter::default() };
    let rows = answer_within(QUERY_TIME_MAX, api.audit.server_audit_entries(&filter, page.limit + 1)).await?;
    fill(page, rows)
}

async fn entries(
    api: &ApiState,
    scope: &TenantScope,
    filter: &AuditFilter,
    limit: usize,
) -> Result<Vec<AuditEntry>, Problem> {
    answer_within(QUERY_TIME_MAX, api.audit.audit_entries(scope, filter, limit)).await
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
