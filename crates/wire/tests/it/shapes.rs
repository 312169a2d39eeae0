//! Each body shape and content type, and what happens to good events beside a bad one.

use domain::rejection::RejectCode;

use crate::{CLOUD, JSON, LINES, event, events, fault, items, malformed};
use wire::BodyError;

const THREE: [&str; 3] = [r#"{"id":"a","type":"x"}"#, r#"{"id":"b","type":"y"}"#, r#"{"id":"c","type":"z"}"#];

fn ids(content_type: Option<&str>, body: &str) -> Vec<String> {
    events(content_type, body).into_iter().map(|one| one.id.unwrap().into_owned()).collect()
}

#[test]
fn an_array_an_envelope_and_lines_hold_the_same_events() {
    let array = format!("[{}]", THREE.join(","));
    assert_eq!(ids(JSON, &array), ["a", "b", "c"]);
    assert_eq!(ids(JSON, &format!(r#"{{"events":{array}}}"#)), ["a", "b", "c"]);
    assert_eq!(ids(JSON, &format!(r#"{{"sent_by":"x","\u0065vents":{array},"more":[[]]}}"#)), ["a", "b", "c"]);
    assert_eq!(ids(LINES, &THREE.join("\n")), ["a", "b", "c"]);
    assert_eq!(ids(LINES, &format!("\r\n{}\r\n\r\n \t\n", THREE.join("\r\n"))), ["a", "b", "c"]);
    assert_eq!(ids(LINES, THREE[0]), ["a"]);
}

#[test]
fn every_name_of_a_form_is_known() {
    for content_type in ["application/json", "Application/JSON; charset=UTF-8", "text/json", "", "text/plain"] {
        assert_eq!(ids(Some(content_type), &format!("[{}]", THREE.join(",\n"))), ["a", "b", "c"], "{content_type}");
    }
    for content_type in [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-lines",
        "text/x-ndjson; charset=\"utf-8\"",
    ] {
        assert_eq!(ids(Some(content_type), &THREE.join("\n")), ["a", "b", "c"], "{content_type}");
    }
}

#[test]
fn without_a_content_type_lines_are_recognised() {
    for content_type in [None, Some(""), Some("text/plain")] {
        assert_eq!(ids(content_type, &THREE.join("\n")), ["a", "b", "c"]);
        assert_eq!(ids(content_type, &format!("{}\n", THREE[0])), ["a"]);
        assert_eq!(ids(content_type, &format!("[\n{}\n]", THREE.join(",\n"))), ["a", "b", "c"]);
        assert_eq!(ids(content_type, "{\n\"id\":\n\"a\"}"), ["a"]);
        let one_bad = format!("{}\n{{\"id\":}}\n{}", THREE[0], THREE[1]);
        assert_eq!(items(content_type, &one_bad).iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
    assert!(malformed(JSON, THREE.join("\n").as_bytes()).contains("line 2 column 1"));
}

#[test]
fn other_content_types_are_refused() {
    for content_type in [
        "text/html",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/xml",
        "text/csv",
        "application/octet-stream",
        "application/json; charset=utf-16",
        "json",
        "application/json, text/plain",
    ] {
        let found = fault(Some(content_type), b"{\"id\":\"a\"}");
        assert!(
            matches!(&found, BodyError::UnsupportedMediaType { message } if message.contains("application/x-ndjson")),
            "{content_type}: {found:?}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(event("\u{feff}{\"id\":\"a\"}").id.as_deref(), Some("a"));
    assert_eq!(ids(LINES, &format!("\u{feff}{}", THREE.join("\n"))), ["a", "b", "c"]);
}

#[test]
fn a_bad_event_leaves_its_neighbours_alone() {
    for (bad, id, code) in [
        ("7", None, RejectCode::InvalidJson),
        ("null", None, RejectCode::InvalidJson),
        ("true", None, RejectCode::InvalidJson),
        ("\"text\"", None, RejectCode::InvalidJson),
        ("-1.5", None, RejectCode::InvalidJson),
        ("1e400", None, RejectCode::InvalidJson),
        (r#""\ud800""#, None, RejectCode::InvalidJson),
        (r#"{"id":"x","\ud800":1}"#, None, RejectCode::InvalidJson),
        (r#"[{"id":"x"}]"#, None, RejectCode::InvalidJson),
        ("{}", None, RejectCode::InvalidValue),
        (r#"{"unknown":1,"events":[{"id":"inner"}]}"#, None, RejectCode::InvalidValue),
        (r#"{"type":{},"id":"bad"}"#, Some("bad"), RejectCode::InvalidType),
        (r#"{"id":["bad"]}"#, None, RejectCode::InvalidType),
        (r#"{"id":"bad","user":"\udc00"}"#, Some("bad"), RejectCode::InvalidJson),
        (r#"{"id":"bad","data":{"a":["\ud83d"]}}"#, Some("bad"), RejectCode::InvalidJson),
    ] {
        for (content_type, body) in [
            (JSON, format!("[{},{bad},{}]", THREE[0], THREE[2])),
            (JSON, format!(r#"{{"events":[{},{bad},{}]}}"#, THREE[0], THREE[2])),
            (LINES, format!("{}\n{bad}\n{}", THREE[0], THREE[2])),
        ] {
            let found = items(content_type, &body);
            let [Ok(first), Err((named, why)), Ok(last)] = found.as_slice() else { panic!("{body}: {found:?}") };
            assert_eq!((named.as_deref(), why.code), (id, code), "{body}: {why}");
            assert_eq!((first.id.as_deref(), last.id.as_deref()), (Some("a"), Some("c")));
        }
    }
}

#[test]
fn a_broken_line_is_refused_by_its_number() {
    for (bad, message) in [
        (&b"{\"id\":"[..], "line 2, column 6"),
        (b"nonsense", "line 2, column 2"),
        (b"{\"id\":\"x\"} {}", "line 2, column 12"),
        (b"{\"id\":\"\xff\"}", "line 2 is not UTF-8 at byte 8"),
    ] {
        let body = [THREE[0].as_bytes(), bad, THREE[2].as_bytes()].join(&b'\n');
        let found = wire::parse(LINES, &body, &domain::limits::Limits::default()).unwrap().items;
        let [Ok(_), Err((None, why)), Ok(_)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(why.code, RejectCode::InvalidJson);
        assert!(why.message.contains(message), "{}", why.message);
    }
}

#[test]
fn a_tenant_in_the_envelope_stands_for_events_without_one() {
    let body = r#"{"events":[{"id":"a"},{"id":"b","tenant":"own"}],"workspace_id":7}"#;
    let found = events(JSON, body);
    assert_eq!(found[0].tenant.as_deref(), Some("7"));
    assert_eq!(found[1].tenant.as_deref(), Some("own"));
}

#[test]
fn events_that_is_no_array_is_never_taken_for_an_event() {
    for body in [r#"{"events":{"id":"a"}}"#, r#"{"events":"a"}"#, r#"{"id":"a","events":1}"#] {
        assert!(
            malformed(JSON, body.as_bytes()).contains("not an event, an array of events, or an object with"),
            "{body}"
        );
    }
    assert!(malformed(JSON, br#"{"events":[{"id":"a"}],"events":[{"id":"b"}]}"#).contains("twice"));
    assert_eq!(event(r#"{"id":"a","events":null}"#).id.as_deref(), Some("a"));
}

#[test]
fn a_cloud_events_body_may_be_one_or_many() {
    let one = r#"{"specversion":"1.0","id":"a","source":"/s","type":"x"}"#;
    for content_type in [CLOUD, Some("application/cloudevents-batch+json; charset=utf-8"), JSON] {
        assert_eq!(ids(content_type, one), ["a"]);
        assert_eq!(ids(content_type, &format!("[{one},{one}]")), ["a", "a"]);
    }
}

#[test]
fn i5_the_tenant_of_an_envelope_is_judged_as_that_of_an_event() {
    let named = |body: &str| events(JSON, body)[0].tenant.as_deref().map(str::to_owned);
    assert_eq!(named(r#"{"tenant":"a","events":[{"id":"1"}]}"#).as_deref(), Some("a"));
    assert_eq!(named(r#"{"tenant":"a","events":[{"id":"1","tenantId":"b"}]}"#).as_deref(), Some("b"));
    assert_eq!(named(r#"{"type":5,"events":[{"id":"1"}],"tenant":"a"}"#).as_deref(), Some("a"));
    for (body, code) in [
        (r#"{"tenant":"a","tenantId":"b","events":[{"id":"1"}]}"#, RejectCode::ConflictingFields),
        (r#"{"events":[{"id":"1"}],"tenantId":"b","tenant":"a"}"#, RejectCode::ConflictingFields),
        (r#"{"tenantId":1.5,"events":[{"id":"1"}]}"#, RejectCode::InvalidType),
        (r#"{"tenant":{},"events":[{"id":"1"}]}"#, RejectCode::InvalidType),
    ] {
        let refused = items(JSON, body).into_iter().next().and_then(Result::err);
        assert_eq!(refused.map(|(id, why)| (id, why.code)), Some((Some("1".to_owned()), code)), "{body}");
    }
}
