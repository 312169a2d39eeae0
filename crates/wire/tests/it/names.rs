//! Names in other cases and with other separators: read like the listed ones, after them, and never in silence.

use domain::event::Candidate;
use domain::rejection::RejectCode;
use domain::warning::{Warning, WarningCode};

use crate::{event, items, refusal, refused_for};

fn ambiguous(name: &str) -> [Warning<'_>; 1] {
    [Warning::of(WarningCode::AmbiguousField, name)]
}

#[test]
fn names_that_clients_write_in_another_case_are_billed() {
    for name in ["customerID", "CustomerId", "customer-id", "accountID", "Customer ID", "ACCOUNT_ID", "Subject"] {
        let body = format!(r#"{{"{name}":"acme"}}"#);
        assert_eq!(event(&body).customer.as_deref(), Some("acme"), "{name}");
    }
    for name in ["eventID", "EventId", "Event-ID", "ID", "IdempotencyKey"] {
        let body = format!(r#"{{"{name}":"e1"}}"#);
        assert_eq!(event(&body).id.as_deref(), Some("e1"), "{name}");
    }
    for name in ["userID", "UserId", "user-id"] {
        let body = format!(r#"{{"{name}":7}}"#);
        assert_eq!(event(&body).user.as_deref(), Some("7"), "{name}");
    }
    for name in ["$user", "user.id", "user/id", "the user"] {
        let body = format!(r#"{{"id":"a","{name}":"u"}}"#);
        assert_eq!(event(&body).user, None, "{name}");
    }
}

#[test]
fn a_listed_name_wins_in_either_order_and_the_other_is_told() {
    for body in [r#"{"customer":"a","CustomerId":"b","user":"u"}"#, r#"{"CustomerId":"b","customer":"a","user":"u"}"#] {
        let found = event(body);
        assert_eq!(
            (found.customer.as_deref(), &found.warnings[..]),
            (Some("a"), &ambiguous("CustomerId")[..]),
            "{body}"
        );
    }
    for body in [
        r#"{"user":"u","User":{"id":1}}"#,
        r#"{"User":{"id":1},"user":"u"}"#,
        r#"{"user":"u","Data":"text"}"#,
        r#"{"user":"u","Time":true}"#,
    ] {
        let found = event(body);
        assert_eq!((found.user.as_deref(), found.warnings.len()), (Some("u"), 1), "{body}");
        assert_eq!(found.warnings[0].code, WarningCode::FieldNotRead, "{body}");
    }
    let agreeing = event(r#"{"customer":"a","CustomerId":"a"}"#);
    assert_eq!((agreeing.customer.as_deref(), agreeing.warnings.len()), (Some("a"), 0));
    assert_eq!(event(r#"{"customer":null,"CustomerId":"b"}"#).customer.as_deref(), Some("b"));
    let three = event(r#"{"CustomerId":"b","accountID":"c","customer":"a"}"#);
    assert_eq!(three.customer.as_deref(), Some("a"), "two that differ do not matter beside a listed one");
    let data = event(r#"{"Data":{"tokens":1},"properties":{"tokens":2}}"#);
    assert_eq!((data.usage.tokens.as_deref(), &data.warnings[..]), (Some("2"), &ambiguous("Data")[..]));
}

#[test]
fn properties_under_another_name_count_for_nothing_beside_listed_ones() {
    let (other, listed) =
        (r#""Properties":{"tokens":"many","timestamp":"2026-01-01"}"#, r#""properties":{"tokens":2}"#);
    for body in [format!("{{{other},{listed}}}"), format!("{{{listed},{other}}}")] {
        let found = event(&body);
        assert_eq!((found.usage.tokens.as_deref(), found.properties.as_deref()), (Some("2"), Some(r#"{"tokens":2}"#)));
        let told: Vec<_> = found.warnings.iter().map(|warning| (warning.code, warning.field.as_deref())).collect();
        assert_eq!(told, [(WarningCode::AmbiguousField, Some("Properties"))], "{body}");
    }
    let of_wrong_type = |members: &str| format!("{{{members}}}");
    let other = r#""Properties":{"tokens":{}}"#;
    for members in [format!("{other},{listed}"), format!("{listed},{other}")] {
        assert_eq!(event(&of_wrong_type(&members)).usage.tokens.as_deref(), Some("2"), "{members}");
    }
    refused_for(&of_wrong_type(other), RejectCode::InvalidType, "Properties.tokens");
}

#[test]
fn two_names_of_one_rank_that_differ_are_a_conflict_that_names_both() {
    for (body, first, second) in [
        (r#"{"customer":"a","account_id":"b"}"#, "customer", "account_id"),
        (r#"{"CustomerId":"a","accountID":"b"}"#, "CustomerId", "accountID"),
        (r#"{"data":{"inputTokens":1,"input_tokens":2}}"#, "data.inputTokens", "data.input_tokens"),
        (r#"{"time":1,"ts":2}"#, "time", "ts"),
    ] {
        let [Err((_, why))] = &items(crate::JSON, body)[..] else { panic!("{body} is taken") };
        assert_eq!((why.code, why.field.as_deref()), (RejectCode::ConflictingFields, Some(second)), "{body}");
        assert!(why.message.contains(first), "{body}: {}", why.message);
    }
    refused_for(r#"{"tokens":1,"tokens":2}"#, RejectCode::ConflictingFields, "tokens");
    refused_for(r#"{"user":{"id":1}}"#, RejectCode::InvalidType, "user");
}

#[test]
fn in_the_properties_measures_alone_are_read_in_any_case_and_refuse_no_event() {
    let found =
        event(r#"{"user":"u","properties":{"InputTokens":5,"OUTPUT_TOKENS":"7","CustomerId":"c","Model":"m"}}"#);
    let usage = &found.usage;
    assert_eq!((usage.input_tokens.as_deref(), usage.output_tokens.as_deref()), (Some("5"), Some("7")));
    assert_eq!((usage.model.as_deref(), found.customer), (Some("m"), None));
    for value in ["-1", "1.5", "true", r#""many""#, "[]", "1e13"] {
        let body = format!(r#"{{"user":"u","data":{{"Tokens":{value}}}}}"#);
        let found = event(&body);
        assert_eq!(found.usage.tokens, None, "{body}");
        assert_eq!(found.warnings, [Warning::of(WarningCode::FieldNotRead, "data.Tokens")], "{body}");
    }
    for body in [r#"{"user":"u","data":{"tokens":1,"Tokens":2}}"#, r#"{"user":"u","data":{"Tokens":2,"tokens":1}}"#] {
        let found = event(body);
        assert_eq!((found.usage.tokens.as_deref(), &found.warnings[..]), (Some("1"), &ambiguous("data.Tokens")[..]));
    }
}

#[test]
fn what_an_earlier_release_did_not_read_is_left_out_of_its_reading() {
    let body = r#"{"id":"e","CustomerId":"c","user":"u","data":{"Tokens":5,"latencyMs":2}}"#;
    let found = event(body);
    let first = *found.first_reading.unwrap();
    let wanted = event(r#"{"user":"u","data":{"latencyMs":2}}"#);
    assert_eq!((first.customer, first.user, first.usage.tokens), (None, wanted.user, None));
    assert_eq!(first.usage.latency_ms, wanted.usage.latency_ms);
    assert_eq!(event(r#"{"id":"e","customer":"c","data":{"tokens":5}}"#).first_reading, None::<Box<Candidate<'_>>>);
}

/// All orders of three members.
fn orders(members: [&str; 3]) -> Vec<String> {
    let [a, b, c] = members;
    [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]].map(|order| order.join(",")).to_vec()
}

#[test]
fn the_order_of_names_of_a_measure_decides_nothing() {
    for members in orders([r#""Model":"a""#, r#""MODEL":"b""#, r#""model":"b""#]) {
        let body = format!(r#"{{"user":"u",{members}}}"#);
        assert_eq!(event(&body).usage.model.as_deref(), Some("b"), "{members}");
    }
    for members in orders([r#""Model":"a","MODEL":"b""#, r#""Tokens":5,"TOKENS":12"#, r#""model":"a""#]) {
        refused_for(&format!(r#"{{"user":"u",{members}}}"#), RejectCode::ConflictingFields, "TOKENS");
    }
    for members in orders([r#""Tokens":5"#, r#""TOKENS":12"#, r#""a":1"#]) {
        let body = format!(r#"{{"user":"u","properties":{{{members}}}}}"#);
        let found = event(&body);
        assert_eq!((found.usage.tokens, found.warnings.len()), (None, 1), "neither is known to be meant: {members}");
    }
    for members in orders([r#""Tokens":5"#, r#""TOKENS":12"#, r#""tokens":7"#]) {
        let body = format!(r#"{{"user":"u","properties":{{{members}}}}}"#);
        assert_eq!(event(&body).usage.tokens.as_deref(), Some("7"), "{members}");
    }
}

#[test]
fn the_order_of_names_of_the_type_decides_nothing() {
    for members in orders([r#""Type":"track""#, r#""EventType":"y""#, r#""Event":"x""#]) {
        let body = format!(r#"{{"user":"u",{members}}}"#);
        assert_eq!(refusal(&body).0, RejectCode::ConflictingFields, "{members}");
    }
    for members in orders([r#""Event":"x""#, r#""EVENT":"y""#, r#""type":"z""#]) {
        let body = format!(r#"{{"user":"u",{members}}}"#);
        assert_eq!(event(&body).kind.as_deref(), Some("z"), "{members}");
    }
    for members in orders([r#""event":"x""#, r#""Type":"y""#, r#""EventType":"z""#]) {
        let body = format!(r#"{{"user":"u",{members}}}"#);
        assert_eq!(event(&body).kind.as_deref(), Some("x"), "{members}");
    }
}

#[test]
fn a_source_that_stands_twice_has_to_be_the_same() {
    let cloud = |sources: &str| format!(r#"{{"specversion":"1.0","type":"t","id":"1",{sources}}}"#);
    refused_for(&cloud(r#""source":"/a","source":"/b""#), RejectCode::ConflictingFields, "source");
    assert_eq!(event(&cloud(r#""source":"/a","source":"/a""#)).source.as_deref(), Some("/a"));
    assert_eq!(event(&cloud(r#""source":null,"source":"/a""#)).source.as_deref(), Some("/a"), "null is absent");
    event(r#"{"user":"u","source":"/a","source":"/b"}"#);
}
