//! Erasing what was counted of a user, a customer or everybody.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::erasure::{Erasure, ErasureRequest, Subject, SubjectKind};
use domain::limits::{NAME_BYTES_MAX, QUERY_TIME_MAX};
use domain::tenant::TenantScope;
use http::StatusCode;
use pipeline::WorkClass;
use serde::Deserialize;
use utoipa::ToSchema;

use super::quotas::known_workspace;
use crate::ask::{answer_within, ready};
use crate::erasing;
use crate::extract::{Creating, CreatingKey, Id, NoParameters, Operator, Parameters, ReadScope, WriteScope};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{ChangeRefusals, ErasureRefusals};
use crate::shape::{ErasureBody, Listing};
use crate::state::ApiState;

/// Largest body of a request, in bytes.
const ERASURE_BYTES_MAX: usize = 4 << 10;
/// Characters of the id of an erasure that is asked for without a key.
const ID_CHARS: usize = 22;
/// How long the request waits for the events before it to be applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// What is to be erased.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewErasure)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasureIn {
    /// `user`: who acted. `customer`: who is charged. `workspace`: everything.
    #[schema(required = true, nullable = false, pattern = "^(user|customer|workspace)$", example = "user")]
    kind: Option<String>,
    /// The user's or customer's id, as events have it; of the workspace its own id.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 256, example = "user-4711")]
    id: Option<String>,
    /// Whether later events of the same user or customer are refused, with the code `erased`.
    #[serde(default)]
    block: bool,
}

impl ErasureIn {
    fn subject(self, scope: &TenantScope) -> Result<Subject, Problem> {
        let kind = self.kind.as_deref().and_then(SubjectKind::parse);
        let kind = kind.ok_or_else(|| Problem::parameter("kind", "'kind' must be user, customer or workspace"))?;
        let id = self.id.unwrap_or_default();
        let is_id = (1..=NAME_BYTES_MAX).contains(&id.len()) && !id.contains(char::is_control);
        if !is_id {
            let detail = format!("'id' must have 1 to {NAME_BYTES_MAX} bytes without control characters");
            return Err(Problem::parameter("id", detail));
        }
        match kind {
            SubjectKind::User => Ok(Subject::User(id)),
            SubjectKind::Customer => Ok(Subject::Customer(id)),
            SubjectKind::Workspace if id == scope.tenant().as_str() => Ok(Subject::Workspace),
            SubjectKind::Workspace => Err(Problem::parameter("id", "'id' must be that of the workspace")),
        }
    }
}

/// Erase a user, a customer or the workspace
///
/// Covers the events that were accepted before; later ones are new, and refused with `block`. The workspace's totals,
/// series and counts of active users stay as they are. What goes of a customer are its events, windows, totals, profile
/// and quotas; of a user the name, the events, the row of the reference table and the place in top users and cohorts; of
/// the audit log what it tells of them in detail. Write nothing about them before the erasure is done: it may go with
/// them, and a quota is refused until then. Made in the background: read the erasure for how far it is. With an
/// `Idempotency-Key` it may be asked for again. Of a whole workspace nothing stays: no request of it is served after the
/// answer, and its id is never given again. Of one workspace at most 100 are under way; a further one is `503`.
#[utoipa::path(
    post, path = "/v1/erasures", tag = "workspaces", operation_id = "erase", params(CreatingKey),
    request_body = ErasureIn,
    responses((status = 202, description = "Durable, and being made", body = ErasureBody), ErasureRefusals),
)]
pub(crate) async fn create(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<ErasureIn, ERASURE_BYTES_MAX>,
) -> Result<(StatusCode, Json<ErasureBody>), Problem> {
    ready(&api)?;
    let id = match new.key(&by) {
        Some(key) => key.id(),
        None => access::random::base62(ID_CHARS).map_err(|why| Problem::internal(why.to_string()))?,
    };
    let blocks = new.fields.block;
    let subject = new.fields.subject(&scope)?;
    if subject == Subject::Workspace {
        erasing::check_workspace(&api, &scope)?;
    }
    let request = ErasureRequest { id, subject, blocks, by: by.cause.actor.to_string() };
    let permit = api.reads.limiter.admit(WorkClass::Erasure, scope.tenant()).await?;
    if tokio::time::timeout(APPLIED_WITHIN, api.pipeline.applied()).await.is_err() {
        let detail = "the events before the erasure wait to be applied; ask again later";
        return Err(Problem::new(ProblemKind::Unavailable, detail));
    }
    // A task of its own: a client that goes away must not leave half of it.
    let erasing = tokio::spawn({
        let api = Arc::clone(&api);
        async move {
            let _permit = permit;
            erasing::erase(&api, &scope, &request, &by).await
        }
    });
    let erased =
        answer_within(QUERY_TIME_MAX, async { erasing.await.map_err(|why| Problem::internal(why.to_string()))? });
    Ok((StatusCode::ACCEPTED, Json(body(&api, erased.await?))))
}

/// List the erasures
///
/// In order of request, without the names of what was erased.
#[utoipa::path(
    get, path = "/v1/erasures", tag = "workspaces", operation_id = "erasures", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<ErasureBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "erasures", &(), &parameters).await?;
    fill(&api, page, &scope)
}

/// List the erasures of a workspace
///
/// For the operator, who alone can read how far the erasure of a whole workspace is: nobody acts in that any more. In
/// order of request, without the names of what was erased.
#[utoipa::path(
    get, path = "/v1/workspaces/{id}/erasures", tag = "server", operation_id = "erasures_of_workspace",
    params(("id" = String, Path, description = "The workspace's id"), PageParameters),
    responses((status = 200, description = "One page", body = Listing<ErasureBody>), ChangeRefusals),
)]
pub(crate) async fn of_workspace(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Id(id): Id,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    // A cursor of one workspace's erasures is none of another's.
    let page = ListPage::begin(&api, None, "erasures-of-workspace", &id, &parameters).await?;
    fill(&api, page, &known_workspace(&api, &id)?)
}

/// Read one erasure
///
/// How far it is, what has gone and what is not reached.
#[utoipa::path(
    get, path = "/v1/erasures/{id}", tag = "workspaces", operation_id = "erasure",
    params(("id" = String, Path, description = "The erasure's id")),
    responses((status = 200, description = "The erasure", body = ErasureBody), ChangeRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Json<ErasureBody>, Problem> {
    let found = api.erasures.erasures(&scope).into_iter().find(|erasure| erasure.id == id);
    let found = found.ok_or_else(|| Problem::new(ProblemKind::NotFound, "no such erasure").at("id"))?;
    Ok(Json(body(&api, found)))
}

/// A page of a workspace's erasures.
fn fill(api: &ApiState, page: ListPage, scope: &TenantScope) -> Result<Answer, Problem> {
    let erasures = api.erasures.erasures(scope);
    let behind = page.after(|id| erasures.iter().position(|erasure| erasure.id == id));
    let rest = erasures.into_iter().skip(behind.map_or(0, |at| at + 1));
    page.fill(rest, |erasure| erasure.id.clone(), |erasure| body(api, erasure))
}

fn body(api: &ApiState, erasure: Erasure) -> ErasureBody {
    let is_in_journal = api.pipeline.journal_holds(erasure.through);
    ErasureBody::new(erasure, is_in_journal, api.erasures.remains())
}
