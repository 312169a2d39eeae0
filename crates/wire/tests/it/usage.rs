//! What a provider of models says of a call is counted wherever people put it.

use domain::warning::{Warning, WarningCode};

use crate::event;

const CHAT: &str = r#"{"prompt_tokens":10,"completion_tokens":25,"total_tokens":35}"#;

fn tokens(body: &str) -> Option<(Option<u64>, Option<u64>)> {
    event(body).provider.map(|tokens| (tokens.input, tokens.output))
}

#[test]
fn a_usage_object_is_found_wherever_it_may_stand() {
    for name in ["usage", "usageMetadata", "usage_metadata"] {
        for body in [
            format!(r#"{{"user":"u","properties":{{"{name}":{CHAT}}}}}"#),
            format!(r#"{{"user":"u","{name}":{CHAT},"properties":{{}}}}"#),
            format!(r#"{{"user":"u","data":{{"response":{{"id":"r","model":"m","{name}":{CHAT}}}}}}}"#),
            format!(r#"{{"user":"u","response":{{"{name}":{CHAT}}}}}"#),
        ] {
            assert_eq!(tokens(&body), Some((Some(10), Some(25))), "{body}");
            assert!(event(&body).warnings.iter().all(|told| told.code == WarningCode::IdNotRead), "{body}");
        }
    }
    let flat = CHAT.trim_start_matches('{');
    for body in [
        format!(r#"{{"user":"u","properties":{CHAT}}}"#),
        format!(r#"{{"user":"u",{flat}"#),
        format!(r#"{{"specversion":"1.0","source":"s","id":"1","data":{CHAT}}}"#),
    ] {
        assert_eq!(tokens(&body), Some((Some(10), Some(25))), "{body}");
    }
}

#[test]
fn flat_input_and_output_belong_to_the_object_that_a_member_tells() {
    let anthropic =
        r#"{"user":"u","properties":{"input_tokens":50,"output_tokens":503,"cache_read_input_tokens":1000}}"#;
    let found = event(anthropic);
    let provider = found.provider.unwrap();
    assert_eq!((provider.input, provider.output, provider.cache_read), (Some(1050), Some(503), Some(1000)));
    assert_eq!((found.usage.input_tokens, found.usage.output_tokens), (None, None));
    let first = found.first_reading.unwrap();
    assert_eq!(first.usage.input_tokens.as_deref(), Some("50"), "as an earlier release read it");
    let plain = event(r#"{"user":"u","properties":{"input_tokens":50,"output_tokens":3}}"#);
    assert_eq!((plain.provider, plain.usage.input_tokens.as_deref()), (None, Some("50")));
    let explicit = event(r#"{"user":"u","properties":{"inputTokens":7,"input_tokens":50,"prompt_tokens":9}}"#);
    assert_eq!(explicit.usage.input_tokens.as_deref(), Some("7"), "measures go before the object");
}

#[test]
fn what_is_no_usage_or_cannot_be_read_is_told() {
    let told = |body: &str| {
        let found = event(body);
        assert_eq!(found.provider, None, "{body}");
        found.warnings.into_iter().map(|told| (told.code, told.field.unwrap().into_owned())).collect::<Vec<_>>()
    };
    let not_read = |field: &str| vec![(WarningCode::UsageNotRead, field.to_owned())];
    let invalid = |field: &str| vec![(WarningCode::UsageInvalid, field.to_owned())];
    assert_eq!(told(r#"{"user":"u","properties":{"usage":{"cpu":3}}}"#), not_read("properties.usage"));
    assert_eq!(told(r#"{"user":"u","usage":{"tokens_total":3}}"#), not_read("usage"));
    assert_eq!(told(r#"{"user":"u","usage":"{\"prompt_tokens\":3}"}"#), not_read("usage"));
    assert_eq!(told(r#"{"user":"u","usage":{"prompt_tokens":-3}}"#), invalid("usage.prompt_tokens"));
    assert_eq!(told(r#"{"user":"u","data":{"prompt_tokens":"x"}}"#), invalid("data.prompt_tokens"));
    assert_eq!(told(r#"{"user":"u","tokens":5,"usage":{"cpu":3}}"#), [], "the tokens are named");
    let response = r#"{"user":"u","response":{"usage":{"prompt_tokens":1.5},"model":"m"}}"#;
    assert_eq!(told(response), invalid("response.usage.prompt_tokens"));
    assert_eq!(event(response).usage.model.as_deref(), Some("m"));
    for body in [
        r#"{"user":"u","properties":{"usage":{"cpu":3},"usageMetadata":{"promptTokenCount":9}}}"#,
        r#"{"user":"u","properties":{"usageMetadata":{"promptTokenCount":9},"usage":{"cpu":3}}}"#,
    ] {
        assert_eq!(tokens(body), Some((Some(9), None)), "{body}");
    }
    let cut = event(r#"{"user":"u","usage":{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":150}}}"#);
    assert_eq!(cut.warnings, [Warning::of(WarningCode::UsageConflict, "usage")]);
    assert_eq!(cut.provider.unwrap().cache_read, Some(100));
}
