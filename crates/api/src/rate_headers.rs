//! How limits stand, in the headers of answers: `RateLimit-Policy` and `RateLimit` as in
//! draft-ietf-httpapi-ratelimit-headers-11, each with an item per limit, and `X-RateLimit-*` for older clients, which
//! know one limit: the one of which the smallest part is left.
//!
//! A limit of events says no `qu`: it takes registered units alone, and a field with any other is malformed, which clients
//! ignore whole. Read as requests, the unit that is not said, the numbers hold: each request has one event at least.

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

/// Says that a limit is one of events, in a parameter of our own, which clients may take for a comment.
const UNIT_EVENTS: &str = ";nilometer-unit=\"events\"";
/// Bytes that the two texts of four limits take, about.
const TEXT_BYTES: usize = 352;

/// Says how limits stand, unless the answer says already which one refused it.
pub(crate) fn show(headers: &mut HeaderMap, standings: impl FnOnce() -> Vec<RateStanding>) {
    if !headers.contains_key(&STANDING) {
        set(headers, &standings());
    }
}

/// Sets the headers; those for older clients are of the limit that is reached first if all go on alike.
pub(crate) fn set(headers: &mut HeaderMap, standings: &[RateStanding]) {
    let Some(scarcest) = scarcest(standings) else { return };
    // Of one allocation, which each answer pays for.
    let mut policy = BytesMut::with_capacity(TEXT_BYTES);
    let mut standing = policy.split_off(TEXT_BYTES / 2);
    for (at, one) in standings.iter().enumerate() {
        let (separator, name) = (if at == 0 { "" } else { ", " }, one.scope.name());
        let unit = if one.scope == RateScope::Events { UNIT_EVENTS } else { "" };
        // Cannot fail: the text grows as it has to.
        let _ = write!(policy, "{separator}\"{name}\";q={};w={}{unit}", one.quota, one.window_s);
        let _ = write!(standing, "{separator}\"{name}\";r={};t={}", one.remaining, one.reset_s);
    }
    for (name, value) in [(POLICY, policy), (STANDING, standing)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(value.freeze()) {
            headers.insert(name, value);
        }
    }
    headers.insert(LIMIT, scarcest.quota.into());
    headers.insert(REMAINING, scarcest.remaining.into());
    headers.insert(RESET, scarcest.reset_s.into());
}

/// The limit of which the smallest part of its quota is left; of several alike the first.
fn scarcest(standings: &[RateStanding]) -> Option<&RateStanding> {
    // Both fractions times both quotas: exact, and nothing is divided by a quota of 0, of which nothing is ever left.
    let left = |one: &RateStanding, other: &RateStanding| u128::from(one.remaining) * u128::from(other.quota.max(1));
    standings.iter().min_by(|one, other| left(one, other).cmp(&left(other, one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(scope: RateScope) -> RateStanding {
        RateStanding { scope, quota: 10_000, window_s: 10, remaining: 9_999, reset_s: 1 }
    }

    #[test]
    fn limits_are_items_of_structured_fields_and_older_clients_get_the_first_of_limits_alike() {
        let mut headers = HeaderMap::new();
        show(&mut headers, || vec![standing(RateScope::Key), standing(RateScope::Events)]);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(text("ratelimit-policy"), r#""key";q=10000;w=10, "events";q=10000;w=10;nilometer-unit="events""#);
        assert_eq!(text("ratelimit"), r#""key";r=9999;t=1, "events";r=9999;t=1"#);
        let older = ["limit", "remaining", "reset"].map(|name| text(&format!("x-ratelimit-{name}")).to_owned());
        assert_eq!(older, ["10000", "9999", "1"]);
    }

    /// Found in November 2026: events were said as `qu="events"`, which is none of the registered quota units.
    #[test]
    fn a_policy_has_no_quota_unit_that_is_not_registered() {
        let scopes = [RateScope::Address, RateScope::Key, RateScope::Workspace, RateScope::Events];
        let mut headers = HeaderMap::new();
        set(&mut headers, &scopes.map(standing));
        let policy = headers.get(POLICY).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let items: Vec<_> = policy.split(", ").collect();
        assert_eq!(items.len(), scopes.len(), "{policy}");
        for item in items {
            let mut units = item.split(';').filter_map(|parameter| parameter.strip_prefix("qu="));
            let registered = ["\"requests\"", "\"content-bytes\"", "\"concurrent-requests\""];
            assert!(units.all(|unit| registered.contains(&unit)), "{item}");
            assert_eq!(item.contains("nilometer-unit"), item.starts_with("\"events\""), "{item}");
        }
    }

    #[test]
    fn older_clients_get_the_limit_of_which_the_smallest_part_is_left() {
        let of = |scope, quota, remaining, reset_s| RateStanding { scope, quota, window_s: 10, remaining, reset_s };
        let key = of(RateScope::Key, 20, 10, 5);
        let workspace = of(RateScope::Workspace, 100, 49, 6);
        let events = of(RateScope::Events, 1_000_000, 600_000, 4);
        let largest = of(RateScope::Events, u64::MAX, u64::MAX, 1);
        let nothing = of(RateScope::Events, 0, 0, 3_600);
        for (standings, expected) in [
            (vec![key, workspace, events], workspace),
            (vec![events, key], key),
            (vec![key, largest], key),
            (vec![largest, key], key),
            (vec![key, nothing, workspace], nothing),
        ] {
            let mut headers = HeaderMap::new();
            show(&mut headers, || standings.clone());
            let told = [LIMIT, REMAINING, RESET].map(|name| headers.get(name).cloned());
            let expected = [expected.quota, expected.remaining, expected.reset_s];
            let expected = expected.map(|number| Some(HeaderValue::from(number)));
            assert_eq!(told, expected, "{standings:?}");
            let items = headers.get(STANDING).and_then(|value| value.to_str().ok()).unwrap_or_default();
            assert_eq!(items.split(", ").count(), standings.len(), "the others have all of them: {items}");
        }
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
