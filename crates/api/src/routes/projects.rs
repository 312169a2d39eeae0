//! The projects of a workspace.

use std::sync::Arc;

use access::control::ProjectChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{Creating, Document, Id, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag};
use crate::problem::Problem;
use crate::routes::docs::ChangeRefusals;
use crate::shape::{ProjectBody, Whole};
use crate::state::ApiState;

/// Largest body of these routes, in bytes.
const PROJECT_BYTES_MAX: usize = 16 << 10;

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewProject)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectIn {
    /// The word that events carry.
    #[schema(example = "web")]
    id: String,
    /// What people call it; the id if not given.
    #[serde(default)]
    name: Option<String>,
}

/// A change of a project.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ProjectChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectChangeIn {
    /// What people call it.
    name: String,
}

/// List the projects
#[utoipa::path(
    get, path = "/v1/projects", tag = "workspaces", operation_id = "projects",
    responses((status = 200, description = "All of them", body = Whole<ProjectBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    _: Parameters<NoParameters>,
) -> Json<Whole<ProjectBody>> {
    let register = api.access.register();
    Json(Whole { data: register.projects(scope.tenant()).map(ProjectBody::from).collect() })
}

/// Make a project
#[utoipa::path(
    post, path = "/v1/projects", tag = "workspaces", operation_id = "create_project", request_body = ProjectIn,
    responses((status = 201, description = "Made", body = ProjectBody), ChangeRefusals),
)]
pub(crate) async fn create(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<ProjectIn, PROJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let made = api.access.create_project(&by, &new.fields.id, new.fields.name.as_deref(), key).await?;
    Ok((StatusCode::CREATED, etag(made.versioned.version), Json(ProjectBody::from(&made))).into_response())
}

/// Change a project
#[utoipa::path(
    patch, path = "/v1/projects/{id}", tag = "workspaces", operation_id = "change_project",
    params(("id" = String, Path, description = "The project's id")), request_body = ProjectChangeIn,
    responses((status = 200, description = "The project as it is now", body = ProjectBody), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<ProjectChangeIn, PROJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let changed = api.access.change_project(&by, &id, ProjectChange::Rename(fields.name), version).await?;
    Ok((etag(changed.versioned.version), Json(ProjectBody::from(&changed))).into_response())
}

/// Remove a project
///
/// It is no longer listed, and no new key can be bound to it. Its events stay.
#[utoipa::path(
    delete, path = "/v1/projects/{id}", tag = "workspaces", operation_id = "remove_project",
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 204, description = "Removed"), ChangeRefusals),
)]
pub(crate) async fn remove(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    api.access.change_project(&by, &id, ProjectChange::Remove, version).await?;
    Ok(StatusCode::NO_CONTENT)
}
