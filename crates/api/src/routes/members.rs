//! The members of a workspace, and invitations to it.

use std::sync::Arc;

use access::control::MemberChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::ids::{InvitationId, UserId};
use domain::access::principal::Subject;
use domain::access::record::Membership;
use domain::limits::MEMBER_BODY_BYTES_MAX;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::workspaces::role;
use crate::extract::{
    Creating, CreatingKey, Document, Id, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag,
};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::ChangeRefusals;
use crate::shape::{InvitationBody, Listing, MadeInvitationBody, MemberBody};
use crate::state::ApiState;

/// A change of a member.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MemberChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberChangeIn {
    /// `viewer`, `member`, `admin` or `owner`; owners are made and changed by owners alone.
    #[serde(default)]
    #[schema(pattern = "^(viewer|member|admin|owner)$", nullable = false)]
    role: Option<String>,
    /// Whether the person sees encrypted properties in plain text, where the role lets events be read; owners do in any
    /// case, and they alone let others.
    #[serde(default)]
    #[schema(nullable = false)]
    decrypt: Option<bool>,
}

/// An invitation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewInvitation)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationIn {
    /// Who is meant.
    #[schema(example = "ann@example.com")]
    email: String,
    /// `viewer`, `member`, `admin` or `owner`.
    #[schema(pattern = "^(viewer|member|admin|owner)$", example = "member")]
    role: String,
}

/// List the members
///
/// In order of their ids.
#[utoipa::path(
    get, path = "/v1/members", tag = "workspaces", operation_id = "members", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<MemberBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "members", &(), &parameters).await?;
    let after = page.after(|id| UserId::parse(id).ok());
    let register = api.access.register();
    let body = |member: &Membership| MemberBody::new(member, register.user(member.user).map(|user| &**user));
    page.fill(register.members(scope.tenant(), after), |member| member.user.to_string(), body)
}

/// Change a member's role
///
/// What is not given stays as it is.
#[utoipa::path(
    patch, path = "/v1/members/{id}", tag = "workspaces", operation_id = "change_member",
    params(("id" = String, Path, description = "The person's id"), IfMatch), request_body = MemberChangeIn,
    responses((status = 200, description = "The member as it is now", body = MemberBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<MemberChangeIn, MEMBER_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let role = fields.role.as_deref().map(role).transpose()?;
    let change = MemberChange { role, decrypts: fields.decrypt };
    let changed = api.access.change_member(&by, &id, change, version).await?;
    let user = api.access.register().user(changed.user).cloned();
    let body = MemberBody::new(&changed, user.as_deref());
    Ok((etag(changed.versioned.version), Json(body)).into_response())
}

/// Remove a member
///
/// The person's next request is refused. The last owner of a workspace stays.
#[utoipa::path(
    delete, path = "/v1/members/{id}", tag = "workspaces", operation_id = "remove_member",
    params(("id" = String, Path, description = "The person's id"), IfMatch),
    responses((status = 204, description = "Removed"), ChangeRefusals),
)]
pub(crate) async fn remove(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    api.access.remove_member(&by, &id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leave the workspace
///
/// For a person of any role. The last owner of a workspace stays.
#[utoipa::path(
    post, path = "/v1/members/leave", tag = "workspaces", operation_id = "leave",
    responses((status = 204, description = "Left"), ChangeRefusals),
)]
pub(crate) async fn leave(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    _: Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    let Subject::Person(user, _) = by.principal.subject else {
        return Err(Problem::new(ProblemKind::Forbidden, "only a person can leave").at("Authorization"));
    };
    api.access.remove_member(&by, user.as_str(), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the open invitations
///
/// In order of their ids.
#[utoipa::path(
    get, path = "/v1/invitations", tag = "workspaces", operation_id = "invitations", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<InvitationBody>), ChangeRefusals),
)]
pub(crate) async fn invitations(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "invitations", &(), &parameters).await?;
    let after = page.after(|id| InvitationId::parse(id).ok());
    let (register, now) = (api.access.register(), api.access.now());
    let all = register.invitations(scope.tenant(), after);
    let open = all.filter(|one| one.closed.is_none() && now < one.expires);
    page.fill(open, |one| one.id.to_string(), InvitationBody::from)
}

/// Invite a person
///
/// The token is answered once, to be handed on; no mail is sent. It can be used once, within 72 hours.
#[utoipa::path(
    post, path = "/v1/invitations", tag = "workspaces", operation_id = "invite", params(CreatingKey),
    request_body = InvitationIn,
    responses((status = 201, description = "Made", body = MadeInvitationBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn invite(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<InvitationIn, MEMBER_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let made = api.access.invite(&by, &new.fields.email, role(&new.fields.role)?, new.key(&by)).await?;
    let tag = etag(made.invitation.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeInvitationBody::from(made))).into_response())
}

/// Withdraw an invitation
#[utoipa::path(
    delete, path = "/v1/invitations/{id}", tag = "workspaces", operation_id = "withdraw_invitation",
    params(("id" = String, Path, description = "The invitation's id"), IfMatch),
    responses((status = 204, description = "Withdrawn"), ChangeRefusals),
)]
pub(crate) async fn withdraw(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    api.access.withdraw_invitation(&by, &id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}
