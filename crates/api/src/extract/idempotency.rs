//! The `Idempotency-Key` of a request that takes events, bound to its credential and route.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use domain::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use domain::request::IdempotencyKey;
use http::header::HeaderValue;
use http::request::Parts;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, openapi::Required};

use super::principal::Sender;
use crate::problem::Problem;
use crate::state::ApiState;

/// The header, as it is named in refusals and in the document.
const HEADER: &str = "Idempotency-Key";

/// The key that a request may be repeated with, if it has one. A signed request without one has its signature: sent
/// again, it counts nothing twice. Comes after the extractor of the sender.
#[derive(Debug)]
pub(crate) struct RequestKey(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<Arc<ApiState>> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ApiState>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let sender = parts.extensions.get::<Sender>().ok_or_else(|| Problem::internal("nobody sends the request"))?;
        let given = values.next().map(HeaderValue::as_bytes);
        let signature = sender.signature.as_deref().map(str::as_bytes);
        if given.is_some() && signature.is_some() {
            // It is not signed: with another one, a captured request would count again.
            return Err(Problem::parameter(HEADER, "is not taken beside a signature, which stands for it"));
        }
        let Some(value) = given.or(signature) else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(Problem::parameter(HEADER, "is given more than once"));
        }
        let route = parts.extensions.get::<MatchedPath>().map_or_else(|| parts.uri.path(), MatchedPath::as_str);
        let key = IdempotencyKey::new(sender.credential, route, value);
        key.map(|key| Self(Some(key))).map_err(|why| Problem::parameter(HEADER, why.to_string()))
    }
}

impl IntoParams for RequestKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(IDEMPOTENCY_KEY_BYTES_MAX))
            .pattern(Some("^[!-~]+$"));
        let help = "Makes the whole request safe to repeat, also for events without an id: the same key with the \
                    same body is answered as the first time, and nothing is taken again. Unique per API key and route.";
        let parameter = ParameterBuilder::new()
            .name(HEADER)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(help))
            .schema(Some(text))
            .build();
        vec![parameter]
    }
}
