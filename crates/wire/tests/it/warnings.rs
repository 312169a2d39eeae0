//! What looks like a mistake is told, and innocent names are not.

use domain::warning::{Warning, WarningCode};

use crate::event;

/// The warnings of an event that has a user, so that nothing else is missing.
fn told(members: &str) -> Vec<(WarningCode, String)> {
    let body = format!(r#"{{"user":"u",{members}}}"#);
    let told = |warning: Warning<'_>| (warning.code, warning.field.map(|field| field.into_owned()).unwrap_or_default());
    event(&body).warnings.into_iter().map(told).collect()
}

#[test]
fn a_time_that_is_not_read_is_told() {
    let names =
        ["created_at", "createdAt", "date", "datetime", "occurred", "$timestamp", "@timestamp", "sent_at", "Date"];
    // What a column of a file would be told for, and what exports show.
    for name in
        names.into_iter().chain(["ts_ms", "emitted_at", "when", "day", "call_time", "updated_at", "received_at"])
    {
        for value in [r#""2026-01-01T00:00:00Z""#, "1767225600"] {
            assert_eq!(told(&format!(r#""{name}":{value}"#)), [(WarningCode::TimeNotRead, name.to_owned())]);
        }
        assert_eq!(told(&format!(r#""{name}":"2026-01-01","time":"2026-01-02""#)), [], "{name}");
        assert_eq!(told(&format!(r#""{name}":true"#)), [], "{name}");
    }
    for name in ["time", "timestamp", "occurred_at", "created_at"] {
        let members = format!(r#""properties":{{"{name}":"2026-01-01"}}"#);
        assert_eq!(told(&members), [(WarningCode::TimeNotRead, format!("properties.{name}"))]);
    }
}

#[test]
fn an_id_that_is_not_read_is_told() {
    for name in
        ["transaction_id", "external_id", "messageId", "uuid", "insert_id", "$insert_id", "request_id", "txn_id"]
    {
        assert_eq!(told(&format!(r#""{name}":"x1""#)), [(WarningCode::IdNotRead, name.to_owned())]);
        assert_eq!(told(&format!(r#""{name}":"x1","id":"e""#)), [], "{name}");
    }
    let inside = told(r#""metadata":{"$insert_id":"x"}"#);
    assert_eq!(inside, [(WarningCode::IdNotRead, "metadata.$insert_id".to_owned())]);
}

#[test]
fn a_customer_or_user_that_is_not_read_is_told() {
    for (body, name) in [
        (r#"{"type":"t","org_id":"o"}"#, "org_id"),
        (r#"{"type":"t","distinct_id":"o"}"#, "distinct_id"),
        (r#"{"type":"t","properties":{"customer_id":"o"}}"#, "properties.customer_id"),
    ] {
        assert_eq!(event(body).warnings, [Warning::of(WarningCode::NoCustomerOrUser, name)], "{body}");
    }
    assert_eq!(told(r#""org_id":"o""#), []);
}

#[test]
fn tokens_that_are_not_read_are_told() {
    assert_eq!(told(r#""tokens_reset_at":"2026-03-02T00:00:00Z","time":"2026-03-02""#), []);
    for name in ["total_tokens", "token_count", "tokensUsed", "promptTokens", "num_tokens", "token"] {
        assert_eq!(told(&format!(r#""{name}":5"#)), [(WarningCode::TokensNotRead, name.to_owned())]);
        let inside = told(&format!(r#""properties":{{"{name}":5}}"#));
        assert_eq!(inside, [(WarningCode::TokensNotRead, format!("properties.{name}"))]);
        assert_eq!(told(&format!(r#""{name}":5,"tokens":7"#)), [], "{name}");
        assert_eq!(told(&format!(r#""{name}":"secret""#)), [], "{name}");
    }
}

#[test]
fn a_name_that_is_nearly_a_field_is_told_when_that_is_missing() {
    for (name, value) in [
        ("custmer", r#""c""#),
        ("costumer_id", r#""c""#),
        ("timestmap", "1767225600"),
        ("endpiont", r#""/x""#),
        ("propertys", "{}"),
        ("event_name", r#""x""#),
        ("latency", "12"),
        ("modle", r#""m""#),
    ] {
        assert_eq!(told(&format!(r#""{name}":{value}"#)), [(WarningCode::NearField, name.to_owned())]);
    }
    let many: String = (0..40).map(|n| format!(r#""other{n}":"x","#)).collect();
    assert_eq!(told(&format!(r#"{many}"endpiont":"/x""#)), [(WarningCode::NearField, "endpiont".to_owned())]);
    assert_eq!(told(r#""attributes":{"a":1}"#), [(WarningCode::NearField, "attributes".to_owned())]);
    assert_eq!(told(r#""custmer":"c","customer":"d""#), []);
    assert_eq!(told(r#""latency":"slow""#), []);
}

/// What events carry beside their fields, without meaning one of them.
const INNOCENT: &str = "
    url path referrer page title screen country city region ip locale language timezone browser os
    platform device version app_version release build campaign medium channel plan tier price amount
    currency quantity unit sku product category tags labels status status_code method region_id cluster
    host pod zone environment feature flag variant experiment score rating comment name description
    count size bytes duration retries error level modal users types access_token max_tokens source
    session trace_id span_id
";

#[test]
fn innocent_names_are_not_told() {
    let names: Vec<_> = INNOCENT.split_ascii_whitespace().collect();
    assert!(names.len() >= 60);
    for name in names {
        for value in [r#""x1""#, "7", r#"{"a":1}"#] {
            for members in [format!(r#""{name}":{value}"#), format!(r#""properties":{{"{name}":{value}}}"#)] {
                assert_eq!(told(&members), [], "{members}");
            }
        }
    }
}
