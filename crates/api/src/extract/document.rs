//! A JSON body that is read into a type: bounded in size and time. A refusal names the
//! field that is wrong. Not decompressed: such bodies are small.

use std::sync::Arc;

use access::By;
use access::control::CreationKey;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use domain::tenant::TenantScope;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use super::body::{BodyShare, read_in_time};
use super::idempotency::idempotency_key;
use crate::problem::{Problem, ProblemKind};
use crate::shape::Object;
use crate::state::ApiState;

/// A body of at most `BYTES_MAX` bytes.
#[derive(Debug)]
pub(crate) struct Document<T, const BYTES_MAX: usize>(pub(crate) T);

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Arc<ApiState>> for Document<T, BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_headers(&parts.headers)?;
        let (bytes, _reservation) = read(&parts, body, BYTES_MAX, api).await?;
        parse(&bytes).map(Self)
    }
}

/// As [`Document`], and its text, for who has to tell what was asked.
#[derive(Debug)]
pub(crate) struct Quoted<T, const BYTES_MAX: usize> {
    pub(crate) fields: T,
    pub(crate) text: String,
}

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Arc<ApiState>> for Quoted<T, BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_headers(&parts.headers)?;
        let (bytes, _reservation) = read(&parts, body, BYTES_MAX, api).await?;
        Ok(Self { fields: parse(&bytes)?, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

async fn read(head: &Parts, mut body: Body, bytes_max: usize, api: &ApiState) -> Result<(Vec<u8>, BodyShare), Problem> {
    read_in_time(head, &mut body, bytes_max, &api.body_bytes, api.pipeline.limits().body_timeout).await
}

/// A body that says what is to be made, and the `Idempotency-Key` with which the request may be repeated.
#[derive(Debug)]
pub(crate) struct Creating<T, const BYTES_MAX: usize> {
    pub(crate) fields: T,
    /// The key, the route and the body.
    repeated: Option<(String, String, Vec<u8>)>,
}

impl<T, const BYTES_MAX: usize> Creating<T, BYTES_MAX> {
    /// What the request is recognised by when it comes again.
    pub(crate) fn key(&self, by: &By) -> Option<CreationKey> {
        let (key, route, body) = self.repeated.as_ref()?;
        Some(creation_key(by, route, key, body))
    }
}

fn creation_key(by: &By, route: &str, key: &str, body: &[u8]) -> CreationKey {
    let workspace = by.principal.workspace.as_ref().map(TenantScope::tenant);
    CreationKey::new(&by.cause.actor.to_string(), workspace, route, key, body)
}

/// As [`Creating`], of a request whose route alone says what is to be made: its body is not read.
#[derive(Debug)]
pub(crate) struct Bodiless {
    /// The key and the route.
    repeated: Option<(String, String)>,
}

impl Bodiless {
    /// What the request is recognised by when it comes again.
    pub(crate) fn key(&self, by: &By) -> Option<CreationKey> {
        let (key, route) = self.repeated.as_ref()?;
        Some(creation_key(by, route, key, &[]))
    }
}

impl FromRequestParts<Arc<ApiState>> for Bodiless {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ApiState>) -> Result<Self, Problem> {
        let key = idempotency_key(&parts.headers)?.map(str::to_owned);
        Ok(Self { repeated: key.map(|key| (key, parts.uri.path().to_owned())) })
    }
}

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Arc<ApiState>> for Creating<T, BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_headers(&parts.headers)?;
        let key = idempotency_key(&parts.headers)?.map(str::to_owned);
        let (bytes, _reservation) = read(&parts, body, BYTES_MAX, api).await?;
        let fields = parse(&bytes)?;
        Ok(Self { fields, repeated: key.map(|key| (key, parts.uri.path().to_owned(), bytes)) })
    }
}

/// Checks that the headers, as far as they say anything, announce JSON that can be read.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let media = lower(headers, CONTENT_TYPE).unwrap_or_else(|| "application/json".to_owned());
    let is_json = |media: &str| matches!(media.trim(), "application/json" | "application/merge-patch+json");
    if !media.split(';').next().is_some_and(is_json) {
        let detail = "the body must be JSON, under the content type application/json";
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    }
    check_text(headers)
}

/// Checks that the headers, as far as they say anything, announce UTF-8 that is not compressed.
pub(super) fn check_text(headers: &HeaderMap) -> Result<(), Problem> {
    let media = lower(headers, CONTENT_TYPE).unwrap_or_default();
    let charset = media.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, "the body must be UTF-8"));
    }
    if lower(headers, CONTENT_ENCODING).is_some_and(|encoding| encoding.trim() != "identity") {
        return Err(Problem::new(ProblemKind::UnsupportedEncoding, "the body of this route must not be compressed"));
    }
    Ok(())
}

fn lower(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(document) = serde_path_to_error::deserialize(&mut reader).map_err(|why| {
        let (path, problem) = (why.path().to_string(), refusal(why.inner()));
        let path = Some(path).filter(|path| path != ".");
        // The name of a field that is given twice stands in the message alone.
        let text = why.inner().to_string();
        let twice = text.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`'));
        let field = match (path, twice) {
            (Some(path), Some((name, _))) => Some(format!("{path}.{name}")),
            (path, twice) => path.or_else(|| twice.map(|(name, _)| name.to_owned())),
        };
        field.map_or(problem.clone(), |field| problem.at(field))
    })?;
    reader.end().map_err(|why| refusal(&why))?;
    Ok(document)
}

fn refusal(why: &serde_json::Error) -> Problem {
    let kind = if why.is_data() { ProblemKind::InvalidParameter } else { ProblemKind::Malformed };
    Problem::new(kind, why.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::shape::QueryBody;

    proptest! {
        #[test]
        fn i9_any_body_is_a_query_or_refused(body in "[\\{\\}\\[\\]\",:a-z0-9. ]{0,60}") {
            let _ = parse::<QueryBody>(body.as_bytes());
        }
    }

    #[test]
    fn i9_a_list_is_no_object() {
        for (body, field) in [
            (r#"[null,null,null,null,[{"op":"count"}]]"#, "body"),
            (r#"{"aggregations":[["count",null,null]]}"#, "aggregations[0]"),
            (r#"{"aggregations":[{"op":"count"}],"order_by":[["count","desc"]]}"#, "order_by[0]"),
            (r#"{"filter":[null,null,"type","exists",null]}"#, "filter"),
            (
                r#"{"filter":{"and":[{"field":"type","op":"exists"},[null,null,"type","exists",null]]}}"#,
                "filter.and[1]",
            ),
            (r#"{"filter":{"or":[["type"]]}}"#, "filter.or[0]"),
            (r#"{"filter":{"or":[{"and":[{"field":1}]}]}}"#, "filter.or[0].and[0].field"),
            (r#"{"aggregations":{}}"#, "aggregations"),
            ("7", "body"),
        ] {
            let problem = parse::<QueryBody>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{body}: {problem:?}");
        }
    }

    #[test]
    fn i6_depth_is_bounded() {
        let deep = format!("{}{}", "{\"filter\":{\"and\":[", "{\"and\":[".repeat(10_000));
        assert!(parse::<QueryBody>(deep.as_bytes()).is_err());
        let list = format!("{{\"filter\":{{\"value\":{}", "[".repeat(100_000));
        assert!(parse::<QueryBody>(list.as_bytes()).is_err());
        parse::<QueryBody>(b"{\"aggregations\":[{\"op\":\"count\"}]}").unwrap();
    }
}
