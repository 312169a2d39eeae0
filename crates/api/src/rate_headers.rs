//! How limits stand, in the headers of answers: `RateLimit-Policy` and `RateLimit` as in
//! draft-ietf-httpapi-ratelimit-headers-11, each with an item per limit, and `X-RateLimit-*` for older clients, which
//! know one limit.

use std::fmt::Write;

use bytes::BytesMut;
use domain::rate::RateScope;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use pipeline::RateStanding;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Bytes that the two texts of four limits take, about.
const TEXT_BYTES: usize = 320;

/// Says how limits stand, unless the answer says already which one refused it.
pub(crate) fn show(headers: &mut HeaderMap, standings: impl FnOnce() -> Vec<RateStanding>) {
    if !headers.contains_key(&STANDING) {
        set(headers, &standings());
    }
}

/// Sets the headers; those for older clients are of the first.
pub(crate) fn set(headers: &mut HeaderMap, standings: &[RateStanding]) {
    let Some(first) = standings.first() else { return };
    // Of one allocation, which each answer pays for.
    let mut policy = BytesMut::with_capacity(TEXT_BYTES);
    let mut standing = policy.split_off(TEXT_BYTES / 2);
    for (at, one) in standings.iter().enumerate() {
        let (separator, name) = (if at == 0 { "" } else { ", " }, one.scope.name());
        // A unit that is not said is requests.
        let unit = if one.scope == RateScope::Events { ";qu=\"events\"" } else { "" };
        // Cannot fail: the text grows as it has to.
        let _ = write!(policy, "{separator}\"{name}\";q={}{unit};w={}", one.quota, one.window_s);
        let _ = write!(standing, "{separator}\"{name}\";r={};t={}", one.remaining, one.reset_s);
    }
    for (name, value) in [(POLICY, policy), (STANDING, standing)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(value.freeze()) {
            headers.insert(name, value);
        }
    }
    headers.insert(LIMIT, first.quota.into());
    headers.insert(REMAINING, first.remaining.into());
    headers.insert(RESET, first.reset_s.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(scope: RateScope) -> RateStanding {
        RateStanding { scope, quota: 10_000, window_s: 10, remaining: 9_999, reset_s: 1 }
    }

    #[test]
    fn limits_are_items_of_structured_fields_and_older_clients_get_the_first() {
        let mut headers = HeaderMap::new();
        show(&mut headers, || vec![standing(RateScope::Key), standing(RateScope::Events)]);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(text("ratelimit-policy"), r#""key";q=10000;w=10, "events";q=10000;qu="events";w=10"#);
        assert_eq!(text("ratelimit"), r#""key";r=9999;t=1, "events";r=9999;t=1"#);
        let older = ["limit", "remaining", "reset"].map(|name| text(&format!("x-ratelimit-{name}")).to_owned());
        assert_eq!(older, ["10000", "9999", "1"]);
    }

    #[test]
    fn without_a_limit_there_are_no_headers_and_those_of_a_refusal_stay() {
        let mut headers = HeaderMap::new();
        show(&mut headers, Vec::new);
        assert!(headers.is_empty());
        set(&mut headers, &[standing(RateScope::Address)]);
        let refused = headers.clone();
        show(&mut headers, || vec![standing(RateScope::Key)]);
        assert_eq!(headers, refused);
    }
}
