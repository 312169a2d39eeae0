//! CloudEvents 1.0 in JSON: the attributes, what is looked for in the data, and what is refused.

use domain::event::IdScheme;
use domain::limits::Limits;
use domain::rejection::RejectCode;
use domain::warning::{Warning, WarningCode};

use crate::{CLOUD, JSON, LINES, event, events, items, refused_for};

#[test]
fn the_attributes_become_fields() {
    let body = r#"{"specversion":"1.0","id":"A234-1234-1234","source":"/mycontext","type":"com.example.call",
        "time":"2026-04-05T17:31:00Z","subject":"acme","datacontenttype":"application/json","dataschema":"https://x/y",
        "tenant":"t","traceparent":"00-0af7-01","data":{"tokens":12,"model":"m","endpoint":"/v1/chat","user_id":9}}"#;
    let found = event(body);
    assert_eq!(found.id.as_deref(), Some("A234-1234-1234"));
    assert_eq!(found.kind.as_deref(), Some("com.example.call"));
    assert_eq!(found.source.as_deref(), Some("/mycontext"));
    assert_eq!(found.customer.as_deref(), Some("acme"));
    assert_eq!(found.tenant.as_deref(), Some("t"));
    assert_eq!(found.endpoint.as_deref(), Some("/v1/chat"));
    assert_eq!(found.user.as_deref(), Some("9"));
    assert_eq!(found.usage.tokens.as_deref(), Some("12"));
    assert_eq!(found.usage.model.as_deref(), Some("m"));
    assert!(found.properties.unwrap().starts_with("{\"tokens\":12"));
}

#[test]
fn data_fills_only_what_the_envelope_lacks() {
    let body = r#"{"data":{"customer_id":"inner","userId":"inner","project":3,"workspace_id":"w","id":"inner",
        "type":"inner","endpoint":{"path":"/x"}},"subject":"outer","id":"a","specversion":"1.0"}"#;
    let found = event(body);
    assert_eq!(found.customer.as_deref(), Some("outer"));
    assert_eq!(found.user.as_deref(), Some("inner"));
    assert_eq!(found.project.as_deref(), Some("3"));
    assert_eq!(found.tenant.as_deref(), Some("w"));
    assert_eq!((found.id.as_deref(), found.kind), (Some("a"), None));
    assert_eq!(found.endpoint, None, "an object in free data is not the field");
    let conflict = r#"{"specversion":"1.0","data":{"user":"a","user_id":"b"}}"#;
    refused_for(conflict, RejectCode::ConflictingFields, "data.user_id");
}

#[test]
fn only_a_cloud_event_has_a_source_and_one_without_is_told() {
    for plain in [r#"{"id":"a","source":"x"}"#, r#"{"id":"a","source":{}}"#] {
        assert_eq!((event(plain).source, event(plain).warnings), (None, Vec::new()), "{plain}");
    }
    for bare in [r#"{"specversion":"1.0","id":"a"}"#, r#"{"source":"","id":"a","specversion":"1.0"}"#] {
        let found = event(bare);
        assert_eq!(found.source, None);
        assert_eq!(found.warnings, [Warning::whole(WarningCode::MissingSource)], "{bare}");
    }
}

#[test]
fn names_in_the_data_are_read_as_they_are_listed_and_no_other() {
    let found = event(r#"{"specversion":"1.0","source":"s","id":"a","data":{"CustomerId":"c","User":"u","Tokens":5}}"#);
    assert_eq!((found.customer, found.user), (None, None));
    assert_eq!(found.usage.tokens.as_deref(), Some("5"));
}

#[test]
fn a_plain_event_keeps_its_properties_to_itself() {
    let found = event(r#"{"id":"a","data":{"user":"inner","customer":"inner"}}"#);
    assert_eq!((found.user, found.customer), (None, None));
}

#[test]
fn other_versions_and_binary_data_are_refused() {
    refused_for(r#"{"specversion":"0.3","id":"a"}"#, RejectCode::InvalidValue, "specversion");
    refused_for(r#"{"specversion":1.0,"id":"a"}"#, RejectCode::InvalidType, "specversion");
    refused_for(r#"{"specversion":"1.0","id":"a","data_base64":"e30="}"#, RejectCode::InvalidValue, "data_base64");
    refused_for(r#"{"specversion":"1.0","id":"a","data":"text"}"#, RejectCode::InvalidType, "data");
    refused_for(r#"{"specversion":"1.0","id":"a","source":5}"#, RejectCode::InvalidType, "source");
}

#[test]
fn the_content_type_demands_the_version() {
    let found = items(CLOUD, r#"[{"id":"a"},{"id":"b","specversion":"1.0"}]"#);
    let [Err((Some(id), why)), Ok(_)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((id.as_str(), why.field.as_deref()), ("a", Some("specversion")));
}

#[test]
fn i2_what_an_id_means_is_read_from_files_alone() {
    let plain = r#"{"id":"ce:a#1"}"#;
    for scheme in [r#""cloudevent""#, r#""other""#, "7", "{}", "null"] {
        for name in ["id_scheme", "idScheme", "ID_SCHEME"] {
            let body = format!(r#"{{"id":"ce:a#1","{name}":{scheme}}}"#);
            assert_eq!(events(JSON, &body), events(JSON, plain), "{body}");
            assert_eq!(events(LINES, &body), events(LINES, plain), "{body}");
            assert_eq!(events(JSON, &format!("[{body}]")), events(JSON, plain), "{body}");
            assert_eq!(events(JSON, &format!(r#"{{"events":[{body}]}}"#)), events(JSON, plain), "{body}");
        }
    }
    let limits = Limits::default();
    let of_file = |line: &str| {
        let read = wire::line(1, line.as_bytes(), &limits).unwrap();
        read.map(|candidate| candidate.stored_scheme).map_err(|(_, why)| (why.code, why.field))
    };
    let invalid = || Err((RejectCode::InvalidValue, Some("id_scheme".to_owned())));
    for (line, wanted) in [
        (r#"{"event_id":"ce:a#1","id_scheme":"cloudevent"}"#, Ok(Some(IdScheme::CloudEvent))),
        (r#"{"idScheme":"cloudevent","id":"ce:a#1"}"#, Ok(Some(IdScheme::CloudEvent))),
        (r#"{"id":"ce:a#1","id_scheme":""}"#, Ok(None)),
        (r#"{"id":"ce:a#1","id_scheme":null}"#, Ok(None)),
        (r#"{"type":"t","id_scheme":"cloudevent"}"#, Ok(None)),
        (r#"{"id":"ce:a#1","id_scheme":"native"}"#, invalid()),
        (r#"{"id":"a#1","id_scheme":"cloudevent"}"#, invalid()),
    ] {
        assert_eq!(of_file(line), wanted, "{line}");
    }
}
