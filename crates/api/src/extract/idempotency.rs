//! The `Idempotency-Key` of a request that may be repeated: read here for all routes. Of a request that takes events it
//! is bound to its credential and route.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use domain::request::IdempotencyKey;
use http::HeaderMap;
use http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::principal::Sender;
use crate::headers::{self, IDEMPOTENCY_KEY_HEADER};
use crate::problem::Problem;
use crate::state::ApiState;

/// The key of a request, if it has one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let refused = |why: &str| Problem::parameter(IDEMPOTENCY_KEY_HEADER, why);
    let mut values = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("is given more than once"));
    }
    IdempotencyKey::check(value.as_bytes()).map(Some).map_err(|why| refused(&why.to_string()))
}

/// The key that a request may be repeated with, if it has one. A signed request without one has its signature: sent
/// again, it counts nothing twice. Comes after the extractor of the sender.
#[derive(Debug)]
pub(crate) struct RequestKey(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<Arc<ApiState>> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ApiState>) -> Result<Self, Problem> {
        let refused = |why: String| Problem::parameter(IDEMPOTENCY_KEY_HEADER, why);
        let sender = parts.extensions.get::<Sender>().ok_or_else(|| Problem::internal("nobody sends the request"))?;
        let signature = sender.signature.as_deref();
        if signature.is_some() && parts.headers.contains_key(IDEMPOTENCY_KEY_HEADER) {
            // It is not signed: with another one, a captured request would count again.
            return Err(refused("is not taken beside a signature, which stands for it".to_owned()));
        }
        let Some(key) = idempotency_key(&parts.headers)?.or(signature) else { return Ok(Self(None)) };
        let route = parts.extensions.get::<MatchedPath>().map_or_else(|| parts.uri.path(), MatchedPath::as_str);
        let key = IdempotencyKey::new(sender.credential, route, key.as_bytes());
        key.map(|key| Self(Some(key))).map_err(|why| refused(why.to_string()))
    }
}

impl IntoParams for RequestKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let help = "Makes the whole request safe to repeat, also for events without an id: the same key with the \
                    same body is answered as the first time, and nothing is taken again. Unique per API key and route.";
        vec![headers::idempotency_key(help)]
    }
}

/// The parameter of routes that make something, which take [`super::Creating`].
#[derive(Debug)]
pub(crate) struct CreatingKey;

impl IntoParams for CreatingKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let help = "Makes the request safe to repeat for a day: the same key with the same body makes nothing new. \
                    What has a secret is then answered with 409 and its id, everything else as the first time.";
        vec![headers::idempotency_key(help)]
    }
}
