//! Query parameters. Every refusal names the parameter; one that no route knows is refused too,
//! because a misspelt filter would answer another question than the one that was asked.

use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, Query};
use domain::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use http::Uri;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::Problem;

/// The query parameters of a route: a struct of optional texts, each also in the OpenAPI document.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

/// No parameters: for routes whose answer none can change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        check_utf8(&parts.uri)?;
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(parameters)| Self(parameters)).map_err(|_| refusal::<T>(&parts.uri))
    }
}

/// Refuses bytes that are no text: they would be read as another text.
fn check_utf8(uri: &Uri) -> Result<(), Problem> {
    for pair in uri.query().unwrap_or_default().split('&') {
        let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        if percent_decode_str(pair).decode_utf8().is_err() {
            let name = text(pair.split_once('=').map_or(pair, |(name, _)| name));
            return Err(Problem::parameter(&name, format!("'{name}' is not valid UTF-8")));
        }
    }
    Ok(())
}

/// The refusal of a parameter that is unknown or given twice.
fn refusal<T: IntoParams>(uri: &Uri) -> Problem {
    let known: Vec<String> = T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Problem::parameter("query", "the query string cannot be read");
    };
    let unknown = pairs.iter().find(|(name, _)| !known.contains(name));
    if let Some((name, _)) = unknown {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Problem::parameter(name, format!("unknown parameter '{name}'; this route takes: {known}"));
    }
    let twice = pairs.iter().enumerate().find(|(at, (name, _))| pairs[..*at].iter().any(|(before, _)| before == name));
    let name = twice.map_or("query", |(_, (name, _))| name.as_str());
    Problem::parameter(name, format!("'{name}' is given more than once"))
}

/// A filter that must not be empty.
pub(crate) fn text(name: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    match value {
        Some(value) if value.is_empty() => Err(Problem::parameter(name, format!("'{name}' must not be empty"))),
        value => Ok(value),
    }
}

/// One of a few words.
pub(crate) fn one_of<T: Copy>(name: &str, value: Option<&str>, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(value) = value else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == value) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(Problem::parameter(name, format!("'{name}' must be {}", words.join(" or "))))
        }
    }
}

/// How many rows a page holds at most.
pub(crate) fn limit(value: Option<&str>) -> Result<usize, Problem> {
    number("limit", value, PAGE_ROWS_DEFAULT, 1..=PAGE_ROWS_MAX)
}

/// A whole number within `range`; `default` when it is not given.
pub(crate) fn number(
    name: &str,
    value: Option<&str>,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Problem> {
    let Some(value) = value else { return Ok(default) };
    let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (first, last) = (range.start(), range.end());
        Problem::parameter(name, format!("'{name}' must be a whole number from {first} to {last}"))
    })
}

/// `true` or `false`; `false` when it is not given.
pub(crate) fn flag(name: &str, value: Option<&str>) -> Result<bool, Problem> {
    Ok(one_of(name, value, &[("true", true), ("false", false)])?.unwrap_or(false))
}

/// A comma-separated list of a few words, each at most once; empty when it is not given.
pub(crate) fn list<T: Copy + PartialEq>(
    name: &str,
    value: Option<&str>,
    words: &[(&str, T)],
) -> Result<Vec<T>, Problem> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut found = Vec::with_capacity(words.len());
    for word in value.split(',') {
        let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word.trim()) else {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            return Err(Problem::parameter(name, format!("'{name}' is a list of {}", words.join(", "))));
        };
        if found.contains(meaning) {
            return Err(Problem::parameter(name, format!("'{name}' names {} twice", word.trim())));
        }
        found.push(*meaning);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn i9_bytes_that_are_no_text_are_refused() {
        let place =
            |uri: &'static str| check_utf8(&Uri::from_static(uri)).err().map(|why| why.field().map(str::to_owned));
        assert_eq!(place("/v1/events?customer=%FF"), Some(Some("customer".to_owned())));
        assert_eq!(place("/v1/events?limit=1&customer=a%C3&type=b"), Some(Some("customer".to_owned())));
        for fine in ["/", "/?", "/?customer=%EF%BF%BD", "/?customer=%C3%A4&limit=1", "/?a=%zz"] {
            assert_eq!(place(fine), None, "{fine}");
        }
    }

    #[test]
    fn limits_are_whole_and_bounded() {
        assert_eq!(limit(None).unwrap(), PAGE_ROWS_DEFAULT);
        assert_eq!(limit(Some("1000")).unwrap(), 1_000);
        for bad in ["0", "1001", "-1", "+5", "ten", "", "99999999999999999999"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }
}
