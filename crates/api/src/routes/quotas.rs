//! Quotas: set by the operator of the server, told to the workspace that they are for.

use std::sync::Arc;

use access::{AccessError, By};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::limits::{NAME_BYTES_MAX, QUERY_TIME_MAX, QUOTAS_OF_WORKSPACE_MAX};
use domain::quota::{Measure, QUOTA_LIMIT_MAX, QuotaKey, QuotaPeriod, QuotaTerms, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use http::StatusCode;
use pipeline::QuotaError;
use ports::ErrorKind;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Document, Id, IfMatch, NoParameters, Operator, Parameters, ReadScope, etag};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{ChangeRefusals, ListRefusals};
use crate::shape::{Listing, QuotaBody, QuotaStateBody};
use crate::state::ApiState;

/// Largest body of these routes, in bytes.
const QUOTA_BYTES_MAX: usize = 16 << 10;
/// The words for measures.
const MEASURES: &str = "events or tokens or calls";

/// A quota to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewQuota)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaIn {
    /// The customer whose events count; the whole workspace if not given.
    #[serde(default)]
    customer: Option<String>,
    /// What is counted: `events`, `tokens`, or `calls`, which are events that name an endpoint or a model.
    #[schema(required = true, nullable = false, pattern = "^(events|tokens|calls)$", example = "events")]
    measure: Option<String>,
    /// `day` or `month`, of the workspace's zone.
    #[schema(required = true, nullable = false, pattern = "^(day|month)$", example = "month")]
    period: Option<String>,
    /// How much may be used; 0: nothing.
    #[serde(default)]
    #[schema(value_type = u64, required = true, minimum = 0, maximum = 1_000_000_000_000_000_u64)]
    limit: Value,
    /// Whether an event that would go over the limit is refused; otherwise that is only told.
    #[serde(default = "hard")]
    #[schema(default = true)]
    hard: bool,
}

const fn hard() -> bool {
    true
}

/// Which quota.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuotaParameters {
    /// The customer; the whole workspace if not given.
    customer: Option<String>,
    /// `events`, `tokens` or `calls`.
    #[param(required = true, pattern = "^(events|tokens|calls)$")]
    measure: Option<String>,
    /// `day` or `month`.
    #[param(required = true, pattern = "^(day|month)$")]
    period: Option<String>,
}

/// Read what is left
///
/// The quotas of the workspace and of its customers, in order of customer, with what is used in the period under way,
/// events on their way into the counts included.
#[utoipa::path(
    get, path = "/v1/quotas", tag = "settings", operation_id = "quotas", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<QuotaStateBody>), ListRefusals),
)]
pub(crate) async fn read(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "quotas", &(), &parameters).await?;
    let after = page.after(key_at);
    let states = api.settings.quotas().states(&scope, |_| true).await?;
    let rest = states.iter().filter(|state| after.as_ref().is_none_or(|after| state.quota.key > *after));
    page.fill(rest, |state| place_of(&state.quota.key), QuotaStateBody::new)
}

/// List the quotas of a workspace
///
/// In order of customer; those of the workspace as a whole come first.
#[utoipa::path(
    get, path = "/v1/workspaces/{id}/quotas", tag = "server", operation_id = "quotas_of_workspace",
    params(("id" = String, Path, description = "The workspace's id"), PageParameters),
    responses((status = 200, description = "One page", body = Listing<QuotaBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Id(id): Id,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, None, "quotas", &id, &parameters).await?;
    let after = page.after(key_at);
    let quotas = api.settings.quotas().list(&known_workspace(&api, &id)?);
    let rest = quotas.iter().filter(|quota| after.as_ref().is_none_or(|after| quota.key > *after));
    let rest = rest.filter_map(|quota| Some((&quota.key, QuotaBody::of(quota)?)));
    page.fill(rest, |(key, _)| place_of(key), |(_, body)| body)
}

/// Set a quota of a workspace
///
/// Of each customer, measure and period there is one at most: another one takes its place, and holds at once. What was
/// used in the period under way before counts. With `If-Match` the one that is there is changed, and none is new. Of a
/// customer that is being erased none is set until that is done (`409`).
#[utoipa::path(
    put, path = "/v1/workspaces/{id}/quotas", tag = "server", operation_id = "set_quota",
    params(("id" = String, Path, description = "The workspace's id"), IfMatch), request_body = QuotaIn,
    responses((status = 200, description = "The quota", body = QuotaBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn set(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<QuotaIn, QUOTA_BYTES_MAX>,
) -> Result<Response, Problem> {
    let scope = known_workspace(&api, &id)?;
    let key = key(fields.customer, fields.measure.as_deref(), fields.period.as_deref())?;
    // No event has such a customer; one that an earlier release has set can be removed.
    if key.customer.as_ref().is_some_and(|customer| customer.contains(char::is_control)) {
        let detail = "'customer' must have no control characters";
        return Err(Problem::body(ProblemKind::OutOfRange, "customer", detail));
    }
    let limit = fields.limit.as_u64().filter(|limit| *limit <= QUOTA_LIMIT_MAX).ok_or_else(|| {
        let detail = format!("'limit' must be a whole number from 0 to {QUOTA_LIMIT_MAX}");
        Problem::body(ProblemKind::OutOfRange, "limit", detail)
    })?;
    let terms = QuotaTerms { limit, is_hard: fields.hard };
    let changed = change(&api, scope, key, Some(terms), version, by).await?;
    let body = changed.as_ref().and_then(|quota| Some((etag(quota.version), Json(QuotaBody::of(quota)?))));
    body.map(IntoResponse::into_response).ok_or_else(|| Problem::internal("a quota that was set is not there"))
}

/// Remove a quota of a workspace
#[utoipa::path(
    delete, path = "/v1/workspaces/{id}/quotas", tag = "server", operation_id = "remove_quota",
    params(("id" = String, Path, description = "The workspace's id"), QuotaParameters, IfMatch),
    responses((status = 204, description = "Removed"), ChangeRefusals),
)]
pub(crate) async fn remove(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    Parameters(which): Parameters<QuotaParameters>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let scope = known_workspace(&api, &id)?;
    let key = key(which.customer, which.measure.as_deref(), which.period.as_deref())?;
    let removed = change(&api, scope, key, None, version, by).await?;
    let missing = || Problem::from(AccessError::NotFound("quota")).at("measure");
    removed.map(|_| StatusCode::NO_CONTENT).ok_or_else(missing)
}

/// The place of a quota in a list.
fn place_of(QuotaKey { customer, measure, period }: &QuotaKey) -> String {
    format!("{}/{}/{}", measure.as_str(), period.as_str(), customer.as_deref().unwrap_or_default())
}

/// The quota at a place of a list.
fn key_at(place: &str) -> Option<QuotaKey> {
    let mut parts = place.splitn(3, '/');
    let (measure, period) = (Measure::parse(parts.next()?)?, QuotaPeriod::parse(parts.next()?)?);
    let customer = Some(parts.next()?.to_owned()).filter(|customer| !customer.is_empty());
    Some(QuotaKey { customer, measure, period })
}

/// The workspace of a path, which the operator acts on.
pub(super) fn known_workspace(api: &ApiState, id: &str) -> Result<TenantScope, Problem> {
    let unknown = || Problem::from(AccessError::NotFound("workspace"));
    let tenant = TenantId::parse(id).map_err(|_| unknown())?;
    let known = api.access.register().workspace(&tenant).is_some();
    if known { Ok(TenantScope::for_operator(tenant)) } else { Err(unknown()) }
}

fn key(customer: Option<String>, measure: Option<&str>, period: Option<&str>) -> Result<QuotaKey, Problem> {
    let is_name = |name: &String| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    if customer.as_ref().is_some_and(|customer| !is_name(customer)) {
        let detail = format!("'customer' must have from 1 to {NAME_BYTES_MAX} bytes");
        return Err(Problem::parameter("customer", detail));
    }
    let measure = measure.and_then(Measure::parse);
    let measure = measure.ok_or_else(|| Problem::parameter("measure", format!("'measure' must be {MEASURES}")))?;
    let period = period.and_then(QuotaPeriod::parse);
    let period = period.ok_or_else(|| Problem::parameter("period", "'period' must be day or month"))?;
    Ok(QuotaKey { customer, measure, period })
}

/// Makes a change in a task of its own: a client that goes away must not leave half of it.
async fn change(
    api: &ApiState,
    scope: TenantScope,
    key: QuotaKey,
    terms: Option<QuotaTerms>,
    expected: Option<u64>,
    by: By,
) -> Result<Option<VersionedQuota>, Problem> {
    api.access.check_not_erased(scope.tenant())?;
    let quotas = Arc::clone(api.settings.quotas());
    let changing = tokio::spawn(async move { quotas.set(&scope, key, terms, expected, &by.cause).await });
    match tokio::time::timeout(QUERY_TIME_MAX, changing).await {
        Ok(Ok(changed)) => changed.map_err(refused),
        Ok(Err(_)) => Err(Problem::internal("the change of a quota panicked")),
        Err(_) => Err(Problem::new(ProblemKind::Unavailable, "the change is still being made; read the quotas later")),
    }
}

fn refused(why: QuotaError) -> Problem {
    match why {
        QuotaError::OtherVersion(_) => Problem::new(ProblemKind::PreconditionFailed, why.to_string()).at("If-Match"),
        QuotaError::CustomerBeingErased => Problem::new(ProblemKind::Conflict, why.to_string()).at("customer"),
        QuotaError::WorkspaceErased => Problem::new(ProblemKind::Conflict, why.to_string()).at("id"),
        QuotaError::Port(why) if why.kind() == ErrorKind::Exhausted => {
            let detail = format!("a workspace has at most {QUOTAS_OF_WORKSPACE_MAX} quotas");
            Problem::new(ProblemKind::Conflict, detail).at("customer")
        }
        QuotaError::Port(why) => Problem::from(why),
    }
}
