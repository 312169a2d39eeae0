//! What handlers take from a request: the tenant, the parameters, the body. Whatever cannot be understood
//! is refused here, and the refusal names the part of the request that it is about.

mod body;
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
    let credential = presented(&parts.headers)?;
    let scope = api.keyring.authenticate(credential.map(|credential| credential.key)).map_err(|why| {
        let header = credential.map_or(BEARER_HEADER, |credential| credential.header);
        Problem::new(ProblemKind::Unauthorized, why.to_string()).at(header)
    })?;
    if let Some(request) = parts.extensions.get::<RequestTenant>() {
        request.set(scope.tenant(), access);
    }
    Ok(scope)
}

/// Carries `Bearer` and a key.
const BEARER_HEADER: &str = "Authorization";
/// Carries a key.
const KEY_HEADER: &str = "X-API-Key";

/// A key, and the header that it is in.
#[derive(Debug, Clone, Copy)]
struct Credential<'h> {
    key: &'h str,
    header: &'static str,
}

/// The one key that the request carries. `Authorization` of another scheme is nobody's key: a proxy in
/// between may want it. Of two keys that differ neither is taken, since nobody can know which was meant.
fn presented(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Problem> {
    let refused = |header: &str, why: &str| Problem::new(ProblemKind::Unauthorized, why).at(header);
    let mut has_other_scheme = false;
    let mut found: Option<Credential<'_>> = None;
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| (BEARER_HEADER, value));
    let keys = headers.get_all(KEY_HEADER).iter().map(|value| (KEY_HEADER, value));
    for (header, value) in bearers.chain(keys) {
        let key = match value.as_bytes() {
            text if header == KEY_HEADER => text,
            text => match text.split_first_chunk::<7>() {
                Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
                _ => {
                    has_other_scheme = true;
                    continue;
                }
            },
        };
        let key = std::str::from_utf8(key).map_err(|_| refused(header, "the API key is not valid UTF-8"))?;
        if found.is_some_and(|before| before.key != key) {
            return Err(refused(header, "the request carries two API keys that differ"));
        }
        found = found.or(Some(Credential { key, header }));
    }
    match found {
        None if has_other_scheme => Err(refused(BEARER_HEADER, "the Authorization header must read 'Bearer <key>'")),
        found => Ok(found),
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
