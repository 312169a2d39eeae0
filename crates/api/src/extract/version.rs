//! The version of a thing that a request believes to change (`If-Match`), and the one that an answer tells (`ETag`).

use axum::extract::FromRequestParts;
use http::header::{ETAG, HeaderName, IF_MATCH};
use http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::headers;
use crate::problem::{Problem, ProblemKind};

/// The version in `If-Match`, if there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IfMatch(pub(crate) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IF_MATCH).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(value), None) => value.to_str().unwrap_or_default().trim(),
            _ => "",
        };
        if value == "*" {
            return Ok(Self(None));
        }
        let number = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let number = number.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let version = number.and_then(|digits| digits.parse().ok());
        version.map(|version| Self(Some(version))).ok_or_else(|| {
            let detail = "must be the ETag of what is changed, a version in quotes, as in \"3\"";
            Problem::new(ProblemKind::PreconditionFailed, detail).at("If-Match")
        })
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![headers::if_match()]
    }
}

/// The header that tells a version.
pub(crate) fn etag(version: u64) -> [(HeaderName, String); 1] {
    [(ETAG, format!("\"{version}\""))]
}
