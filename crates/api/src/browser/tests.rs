//! The rules for pages, case by case.
#![expect(clippy::unwrap_used, reason = "tests")]

use http::Request;

use super::*;

/// A request to `http://localhost:8080`, or to the host among its fields.
fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8080");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn own(public: Option<&str>) -> OwnOrigin {
    let origin = |text: &str| Origin::parse(text).unwrap();
    OwnOrigin {
        public: public.map(origin),
        received: Some(origin("http://localhost:8080")),
        listed: [origin("https://listed.example")].into(),
    }
}

/// The status of the refusal, and what it names.
fn refused(outcome: Result<(), Problem>) -> Option<(u16, String)> {
    outcome.err().map(|problem| (problem.status(), problem.field().unwrap().to_owned()))
}

fn forbidden(field: &str) -> Option<(u16, String)> {
    Some((403, field.to_owned()))
}

#[test]
fn dev_answers_only_to_names_of_its_own_machine() {
    let own = own(None);
    let host = |host: &str| refused(check_dev(&request("GET", "/", &[("host", host)]), &own));
    for good in [
        "localhost",
        "localhost:8080",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.9.9.9:80",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:8080",
    ] {
        assert_eq!(host(good), None, "{good}");
    }
    for bad in [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.",
        "localhost.evil.example",
        "a.localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1.",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
        "[::2]",
        "::1",
        "[::1",
        "[fe80::1%25lo]",
        "localhost:",
        "localhost:x",
        "localhost:8080:8080",
        "evil@localhost",
        "localhost,evil.example",
        ":8080",
    ] {
        assert_eq!(host(bad), Some((421, "Host".to_owned())), "{bad}");
    }
    let mut without = request("GET", "/", &[]);
    without.headers.remove(HOST);
    assert_eq!(refused(check_dev(&without, &own)), None, "HTTP/1.0");
    for uri in ["http://evil.example/", "http://localhost@evil.example/"] {
        let absolute = request("GET", uri, &[]);
        assert_eq!(refused(check_dev(&absolute, &own)), Some((421, "Host".to_owned())), "{uri}");
    }
    let two = request("GET", "http://localhost:8080/", &[("host", "evil.example")]);
    assert_eq!(refused(check_dev(&two, &own)), Some((421, "Host".to_owned())), "both count");
}

#[test]
fn dev_refuses_what_a_proxy_sends_on() {
    for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-anything"] {
        for method in ["GET", "POST", "OPTIONS"] {
            let fields = [(name, "1.1 proxy"), ("x-api-key", "some-key")];
            assert_eq!(refused(check_dev(&request(method, "/healthz", &fields), &own(None))), forbidden(name));
        }
    }
}

#[test]
fn dev_answers_programs_and_its_own_pages() {
    let own = own(Some("https://meter.example"));
    let cases: &[&[(&str, &str)]] = &[
        &[],
        &[("authorization", "Bearer a-key")],
        &[("origin", "http://localhost:8080")],
        &[("origin", "http://LOCALHOST:8080"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        &[("origin", "https://listed.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")],
        &[("origin", "https://listed.example")],
        &[("origin", "https://meter.example")],
    ];
    for fields in cases {
        for (method, path) in
            [("GET", "/v1/events"), ("POST", "/v1/events"), ("GET", "/v1/live/ws"), ("OPTIONS", "/v1/events")]
        {
            assert_eq!(refused(check_dev(&request(method, path, fields), &own)), None, "{method} {path} {fields:?}");
        }
    }
    let typed = [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for path in ["/docs/", "/v1/events", "/v1/live/stream"] {
        assert_eq!(refused(check_dev(&request("GET", path, &typed), &own)), None, "{path}");
    }
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(refused(check_dev(&request("GET", "/docs/", &link), &own)), None, "a link leads here");
}

#[test]
fn dev_refuses_foreign_pages() {
    let own = own(None);
    for origin in [
        "null",
        "https://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "https://localhost:8080",
        "http://localhost",
        "http://listed.example",
        "https://listed.example.evil.example",
        "chrome-extension://abc",
        "",
    ] {
        for (method, path) in
            [("GET", "/v1/events"), ("POST", "/v1/events"), ("GET", "/v1/live/ws"), ("GET", "/no/such")]
        {
            // Neither a key nor what else it says makes an own page of it.
            for more in [&[][..], &[("x-api-key", "a-key")], &[("sec-fetch-site", "same-origin")]] {
                let fields = [&[("origin", origin)], more].concat();
                assert_eq!(
                    refused(check_dev(&request(method, path, &fields), &own)),
                    forbidden("Origin"),
                    "{fields:?}"
                );
            }
        }
    }
    let two = [("origin", "http://localhost:8080"), ("origin", "https://evil.example")];
    assert_eq!(refused(check_dev(&request("GET", "/v1/events", &two), &own)), forbidden("Origin"));
    for site in ["cross-site", "same-site", "anything"] {
        for (mode, dest) in [
            ("no-cors", "image"),
            ("no-cors", "script"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("navigate", "embed"),
            ("websocket", "websocket"),
            ("navigate", ""),
        ] {
            let fields = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            for path in ["/v1/events", "/v1/live/stream", "/healthz"] {
                assert_eq!(
                    refused(check_dev(&request("GET", path, &fields), &own)),
                    forbidden("Sec-Fetch-Site"),
                    "{fields:?}"
                );
            }
        }
        let fields = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for (method, path) in [("POST", "/v1/events"), ("HEAD", "/v1/events"), ("GET", "/v1/live/stream")] {
            let outcome = refused(check_dev(&request(method, path, &fields), &own));
            assert_eq!(outcome, forbidden("Sec-Fetch-Site"), "{method} {path}: no plain link");
        }
    }
    let two = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
    assert_eq!(refused(check_dev(&request("GET", "/v1/events", &two), &own)), forbidden("Sec-Fetch-Site"));
}

/// Fields of a request, `public_url`, what it acts by, and the fields that a change and a stream are refused for.
type Case<'c> = (&'c [(&'c str, &'c str)], Option<&'c str>, Caller, [Option<&'c str>; 2]);

/// What comes of one request that changes something, and of one that opens a stream.
fn outcomes(fields: &[(&str, &str)], public: Option<&str>, caller: Caller) -> [Option<String>; 2] {
    [("POST", "/v1/events"), ("GET", "/v1/live/stream")].map(|(method, path)| {
        let outcome = check_same_origin(&request(method, path, fields), &own(public), caller);
        outcome.err().map(|problem| problem.field().unwrap().to_owned())
    })
}

#[test]
fn changes_and_streams_need_a_page_of_the_server() {
    use Caller::{Cookie, DevTenant, Key};
    const PUBLIC: Option<&str> = Some("https://meter.example");
    const OWN: (&str, &str) = ("origin", "http://localhost:8080");
    const URL: (&str, &str) = ("origin", "https://meter.example");
    const LISTED: (&str, &str) = ("origin", "https://listed.example");
    const FOREIGN: (&str, &str) = ("origin", "https://evil.example");
    let site = |value| ("sec-fetch-site", value);
    let (by_site, by_origin) = (Some("Sec-Fetch-Site"), Some("Origin"));
    let cases: [Case<'_>; 24] = [
        (&[site("same-origin")], None, Cookie, [None, None]),
        (&[site("same-origin"), OWN], PUBLIC, Cookie, [None, None]),
        (&[site("none")], None, Cookie, [by_site, None]),
        (&[site("none")], None, DevTenant, [by_site, None]),
        (&[site("same-site"), OWN], None, Cookie, [by_site, by_site]),
        (&[site("cross-site")], None, Cookie, [by_site, by_site]),
        (&[site("cross-site")], None, DevTenant, [by_site, by_site]),
        (&[site("cross-site"), LISTED], None, Cookie, [by_site, by_site]),
        (&[site("cross-site"), LISTED], None, DevTenant, [None, None]),
        (&[site("cross-site"), FOREIGN], None, DevTenant, [by_site, by_site]),
        (&[OWN], None, Cookie, [None, None]),
        (&[OWN], PUBLIC, Cookie, [by_origin, by_origin]),
        (&[URL], PUBLIC, Cookie, [None, None]),
        (&[URL], None, Cookie, [by_origin, by_origin]),
        (&[LISTED], None, Cookie, [by_origin, by_origin]),
        (&[LISTED], PUBLIC, DevTenant, [None, None]),
        (&[FOREIGN], None, Cookie, [by_origin, by_origin]),
        (&[FOREIGN], None, DevTenant, [by_origin, by_origin]),
        (&[("origin", "null")], None, Cookie, [by_origin, by_origin]),
        (&[], None, Cookie, [by_origin, by_origin]),
        (&[], PUBLIC, DevTenant, [None, None]),
        (&[], None, Key, [None, None]),
        (&[site("cross-site"), FOREIGN], PUBLIC, Key, [None, None]),
        (&[OWN], PUBLIC, DevTenant, [None, None]),
    ];
    for (fields, public, caller, expected) in cases {
        let found = outcomes(fields, public, caller);
        assert_eq!(found.each_ref().map(Option::as_deref), expected, "{fields:?} {public:?} {caller:?}");
    }
    for method in ["GET", "HEAD"] {
        let read = request(method, "/v1/events", &[site("cross-site"), FOREIGN]);
        assert_eq!(refused(check_same_origin(&read, &own(None), Cookie)), None, "reads are none of its business");
    }
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"] {
        let change = request(method, "/v1/settings", &[site("cross-site")]);
        assert!(check_same_origin(&change, &own(None), Cookie).is_err(), "{method}");
    }
}
