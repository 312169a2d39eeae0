//! Bodies that are refused as a whole, and the limits of a body (I6, I9).

use domain::limits::Limits;
use domain::rejection::RejectCode;
use wire::BodyError;

use crate::{JSON, LINES, event, fault, items, malformed, refusal, refused_for};

#[test]
fn a_body_that_is_no_json_is_malformed() {
    for body in [
        &b"hello"[..],
        b"{",
        b"{\"id\"",
        b"{\"id\":",
        b"{\"id\":\"a\"",
        b"{\"id\":\"a",
        b"{\"id\":\"a\",}",
        b"{\"id\":\"a\"}]",
        b"{\"id\":\"a\"} x",
        b"{id:1}",
        b"{'id':1}",
        b"[{\"id\":\"a\"}",
        b"[{\"id\":\"a\"},",
        b"[{\"id\":\"a\"},]",
        b"[{\"id\":\"a\"} {\"id\":\"b\"}]",
        b"{\"events\":[{\"id\":\"a\"}",
        b"{\"events\":[{\"id\":\"a\"}]",
        b"{\"id\":\"\x01\"}",
        b"{\"id\":\"\\x\"}",
        b"{\"id\":\"\\u00\"}",
        b"{\"\\ud800\":1}",
        b"{\"id\":01}",
        b"{\"id\":NaN}",
        b"{\"data\":{\"a\":tru}}",
        b"{\"data\":{\"a\":1]}}",
        b"\0",
        b"PK\x03\x04",
    ] {
        let message = malformed(JSON, body);
        assert!(message.contains(" line ") || message.contains(" byte "), "{message}");
    }
}

#[test]
fn the_place_of_the_fault_is_named() {
    let body = b"[\n{\"id\":\"a\"},\n{\"id\":\"b\" \"type\":\"x\"}\n]";
    assert!(malformed(JSON, body).contains("line 3 column 11"), "{}", malformed(JSON, body));
    assert_eq!(malformed(JSON, b"{\"id\":\"\xc3\x28\"}"), "the body is not UTF-8 at byte 8");
    assert!(
        malformed(JSON, "{\"id\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice())
            .contains("column 2")
    );
}

#[test]
fn a_body_of_no_event_is_malformed() {
    for body in ["", " ", "\r\n\t ", "\u{feff}", "\u{feff} \n"] {
        for content_type in [None, JSON, LINES] {
            assert_eq!(malformed(content_type, body.as_bytes()), "the body is empty");
        }
    }
    for body in ["[]", " [ ] ", r#"{"events":[]}"#, r#"{"tenant":"t","events":[]}"#] {
        assert_eq!(malformed(JSON, body.as_bytes()), "the body holds no events");
    }
    for body in ["1", "-1", "1.5", "true", "null", "\"text\""] {
        assert!(malformed(JSON, body.as_bytes()).contains("not an event, an array of events"), "{body}");
    }
}

#[test]
fn an_answer_repeats_no_more_of_the_body_than_a_name() {
    let long = "ä".repeat(100_000);
    for body in [format!("\"{long}\""), format!(r#"{{"events":"{long}"}}"#), format!("[{{\"{long}\":1}},{long}]")] {
        assert!(malformed(JSON, body.as_bytes()).len() < 200);
    }
    let deep = format!(r#"[{{"id":"{long}","{long}":{}}},"{long}"]"#, nested("[", "]", 100));
    for item in items(JSON, &deep) {
        let (id, why) = item.unwrap_err();
        assert!(id.is_none() && why.message.len() < 200 && why.field.unwrap_or_default().len() <= 256);
    }
}

#[test]
fn a_batch_over_the_limit_is_too_large_and_at_it_is_not() {
    let limits = Limits { batch_events_max: 3, ..Limits::default() };
    for (count, fits) in [(3, true), (4, false)] {
        let events = vec![r#"{"id":"a"}"#; count];
        for (content_type, body) in [
            (JSON, format!("[{}]", events.join(","))),
            (JSON, format!(r#"{{"events":[{}]}}"#, events.join(","))),
            (LINES, events.join("\n")),
            (None, events.join("\n")),
        ] {
            match wire::parse(content_type, body.as_bytes(), &limits) {
                Ok(parsed) => assert_eq!((parsed.items.len(), fits), (3, true)),
                Err(BodyError::TooLarge { message }) => assert!(!fits && message.contains('3'), "{message}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// What lies behind the limit is never read: were it, the missing end would be reported instead.
#[test]
fn ten_million_elements_are_left_at_the_limit() {
    for (content_type, open, element) in [(JSON, "[", "1,"), (JSON, "{\"events\":[", "{},"), (LINES, "", "{}\n")] {
        let body = format!("{open}{}", element.repeat(10_000_000));
        assert!(matches!(fault(content_type, body.as_bytes()), BodyError::TooLarge { .. }), "{open}");
    }
}

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}{}", open.repeat(levels), close.repeat(levels))
}

#[test]
fn an_event_may_be_64_levels_deep() {
    for name in ["data", "unknown"] {
        for (levels, fits) in [(62, true), (63, true), (64, false), (128, false), (129, false), (1_000_000, false)] {
            let deep = nested("{\"a\":", "}", levels - 1).replace(":}", ":{}}");
            let body = format!(r#"{{"id":"a","{name}":{deep}}}"#);
            if fits {
                event(&body);
            } else {
                refused_for(&body, RejectCode::TooDeep, name);
            }
            let body = format!(r#"{{"id":"a","{name}":{{"b":{}}}}}"#, nested("[", "]", levels - 1));
            if fits {
                event(&body);
            } else {
                refused_for(&body, RejectCode::TooDeep, name);
            }
        }
    }
    let brackets = format!(r#"{{"data":{{"a":"{}"}}}}"#, "[{".repeat(1_000));
    assert!(event(&brackets).properties.is_some(), "brackets in a text have no depth");
}

#[test]
fn a_deep_event_is_refused_alone() {
    let deep = nested("[", "]", 1_000);
    let body = format!(r#"[{{"id":"a"}},{{"id":"b","x":{deep}}},{deep},{{"id":"c"}}]"#);
    let found = items(JSON, &body);
    let verdicts: Vec<_> = found.iter().map(|item| item.as_ref().err().map(|(_, why)| why.code)).collect();
    assert_eq!(verdicts, [None, Some(RejectCode::TooDeep), Some(RejectCode::InvalidJson), None]);
    assert_eq!(found[1].as_ref().unwrap_err().0.as_deref(), Some("b"));
}

#[test]
fn a_million_open_brackets_are_malformed() {
    for open in ["[", "{\"a\":", "{\"events\":[", "[{\"data\":"] {
        assert!(malformed(JSON, open.repeat(1_000_000).as_bytes()).contains("EOF"), "{open}");
    }
    assert_eq!(refusal(&nested("[", "]", 1_000_000)).0, RejectCode::InvalidJson);
}
