//! What handlers take from a request: the tenant, the parameters, the body. Whatever cannot be understood
//! is refused here, and the refusal names the part of the request that it is about.

mod body;
mod cursor;
mod document;
mod idempotency;
mod parameters;
mod span;
mod table;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use domain::tenant::TenantScope;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;

pub(crate) use body::IngestBody;
pub(crate) use cursor::{next_cursor, read_cursor};
pub(crate) use document::Document;
pub(crate) use idempotency::RequestKey;
pub(crate) use parameters::{NoParameters, Parameters, flag, limit, list, number, one_of, text};
pub(crate) use span::{Bounds, Span, WEEK_STARTS, week_start, zone};
pub(crate) use table::{TableBody, TableText, generation};

use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::{Access, RequestTenant};
use crate::state::ApiState;

/// The tenant of a request that only reads.
///
/// A handler says with this type or with [`WriteScope`] what its route is; there is no other way to a
/// tenant, so a route that says neither has none.
#[derive(Debug)]
pub(crate) struct ReadScope(pub(crate) TenantScope);

/// The tenant of a request that changes something. Refused before anything is done when the tenant's own
/// answers fill their memory, so that the answer to a change that was made is never refused.
#[derive(Debug)]
pub(crate) struct WriteScope(pub(crate) TenantScope);

impl FromRequestParts<Arc<ApiState>> for ReadScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        authenticate(parts, api, Access::Read).map(Self)
    }
}

impl FromRequestParts<Arc<ApiState>> for WriteScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let scope = authenticate(parts, api, Access::Write)?;
        api.write_response_budget.check_own_room(scope.tenant())?;
        Ok(Self(scope))
    }
}

/// The tenant that the request's key belongs to; noted for the layers around the handler.
fn authenticate(parts: &Parts, api: &ApiState, access: Access) -> Result<TenantScope, Problem> {
    let key = presented(&parts.headers)?;
    let scope = api.keyring.authenticate(key).map_err(|why| {
        let is_other = !parts.headers.contains_key(AUTHORIZATION) && parts.headers.contains_key("x-api-key");
        let header = if is_other { "X-API-Key" } else { "Authorization" };
        Problem::new(ProblemKind::Unauthorized, why.to_string()).at(header)
    })?;
    if let Some(request) = parts.extensions.get::<RequestTenant>() {
        request.set(scope.tenant(), access);
    }
    Ok(scope)
}

/// The key that the request carries; `Authorization` goes before `X-API-Key`.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let refused = |why: &str| Problem::new(ProblemKind::Unauthorized, why);
    let text = |name| match headers.get(name) {
        Some(value) => {
            std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| refused("the API key is not valid UTF-8"))
        }
        None => Ok(None),
    };
    let Some(authorization) = text(AUTHORIZATION.as_str())? else { return text("x-api-key") };
    match authorization.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(key.trim())),
        _ => Err(refused("the Authorization header must read 'Bearer <key>'")),
    }
}

/// The id at the end of the path, percent-decoded.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Problem::parameter("id", "is not valid UTF-8"))
    }
}
