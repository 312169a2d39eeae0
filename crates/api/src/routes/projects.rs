//! The projects of a workspace.

use std::sync::Arc;

use access::control::ProjectChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::limits::PROJECT_BODY_BYTES_MAX;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{
    Creating, CreatingKey, Document, Id, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag,
};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::Problem;
use crate::routes::docs::ChangeRefusals;
use crate::shape::{Listing, ProjectBody};
use crate::state::ApiState;

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
///
/// In order of id.
#[utoipa::path(
    get, path = "/v1/projects", tag = "workspaces", operation_id = "projects", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<ProjectBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "projects", &(), &parameters).await?;
    let after = page.after(|id| Some(id.to_owned()));
    let register = api.access.register();
    let projects = register.projects(scope.tenant(), after.as_deref());
    page.fill(projects, |project| project.id.to_string(), ProjectBody::from)
}

/// Make a project
#[utoipa::path(
    post, path = "/v1/projects", tag = "workspaces", operation_id = "create_project", params(CreatingKey),
    request_body = ProjectIn,
    responses((status = 201, description = "Made", body = ProjectBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<ProjectIn, PROJECT_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let made = api.access.create_project(&by, &new.fields.id, new.fields.name.as_deref(), key).await?;
    Ok((StatusCode::CREATED, etag(made.versioned.version), Json(ProjectBody::from(&made))).into_response())
}

/// Change a project
#[utoipa::path(
    patch, path = "/v1/projects/{id}", tag = "workspaces", operation_id = "change_project",
    params(("id" = String, Path, description = "The project's id"), IfMatch), request_body = ProjectChangeIn,
    responses((status = 200, description = "The project as it is now", body = ProjectBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<ProjectChangeIn, PROJECT_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let changed = api.access.change_project(&by, &id, ProjectChange::Rename(fields.name), version).await?;
    Ok((etag(changed.versioned.version), Json(ProjectBody::from(&changed))).into_response())
}

/// Remove a project
///
/// It is no longer listed, and no new key can be bound to it. Its events stay.
#[utoipa::path(
    delete, path = "/v1/projects/{id}", tag = "workspaces", operation_id = "remove_project",
    params(("id" = String, Path, description = "The project's id"), IfMatch),
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
