//! People: joining by an invitation, logging in and out, passwords.

use std::sync::Arc;

use access::control::Login;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::ids::UserId;
use domain::limits::AUTH_BODY_BYTES_MAX;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{Anyone, Document, IfMatch, NoParameters, Parameters, Person, etag};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{AuthRefusals, OpenRefusals};
use crate::shape::{LoginBody, MeBody, MyWorkspaceBody, TokensBody, UserBody};
use crate::state::ApiState;

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[schema(as = LoginRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginIn {
    /// The address of the account.
    email: String,
    /// Its password.
    #[schema(format = Password)]
    password: String,
    /// Whether a cookie is to hold the session instead of tokens.
    #[serde(default)]
    cookie: bool,
}

/// Who accepts an invitation.
#[derive(Deserialize, ToSchema)]
#[schema(as = RegisterRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterIn {
    /// The token of the invitation.
    token: String,
    /// What the person is called; for a new account.
    #[serde(default)]
    name: Option<String>,
    /// The password of the new account, or of the one that there is.
    #[schema(format = Password)]
    password: String,
    /// Whether a cookie is to hold the session instead of tokens.
    #[serde(default)]
    cookie: bool,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[schema(as = RefreshRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshIn {
    /// The token, as the last login or refresh has answered it.
    refresh_token: String,
}

/// A change of a password.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordIn {
    /// The password until now.
    #[schema(format = Password)]
    current_password: String,
    /// The password from now on.
    #[schema(format = Password)]
    new_password: String,
    /// Whether a cookie is to hold the new session instead of tokens.
    #[serde(default)]
    cookie: bool,
}

/// A new password by a token.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordReset)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetIn {
    /// The token of the reset.
    token: String,
    /// The password from now on.
    #[schema(format = Password)]
    password: String,
}

/// A change of the person who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MeChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeIn {
    /// What the person is called.
    name: String,
}

/// Log in
///
/// Answers tokens, or sets a cookie. The answer is the same, and takes as long, whether there is no such account, the
/// password is wrong or the account is suspended.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "people", operation_id = "log_in", request_body = LoginIn, security(()),
    responses((status = 200, description = "Logged in", body = LoginBody), AuthRefusals),
)]
pub(crate) async fn login(
    State(api): State<Arc<ApiState>>,
    Anyone { by, cookies }: Anyone,
    _: Parameters<NoParameters>,
    Document(fields): Document<LoginIn, AUTH_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    cookies.check(fields.cookie)?;
    let login = api.access.log_in(&by, &fields.email, &fields.password, fields.cookie).await?;
    answer(&api, login).await
}

/// Accept an invitation
///
/// Makes the account of the address that was invited, or joins the one that there is, and logs in.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "people", operation_id = "register", request_body = RegisterIn, security(()),
    responses((status = 200, description = "Joined and logged in", body = LoginBody), AuthRefusals),
)]
pub(crate) async fn register(
    State(api): State<Arc<ApiState>>,
    Anyone { by, cookies }: Anyone,
    _: Parameters<NoParameters>,
    Document(fields): Document<RegisterIn, AUTH_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    cookies.check(fields.cookie)?;
    let accepted = api.access.accept_invitation(&by, &fields.token, fields.name.as_deref(), &fields.password).await;
    let (user, _) = accepted?;
    let login = api.access.begin_session(&by, &user, fields.cookie).await?;
    answer(&api, login).await
}

/// Get new tokens
///
/// A refresh token is taken once. One that comes again ends its session, since one of the two who have it stole it.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "people", operation_id = "refresh", request_body = RefreshIn, security(()),
    responses((status = 200, description = "The new tokens", body = TokensBody), AuthRefusals),
)]
pub(crate) async fn refresh(
    State(api): State<Arc<ApiState>>,
    Anyone { by, .. }: Anyone,
    _: Parameters<NoParameters>,
    Document(fields): Document<RefreshIn, AUTH_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let pair = api.access.refresh_tokens(&by, &fields.refresh_token).await;
    let pair = pair.map_err(|why| Problem::from(why).at_if(ProblemKind::Unauthorized, "refresh_token"))?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(TokensBody::from(pair))).into_response())
}

/// Log out
///
/// Ends the session of the token or cookie: neither is taken from then on, and no refresh token of it.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "people", operation_id = "log_out",
    responses((status = 204, description = "Logged out"), AuthRefusals),
)]
pub(crate) async fn logout(
    State(api): State<Arc<ApiState>>,
    Person { session, by, .. }: Person,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    api.access.log_out(&by, session).await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, api.cookie.set("", 0))]).into_response())
}

/// Change the own password
///
/// Ends all sessions of the person and begins a new one, which is answered.
#[utoipa::path(
    post, path = "/v1/auth/password", tag = "people", operation_id = "change_password", request_body = PasswordIn,
    responses((status = 200, description = "Changed, and logged in anew", body = LoginBody), AuthRefusals),
)]
pub(crate) async fn password(
    State(api): State<Arc<ApiState>>,
    Person { user, session, by, cookies }: Person,
    _: Parameters<NoParameters>,
    Document(fields): Document<PasswordIn, AUTH_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let PasswordIn { current_password, new_password, cookie } = fields;
    cookies.check(cookie)?;
    let user = api.access.change_password(&by, user, session, &current_password, &new_password).await?;
    let login = api.access.begin_session(&by, &user, cookie).await?;
    answer(&api, login).await
}

/// Set a new password by a token
///
/// Ends all sessions of the person. The token comes from the operator of the server; no mail is sent.
#[utoipa::path(
    post, path = "/v1/auth/reset", tag = "people", operation_id = "reset_password", request_body = ResetIn, security(()),
    responses((status = 204, description = "Set"), AuthRefusals),
)]
pub(crate) async fn reset(
    State(api): State<Arc<ApiState>>,
    Anyone { by, .. }: Anyone,
    _: Parameters<NoParameters>,
    Document(fields): Document<ResetIn, AUTH_BODY_BYTES_MAX>,
) -> Result<StatusCode, Problem> {
    api.access.reset_password(&by, &fields.token, &fields.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read who is logged in
#[utoipa::path(
    get, path = "/v1/auth/me", tag = "people", operation_id = "me",
    responses((status = 200, description = "The person and the person's workspaces", body = MeBody, headers(("ETag" = String, description = "Its version"))), AuthRefusals),
)]
pub(crate) async fn me(
    State(api): State<Arc<ApiState>>,
    Person { user, session, .. }: Person,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let known = api.access.user_of(session).map_err(access::AccessError::from)?;
    Ok((etag(known.versioned.version), Json(body(&api, user, UserBody::from(&*known)))).into_response())
}

/// Change the own name
#[utoipa::path(
    patch, path = "/v1/auth/me", tag = "people", operation_id = "change_me", params(IfMatch),
    request_body = MeIn,
    responses((status = 200, description = "The person as it is now", body = UserBody, headers(("ETag" = String, description = "Its version"))), AuthRefusals),
)]
pub(crate) async fn change_me(
    State(api): State<Arc<ApiState>>,
    Person { user, by, .. }: Person,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<MeIn, AUTH_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let change = access::control::UserChange { name: Some(fields.name), status: None };
    let user = api.access.change_user(&by, user, change, version).await?;
    Ok((etag(user.versioned.version), Json(UserBody::from(&*user))).into_response())
}

/// Read the public keys of access tokens
///
/// A JWK set (RFC 7517), for those who check tokens of this server themselves.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "people", operation_id = "jwks", security(()),
    responses((status = 200, description = "The key set", body = Object), OpenRefusals),
)]
pub(crate) async fn jwks(State(api): State<Arc<ApiState>>, _: Parameters<NoParameters>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, api.access.jwks()).into_response()
}

/// A login, by the cookie that it sets or with tokens.
async fn answer(api: &ApiState, login: Login) -> Result<Response, Problem> {
    let me = body(api, login.user.id, UserBody::from(&*login.user));
    let no_store = [(CACHE_CONTROL, "no-store")];
    match &login.cookie {
        Some(cookie) => {
            let cookie = [(SET_COOKIE, api.cookie.set(cookie.expose(), login.lasts.as_secs()))];
            Ok((no_store, cookie, Json(LoginBody { me, tokens: None })).into_response())
        }
        None => {
            let tokens = Some(api.access.first_tokens(&login).await?.into());
            Ok((no_store, Json(LoginBody { me, tokens })).into_response())
        }
    }
}

fn body(api: &ApiState, id: UserId, user: UserBody) -> MeBody {
    let register = api.access.register();
    let workspaces = register.workspaces_of(id).filter_map(|workspace| {
        let role = register.role(workspace, id)?;
        let known = register.workspace(workspace)?;
        Some(MyWorkspaceBody {
            id: workspace.to_string(),
            name: known.name.clone(),
            role: role.name(),
            status: known.status.name(),
        })
    });
    MeBody { user, workspaces: workspaces.collect() }
}
