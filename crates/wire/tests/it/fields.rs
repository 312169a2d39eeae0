//! Every field under each of its names, the types it may have, and what a conflict is.

use std::borrow::Cow;

use domain::event::{Candidate, TimeText};
use domain::rejection::RejectCode;

use crate::{event, refusal, refused_for};

type Read = fn(&Candidate<'_>) -> Option<String>;

fn owned(text: Option<&Cow<'_, str>>) -> Option<String> {
    text.map(|text| text.to_string())
}

const IDS: [&str; 5] = ["id", "event_id", "eventId", "idempotency_key", "idempotencyKey"];
const TIMES: [&str; 5] = ["time", "timestamp", "ts", "occurred_at", "event_time"];
const TYPES: [&str; 4] = ["type", "event_type", "eventType", "event"];
const CUSTOMERS: [&str; 6] = ["customer", "customer_id", "customerId", "account_id", "accountId", "subject"];
const USERS: [&str; 3] = ["user", "user_id", "userId"];
const ENDPOINTS: [&str; 3] = ["endpoint", "apiEndpoint", "api_endpoint"];
const PROJECTS: [&str; 3] = ["project", "project_id", "projectId"];
const TENANTS: [&str; 4] = ["tenant", "tenant_id", "tenantId", "workspace_id"];
const PROPERTIES: [&str; 4] = ["properties", "metadata", "data", "payload"];

/// Names, how to read the field, and whether it may be an integer.
const TEXTS: [(&[&str], Read, bool); 7] = [
    (&IDS, |c| owned(c.id.as_ref()), true),
    (&TYPES, |c| owned(c.kind.as_ref()), false),
    (&CUSTOMERS, |c| owned(c.customer.as_ref()), true),
    (&USERS, |c| owned(c.user.as_ref()), true),
    (&ENDPOINTS, |c| owned(c.endpoint.as_ref()), false),
    (&PROJECTS, |c| owned(c.project.as_ref()), true),
    (&TENANTS, |c| owned(c.tenant.as_ref()), true),
];

#[test]
fn texts_are_read_under_each_name_and_with_escapes() {
    for (names, read, _) in TEXTS {
        for name in names {
            for (written, meant) in [
                (r#""plain""#, "plain"),
                (r#"" ""#, " "),
                (r#""a\"b\\c\/d\u0041\n""#, "a\"b\\c/dA\n"),
                (r#""\ud83d\ude00 ü""#, "😀 ü"),
                (r#""nul\u0000""#, "nul\0"),
            ] {
                let body = format!(r#"{{"{name}":{written}}}"#);
                assert_eq!(read(&event(&body)).as_deref(), Some(meant), "{body}");
            }
        }
    }
}

#[test]
fn texts_without_escapes_are_borrowed_from_the_body() {
    let body = r#"{"id":"a","time":"t","type":"b","customer":"c","user":"d","endpoint":"e","project":"f","tenant":"g",
        "properties":{"tokens":1,"model":"m"}}"#;
    let found = event(body);
    let texts = [found.id, found.kind, found.customer, found.user, found.endpoint, found.project, found.tenant];
    assert!(texts.iter().flatten().all(|text| matches!(text, Cow::Borrowed(_))));
    let rest = [found.properties, found.usage.tokens, found.usage.model];
    assert!(rest.iter().flatten().all(|text| matches!(text, Cow::Borrowed(_))));
    assert_eq!(found.time, Some(TimeText::Text(Cow::Borrowed("t"))));
}

#[test]
fn ids_may_be_integers_and_nothing_else() {
    for (names, read, may_be_integer) in TEXTS {
        for name in names {
            for digits in ["0", "-7", "9223372036854775807", "123456789012345678901234567890"] {
                let body = format!(r#"{{"{name}":{digits}}}"#);
                if may_be_integer {
                    assert_eq!(read(&event(&body)).as_deref(), Some(digits), "{body}");
                } else {
                    refused_for(&body, RejectCode::InvalidType, name);
                }
            }
            for wrong in ["1.5", "1e3", "1.0", "true", "[]", "{}", r#"["a"]"#] {
                refused_for(&format!(r#"{{"{name}":{wrong}}}"#), RejectCode::InvalidType, name);
            }
        }
    }
}

#[test]
fn a_time_is_a_text_or_any_number() {
    for name in TIMES {
        let time = |written: &str| event(&format!(r#"{{"{name}":{written}}}"#)).time.map(owned_time);
        assert_eq!(time(r#""2026-01-01""#), Some(Ok("2026-01-01".into())));
        assert_eq!(time("1767225600"), Some(Err("1767225600".into())));
        assert_eq!(time("1767225600.25"), Some(Err("1767225600.25".into())));
        assert_eq!(time("1e400"), Some(Err("1e400".into())), "admission's to refuse");
        assert_eq!(time("null"), None);
        for wrong in ["false", "[]", "{}"] {
            refused_for(&format!(r#"{{"{name}":{wrong}}}"#), RejectCode::InvalidType, name);
        }
    }
}

/// `Ok` for a text, `Err` for a number.
fn owned_time(time: TimeText<'_>) -> Result<String, String> {
    match time {
        TimeText::Text(text) => Ok(text.into_owned()),
        TimeText::Number(number) => Err(number.into_owned()),
    }
}

#[test]
fn null_is_absent() {
    let body = r#"{"id":null,"event_id":"a","time":null,"type":null,"customer":null,"user":null,"endpoint":null,
        "project":null,"tenant":null,"properties":null,"tokens":null,"model":null,"specversion":null,"data_base64":null,
        "data":{"tokens":null,"latencyMs":null,"model":null}}"#;
    let properties = r#"{"tokens":null,"latencyMs":null,"model":null}"#;
    let wanted = Candidate { id: Some("a".into()), properties: Some(properties.into()), ..Candidate::default() };
    assert_eq!(event(body), wanted);
}

#[test]
fn an_empty_text_is_absent_but_in_an_id_and_a_tenant() {
    let body = r#"{"event_id":"a","type":"","customer":"","user":"","endpoint":"","project":"","tokens":"","model":"",
        "data":{"tokens":"","latencyMs":"","model":""}}"#;
    let properties = r#"{"tokens":"","latencyMs":"","model":""}"#;
    let wanted = Candidate { id: Some("a".into()), properties: Some(properties.into()), ..Candidate::default() };
    assert_eq!(event(body), wanted);
    assert_eq!(event(r#"{"customer":"","customer_id":"c"}"#).customer.as_deref(), Some("c"));
    let empty = event(r#"{"id":"","tenant":""}"#);
    assert_eq!((empty.id.as_deref(), empty.tenant.as_deref()), (Some(""), Some("")), "admission refuses them");
}

/// Every event of Segment and RudderStack.
#[test]
fn of_a_tracked_event_the_event_is_the_type() {
    for body in [r#"{"type":"track","event":"Signed Up"}"#, r#"{"event":"Signed Up","type":"track"}"#] {
        assert_eq!(event(body).kind.as_deref(), Some("Signed Up"));
    }
    assert_eq!(event(r#"{"type":"track","event":""}"#).kind.as_deref(), Some("track"));
    refused_for(r#"{"type":"page","event":"Signed Up"}"#, RejectCode::ConflictingFields, "event");
    refused_for(r#"{"type":"track","event_type":"a"}"#, RejectCode::ConflictingFields, "event_type");
    refused_for(r#"{"type":"track","event":"a","event_type":"b"}"#, RejectCode::ConflictingFields, "event_type");
    for body in [
        r#"{"type":"track","event_type":"track","event":"x"}"#,
        r#"{"event":"x","type":"track","event_type":"track"}"#,
        r#"{"event_type":"track","event":"x","type":"track"}"#,
    ] {
        assert_eq!(event(body).kind.as_deref(), Some("x"), "{body}");
    }
    for body in [r#"{"type":"track","event":"x","event_type":"x"}"#, r#"{"event_type":"x","type":"track","event":"x"}"#]
    {
        assert_eq!(refusal(body).0, RejectCode::ConflictingFields, "{body}");
    }
}

#[test]
fn names_of_one_field_must_agree() {
    for names in [&IDS[..], &TYPES, &CUSTOMERS, &USERS, &ENDPOINTS, &PROJECTS, &TENANTS, &TIMES] {
        for first in names {
            for second in names {
                event(&format!(r#"{{"{first}":"a","{second}":"\u0061","user_id":null}}"#));
                let conflict = format!(r#"{{"{first}":"a","{second}":"b"}}"#);
                // What stands under `event` is held against the others in the end.
                let told = if *first == "event" { first } else { second };
                refused_for(&conflict, RejectCode::ConflictingFields, told);
            }
        }
    }
    for first in PROPERTIES {
        for second in PROPERTIES {
            event(&format!(r#"{{"{first}":{{"a":1}},"{second}":{{"a":1}}}}"#));
            let conflict = format!(r#"{{"{first}":{{"a":1}},"{second}":{{"a":2}}}}"#);
            refused_for(&conflict, RejectCode::ConflictingFields, second);
        }
    }
    assert_eq!(event(r#"{"user":5,"user_id":"5"}"#).user.as_deref(), Some("5"));
    refused_for(r#"{"data":{"inputTokens":1,"input_tokens":2}}"#, RejectCode::ConflictingFields, "data.input_tokens");
    refused_for(r#"{"tokens":1,"tokens":2}"#, RejectCode::ConflictingFields, "tokens");
}

#[test]
fn properties_are_an_object_kept_as_written() {
    for name in PROPERTIES {
        let written = "{ \"b\" : 1.50,\t\"a\":[ 1e400, \"\\u00e9\\/\\u0000\" ], \"a\":{} }";
        let body = format!(r#"{{ "{name}" :  {written}  }}"#);
        assert_eq!(event(&body).properties.as_deref(), Some(written));
        assert_eq!(event(&format!(r#"{{"id":"x","{name}":{{}}}}"#)).properties.as_deref(), Some("{}"));
        for wrong in ["[]", "\"{}\"", "1", "true"] {
            refused_for(&format!(r#"{{"{name}":{wrong}}}"#), RejectCode::InvalidType, name);
        }
        for bad in [r#"{"a":"\ud800"}"#, r#"{"\udc00":1}"#, r#"{"a":[{"b":"\ud83dx"}]}"#] {
            refused_for(&format!(r#"{{"{name}":{bad}}}"#), RejectCode::InvalidJson, name);
        }
    }
}

#[test]
fn measures_are_numbers_as_written() {
    let names = [
        "tokens",
        "inputTokens",
        "input_tokens",
        "outputTokens",
        "output_tokens",
        "latencyMs",
        "latency_ms",
        "cacheReadTokens",
        "cache_read_tokens",
        "cacheWriteTokens",
        "reasoning_tokens",
    ];
    let read = |body: &str| {
        let usage = event(body).usage;
        let totals = [usage.tokens, usage.input_tokens, usage.output_tokens, usage.latency_ms];
        let parts = [usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens];
        totals.into_iter().chain(parts).flatten().map(Cow::into_owned).collect::<Vec<_>>()
    };
    for name in names {
        for number in ["0", "-1", "0.5", "1e400", "-0", "9223372036854775808", "1500.0"] {
            assert_eq!(read(&format!(r#"{{"metadata":{{"{name}":{number}}}}}"#)), [number], "{name}");
            assert_eq!(read(&format!(r#"{{"{name}":{number}}}"#)), [number], "{name}");
            assert_eq!(read(&format!(r#"{{"{name}":7,"data":{{"{name}":{number}}}}}"#)), [number], "{name}");
        }
        for text in ["123", "-1", "many"] {
            assert_eq!(read(&format!(r#"{{"metadata":{{"{name}":"{text}"}}}}"#)), [text], "{name}");
            assert_eq!(read(&format!(r#"{{"{name}":"{text}"}}"#)), [text], "{name}");
        }
        for wrong in ["true", "[1]", "{}"] {
            let inside = format!(r#"{{"metadata":{{"{name}":{wrong}}}}}"#);
            refused_for(&inside, RejectCode::InvalidType, &format!("metadata.{name}"));
            refused_for(&format!(r#"{{"{name}":{wrong}}}"#), RejectCode::InvalidType, name);
        }
    }
}

#[test]
fn the_model_is_a_text_inside_the_properties_or_beside_them() {
    assert_eq!(event(r#"{"properties":{"model":"m"},"model":"outer"}"#).usage.model.as_deref(), Some("m"));
    assert_eq!(event(r#"{"properties":{},"model":"outer"}"#).usage.model.as_deref(), Some("outer"));
    assert_eq!(event(r#"{"properties":{"deep":{"model":5}},"id":1}"#).usage.model, None);
    refused_for(r#"{"properties":{"model":4}}"#, RejectCode::InvalidType, "properties.model");
    refused_for(r#"{"properties":{"model":"\ud800"}}"#, RejectCode::InvalidJson, "properties");
}

#[test]
fn unknown_members_are_ignored_whatever_they_hold() {
    let body = r#"{"id":"a","x":1e400,"y":{"id":"b"},"an.id":"c","z":"\ud800","\u0074ype":"t"}"#;
    let wanted = Candidate { id: Some("a".into()), kind: Some("t".into()), ..Candidate::default() };
    assert_eq!(event(body), wanted);
}

#[test]
fn the_first_fault_is_named_and_the_id_is_found_behind_it() {
    let body = r#"{"type":5,"user":{},"id":"late"}"#;
    let [Err((id, why))] = &crate::items(crate::JSON, body)[..] else { panic!("accepted") };
    assert_eq!((id.as_deref(), why.field.as_deref()), (Some("late"), Some("type")));
    let long = format!(r#"{{"type":5,"id":"{}"}}"#, "x".repeat(257));
    let [Err((id, _))] = &crate::items(crate::JSON, &long)[..] else { panic!("accepted") };
    assert_eq!(*id, None, "an id that is too long to be one is not sent back");
}
