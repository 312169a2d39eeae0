//! People, for the operator of the server.

use std::sync::Arc;

use access::AccessError;
use access::control::UserChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::email::Email;
use domain::access::ids::UserId;
use domain::access::record::UserStatus;
use domain::limits::USER_BODY_BYTES_MAX;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Document, Id, IfMatch, NoParameters, Operator, Parameters, etag};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::Problem;
use crate::routes::docs::ChangeRefusals;
use crate::shape::{Listing, MadeResetBody, UserBody};
use crate::state::ApiState;

/// A change of a person; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = UserChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChangeIn {
    /// What the person is called.
    #[serde(default)]
    #[schema(nullable = false)]
    name: Option<String>,
    /// `active` or `suspended`. Who is suspended is logged out everywhere.
    #[serde(default)]
    #[schema(nullable = false, pattern = "^(active|suspended)$")]
    status: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserParameters {
    /// The one of this address, whatever its case.
    email: Option<String>,
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The key that signs access tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenKey)]
pub(crate) struct TokenKeyBody {
    /// Its id, which tokens carry.
    kid: String,
}

/// List all people
///
/// In order of their addresses.
#[utoipa::path(
    get, path = "/v1/users", tag = "server", operation_id = "users", params(UserParameters),
    responses((status = 200, description = "One page", body = Listing<UserBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    _: Operator,
    Parameters(UserParameters { email, limit, cursor }): Parameters<UserParameters>,
) -> Result<Answer, Problem> {
    let email = email.as_deref().map(Email::parse).transpose();
    let email = email.map_err(|why| Problem::parameter("email", why.to_string()))?;
    let folded = email.as_ref().map(Email::folded);
    let page = ListPage::begin(&api, None, "users", &folded, &PageParameters { limit, cursor }).await?;
    let after = page.after(|email| Some(email.to_owned()));
    let register = api.access.register();
    // Of one address there is one account at most.
    let one = folded.and_then(|folded| register.user_by_email(folded)).into_iter();
    let all = folded.is_none().then(|| register.users(after.as_deref())).into_iter().flatten();
    page.fill(one.chain(all), |user| user.email.folded().to_owned(), |user| UserBody::from(&**user))
}

/// Change a person
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "server", operation_id = "change_user",
    params(("id" = String, Path, description = "The person's id"), IfMatch), request_body = UserChangeIn,
    responses((status = 200, description = "The person as it is now", body = UserBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<UserChangeIn, USER_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let status = fields.status.as_deref().map(|name| {
        UserStatus::parse(name).ok_or_else(|| Problem::parameter("status", "'status' must be active or suspended"))
    });
    let change = UserChange { name: fields.name, status: status.transpose()? };
    let user = api.access.change_user(&by, user_id(&id)?, change, version).await?;
    Ok((etag(user.versioned.version), Json(UserBody::from(&*user))).into_response())
}

/// Make a token that sets a person's password
///
/// It can be used once, within an hour, at `POST /v1/auth/reset`; an earlier one is of no use any more.
#[utoipa::path(
    post, path = "/v1/users/{id}/password-reset", tag = "server", operation_id = "create_password_reset",
    params(("id" = String, Path, description = "The person's id")),
    responses((status = 201, description = "Made", body = MadeResetBody), ChangeRefusals),
)]
pub(crate) async fn reset(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let made = api.access.create_reset(&by, user_id(&id)?).await?;
    Ok((StatusCode::CREATED, Json(MadeResetBody::from(made))).into_response())
}

/// Make a new key that access tokens are signed with
///
/// Tokens of the keys before are taken until they end.
#[utoipa::path(
    post, path = "/v1/server/token-keys/rotate", tag = "server", operation_id = "rotate_token_key",
    responses((status = 201, description = "The new key", body = TokenKeyBody), ChangeRefusals),
)]
pub(crate) async fn rotate_token_key(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let kid = api.access.rotate_token_key(&by).await?;
    Ok((StatusCode::CREATED, Json(TokenKeyBody { kid })).into_response())
}

fn user_id(id: &str) -> Result<UserId, Problem> {
    UserId::parse(id).map_err(|_| AccessError::NotFound("user").into())
}
