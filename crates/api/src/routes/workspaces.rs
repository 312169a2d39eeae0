//! Workspaces: the one that a request acts in, and, for the operator, all of them.

use std::sync::Arc;

use access::AccessError;
use access::control::WorkspaceChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::ids::KeyId;
use domain::access::record::WorkspaceStatus;
use domain::access::rights::{KeyScopes, Role};
use domain::limits::{KEY_BODY_BYTES_MAX, WORKSPACE_BODY_BYTES_MAX};
use domain::rate::Rate;
use domain::tenant::TenantId;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::keys::{KeyIn, keys_page};
use super::rates::{Given, given, rate};
use crate::extract::{
    Creating, CreatingKey, Document, Id, IfMatch, NoParameters, Operator, Parameters, WriteScope, etag,
};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::ChangeRefusals;
use crate::shape::{CurrentWorkspaceBody, KeyBody, Listing, MadeKeyBody, MadeMemberBody, WorkspaceBody};
use crate::state::ApiState;

/// A workspace to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewWorkspace)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceIn {
    /// Its id: a-z, 0-9, `-`, `_` and `.`, at most 63 of them.
    #[schema(example = "acme")]
    id: String,
    /// What people call it; the id if not given.
    #[serde(default)]
    name: Option<String>,
}

/// A change of the workspace that a request acts in; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CurrentWorkspaceChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurrentWorkspaceChangeIn {
    /// What people call it.
    #[serde(default)]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Whether each read of raw events is written to the audit log; for admins and owners.
    #[serde(default)]
    #[schema(nullable = false)]
    audit_reads: Option<bool>,
    /// Whether tokens of the configured external issuer open it; for owners.
    #[serde(default)]
    #[schema(nullable = false)]
    external_tokens: Option<bool>,
}

impl From<CurrentWorkspaceChangeIn> for WorkspaceChange {
    fn from(fields: CurrentWorkspaceChangeIn) -> Self {
        let CurrentWorkspaceChangeIn { name, audit_reads, external_tokens } = fields;
        Self { name, audits_reads: audit_reads, takes_external_tokens: external_tokens, ..Self::default() }
    }
}

/// A change of a workspace by the operator; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WorkspaceChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceChangeIn {
    /// What people call it.
    #[serde(default)]
    #[schema(nullable = false)]
    name: Option<String>,
    /// `active`, `suspended` or `deleting`.
    #[serde(default)]
    #[schema(nullable = false, pattern = "^(active|suspended|deleting)$")]
    status: Option<String>,
    /// Whether each read of raw events is written to the audit log.
    #[serde(default)]
    #[schema(nullable = false)]
    audit_reads: Option<bool>,
    /// How many requests a second are taken of it, 0: none; null: as many as the server is set to.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000_000)]
    requests_per_sec: Given,
    /// How many events a second are taken of it, 0: none; null: as many as the server is set to.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000_000)]
    events_per_sec: Given,
}

/// A person to be made a member.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewMember)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberIn {
    /// The address of the account, which is made if there is none.
    email: String,
    /// What the person is called, for a new account.
    #[serde(default)]
    name: Option<String>,
    /// `viewer`, `member`, `admin` or `owner`.
    #[schema(pattern = "^(viewer|member|admin|owner)$", example = "owner")]
    role: String,
}

impl TryFrom<WorkspaceChangeIn> for WorkspaceChange {
    type Error = Problem;

    fn try_from(fields: WorkspaceChangeIn) -> Result<Self, Problem> {
        let status = fields.status.as_deref().map(|name| {
            WorkspaceStatus::parse(name)
                .ok_or_else(|| Problem::parameter("status", "'status' must be active or suspended or deleting"))
        });
        Ok(Self {
            name: fields.name,
            status: status.transpose()?,
            audits_reads: fields.audit_reads,
            takes_external_tokens: None,
            requests_rate: read_rate("requests_per_sec", &fields.requests_per_sec)?,
            events_rate: read_rate("events_per_sec", &fields.events_per_sec)?,
        })
    }
}

/// Read the workspace
///
/// The one that the request acts in, and what its caller may do there.
#[utoipa::path(
    get, path = "/v1/workspace", tag = "workspaces", operation_id = "workspace",
    responses((status = 200, description = "The workspace", body = CurrentWorkspaceBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn current(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let register = api.access.register();
    let workspace = register.workspace(scope.tenant()).ok_or_else(unknown)?;
    let body = CurrentWorkspaceBody::new(workspace, by.principal.rights);
    Ok((etag(workspace.versioned.version), Json(body)).into_response())
}

/// Change the workspace
#[utoipa::path(
    patch, path = "/v1/workspace", tag = "workspaces", operation_id = "change_workspace", params(IfMatch),
    request_body = CurrentWorkspaceChangeIn,
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change_current(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<CurrentWorkspaceChangeIn, WORKSPACE_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let changed = api.access.change_workspace(&by, scope.tenant(), fields.into(), version).await?;
    Ok((etag(changed.versioned.version), Json(WorkspaceBody::from(&*changed))).into_response())
}

/// List all workspaces
///
/// In order of id.
#[utoipa::path(
    get, path = "/v1/workspaces", tag = "server", operation_id = "workspaces", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<WorkspaceBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, None, "workspaces", &(), &parameters).await?;
    let after = page.after(|id| TenantId::parse(id).ok());
    let register = api.access.register();
    let all = register.workspaces(after.as_ref());
    page.fill(all, |workspace| workspace.id.to_string(), |workspace| WorkspaceBody::from(&**workspace))
}

/// Make a workspace
#[utoipa::path(
    post, path = "/v1/workspaces", tag = "server", operation_id = "create_workspace", params(CreatingKey),
    request_body = WorkspaceIn,
    responses((status = 201, description = "Made", body = WorkspaceBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    _: Parameters<NoParameters>,
    new: Creating<WorkspaceIn, WORKSPACE_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let made = api.access.create_workspace(&by, &new.fields.id, new.fields.name.as_deref(), key).await?;
    Ok((StatusCode::CREATED, etag(made.versioned.version), Json(WorkspaceBody::from(&*made))).into_response())
}

/// Read one workspace
#[utoipa::path(
    get, path = "/v1/workspaces/{id}", tag = "server", operation_id = "one_workspace",
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, description = "The workspace", body = WorkspaceBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let known = api.access.register().workspace(&tenant(&id)?).cloned().ok_or_else(unknown)?;
    Ok((etag(known.versioned.version), Json(WorkspaceBody::from(&*known))).into_response())
}

/// Change one workspace
///
/// A workspace that is not `active` serves no request but this; nothing of it is lost.
#[utoipa::path(
    patch, path = "/v1/workspaces/{id}", tag = "server", operation_id = "change_one_workspace",
    params(("id" = String, Path, description = "The workspace's id"), IfMatch), request_body = WorkspaceChangeIn,
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<WorkspaceChangeIn, WORKSPACE_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let changed = api.access.change_workspace(&by, &tenant(&id)?, fields.try_into()?, version).await?;
    Ok((etag(changed.versioned.version), Json(WorkspaceBody::from(&*changed))).into_response())
}

/// Make a person a member of a workspace
///
/// For the operator, who hands out the first login. A new account gets its password by the token that is answered; a
/// person with an account is invited, and joins by the token of that.
#[utoipa::path(
    post, path = "/v1/workspaces/{id}/members", tag = "server", operation_id = "add_member",
    params(("id" = String, Path, description = "The workspace's id"), CreatingKey), request_body = MemberIn,
    responses((status = 201, description = "Made a member", body = MadeMemberBody), ChangeRefusals),
)]
pub(crate) async fn add_member(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    new: Creating<MemberIn, WORKSPACE_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let (key, fields) = (new.key(&by), new.fields);
    let role = role(&fields.role)?;
    let made = api.access.add_member(&by, &tenant(&id)?, &fields.email, fields.name.as_deref(), role, key).await?;
    Ok((StatusCode::CREATED, Json(MadeMemberBody::from(made))).into_response())
}

/// List the keys of a workspace
///
/// For the operator, who limits them. In order of id, the revoked ones included. Never with their secrets.
#[utoipa::path(
    get, path = "/v1/workspaces/{id}/keys", tag = "server", operation_id = "keys_of_workspace",
    params(("id" = String, Path, description = "The workspace's id"), PageParameters),
    responses((status = 200, description = "One page", body = Listing<KeyBody>), ChangeRefusals),
)]
pub(crate) async fn keys(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Id(id): Id,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let workspace = tenant(&id)?;
    // A cursor of one workspace's keys is none of another's.
    let page = ListPage::begin(&api, None, "keys-of-workspace", &workspace.as_str(), &parameters).await?;
    let after = page.after(|id| KeyId::parse(id).ok());
    let (register, now) = (api.access.register(), api.access.now());
    register.workspace(&workspace).ok_or_else(unknown)?;
    let keys = register.keys(Some(&workspace), after);
    page.fill(keys, |key| key.id.to_string(), |key| KeyBody::new(&register.as_used(key), now))
}

/// Make a key of a workspace
///
/// For the operator, who hands out the first key.
#[utoipa::path(
    post, path = "/v1/workspaces/{id}/keys", tag = "server", operation_id = "create_key_of_workspace",
    params(("id" = String, Path, description = "The workspace's id"), CreatingKey), request_body = KeyIn,
    responses((status = 201, description = "Made", body = MadeKeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create_key(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    new: Creating<KeyIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let made = api.access.create_key(&by, Some(&tenant(&id)?), new.fields.read()?, key).await?;
    let tag = etag(made.key.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeKeyBody::new(made, api.access.now()))).into_response())
}

/// Make a key of the operator
///
/// With it the routes of the server are used on a running server.
#[utoipa::path(
    post, path = "/v1/server/keys", tag = "server", operation_id = "create_operator_key", params(CreatingKey),
    request_body = KeyIn,
    responses((status = 201, description = "Made", body = MadeKeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create_operator_key(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    _: Parameters<NoParameters>,
    new: Creating<KeyIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let fields = new.fields.read()?;
    if fields.scopes != KeyScopes::NONE || fields.registered.is_some() || fields.project.is_some() {
        let detail = "a key of the operator has no scopes and no project, and is made here";
        return Err(Problem::parameter("scopes", detail));
    }
    let made = api.access.create_key(&by, None, fields, key).await?;
    let tag = etag(made.key.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeKeyBody::new(made, api.access.now()))).into_response())
}

/// List the keys of the operator
///
/// In order of id, the revoked ones included.
#[utoipa::path(
    get, path = "/v1/server/keys", tag = "server", operation_id = "operator_keys", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<KeyBody>), ChangeRefusals),
)]
pub(crate) async fn operator_keys(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    keys_page(&api, None, &parameters).await
}

/// Revoke a key of the operator
#[utoipa::path(
    delete, path = "/v1/server/keys/{id}", tag = "server", operation_id = "revoke_operator_key",
    params(("id" = String, Path, description = "The key's id"), IfMatch),
    responses((status = 200, description = "The key, revoked", body = KeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn revoke_operator_key(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<Response, Problem> {
    let key = api.access.revoke_key(&by, None, &id, version).await?;
    Ok((etag(key.versioned.version), Json(KeyBody::new(&key, api.access.now()))).into_response())
}

fn read_rate(field: &str, value: &Given) -> Result<Option<Option<Rate>>, Problem> {
    value.as_ref().map(|value| rate(field, value)).transpose()
}

/// The id of a workspace in a path.
fn tenant(id: &str) -> Result<TenantId, Problem> {
    TenantId::parse(id).map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::from(AccessError::NotFound("workspace"))
}

/// A role by its name.
pub(super) fn role(name: &str) -> Result<Role, Problem> {
    Role::parse(name).ok_or_else(|| {
        Problem::new(ProblemKind::InvalidParameter, "'role' must be viewer, member, admin or owner").at("role")
    })
}
