//! A small JSON object as the body of a request that changes something. Not decompressed.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::body::read_in_time;
use crate::problem::{Kind, Problem};
use crate::router::ApiState;

/// Largest body, in bytes.
const OBJECT_BYTES_MAX: usize = 64 << 10;

/// The fields of the body.
#[derive(Debug)]
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

impl FromRequest<Arc<ApiState>> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, mut body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
        let essence = kind.as_deref().and_then(|kind| kind.split(|byte| *byte == b';').next());
        let is_json =
            |essence: &[u8]| matches!(essence.trim_ascii(), b"application/json" | b"application/merge-patch+json");
        if !essence.is_none_or(is_json) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "the body must be application/json"));
        }
        let encoding = parts.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
        if !encoding.is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::new(Kind::UnsupportedEncoding, "this body must not be compressed"));
        }
        let (bytes, _share) =
            read_in_time(&mut body, OBJECT_BYTES_MAX, &api.body_bytes, api.pipeline.limits().body_timeout).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::new(Kind::Malformed, "the body must be a JSON object")),
            Err(why) => Err(Problem::new(Kind::Malformed, format!("the body is no JSON: {why}"))),
        }
    }
}
