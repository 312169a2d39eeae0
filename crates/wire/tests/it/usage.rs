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

fn told_of(body: &str) -> Vec<(WarningCode, String)> {
    let told = |told: Warning<'_>| (told.code, told.field.unwrap_or_default().into_owned());
    event(body).warnings.into_iter().map(told).collect()
}

/// An event with these members in its properties, in both orders.
fn both_orders(first: &str, second: &str) -> [String; 2] {
    [(first, second), (second, first)].map(|(a, b)| format!(r#"{{"user":"u","properties":{{{a},{b}}}}}"#))
}

#[test]
fn of_several_usage_objects_the_order_of_members_decides_nothing_and_a_contradiction_is_told() {
    let gemini = r#""usageMetadata":{"promptTokenCount":900}"#;
    for body in both_orders(r#""usage":{"prompt_tokens":10}"#, gemini) {
        assert_eq!(tokens(&body), Some((Some(10), None)), "{body}");
        assert_eq!(told_of(&body), [(WarningCode::UsageConflict, "properties.usageMetadata".to_owned())], "{body}");
    }
    for body in both_orders(r#""usage":{"prompt_tokens":-9}"#, gemini) {
        assert_eq!(tokens(&body), None, "{body}");
        assert_eq!(told_of(&body), [(WarningCode::UsageInvalid, "properties.usage.prompt_tokens".to_owned())]);
    }
    for body in both_orders(r#""usage":{"prompt_tokens":10}"#, r#""usage":{"prompt_tokens":900}"#) {
        assert_eq!(tokens(&body), None, "nobody knows which is meant: {body}");
        assert_eq!(told_of(&body), [(WarningCode::UsageInvalid, "properties.usage".to_owned())], "{body}");
    }
    for body in both_orders(r#""usage":{"prompt_tokens":9}"#, r#""Usage":{"prompt_tokens":1}"#) {
        assert_eq!(tokens(&body), Some((Some(9), None)), "a listed name goes first: {body}");
        assert_eq!(told_of(&body), [(WarningCode::UsageConflict, "properties.Usage".to_owned())], "{body}");
    }
    for body in both_orders(r#""usage":{"prompt_tokens":9}"#, r#""response":{"usage":{"prompt_tokens":9}}"#) {
        assert_eq!((tokens(&body), told_of(&body)), (Some((Some(9), None)), vec![]), "both say the same: {body}");
    }
    let beside = r#"{"user":"u","usage":{"prompt_tokens":3},"properties":{"usage":{"prompt_tokens":4}}}"#;
    assert_eq!(tokens(beside), Some((Some(4), None)));
    assert_eq!(told_of(beside), [(WarningCode::UsageConflict, "usage".to_owned())]);
}

#[test]
fn a_flat_object_may_lie_in_both_places() {
    let halves = [("prompt_tokens", 10), ("completion_tokens", 25)];
    for ((beside, tokens_beside), (inside, tokens_inside)) in [(halves[0], halves[1]), (halves[1], halves[0])] {
        let body = format!(r#"{{"user":"u","{beside}":{tokens_beside},"properties":{{"{inside}":{tokens_inside}}}}}"#);
        assert_eq!((tokens(&body), told_of(&body)), (Some((Some(10), Some(25))), vec![]), "{body}");
    }
    let differ = r#"{"user":"u","prompt_tokens":10,"properties":{"prompt_tokens":25}}"#;
    assert_eq!(tokens(differ), Some((Some(25), None)));
    assert_eq!(told_of(differ), [(WarningCode::UsageConflict, String::new())]);
}

#[test]
fn usage_in_a_form_that_is_not_read_is_told() {
    for value in ["[{\"prompt_tokens\":4}]", "7", "\"15\"", r#""[{\"prompt_tokens\":4}]""#] {
        for (body, field) in [
            (format!(r#"{{"user":"u","usage":{value}}}"#), "usage"),
            (format!(r#"{{"user":"u","properties":{{"usage":{value}}}}}"#), "properties.usage"),
        ] {
            assert_eq!(told_of(&body), [(WarningCode::UsageNotRead, field.to_owned())], "{body}");
        }
    }
    for value in ["null", "true", r#""monthly""#] {
        assert_eq!(told_of(&format!(r#"{{"user":"u","usage":{value}}}"#)), []);
    }
    for name in ["token_usage", "tokenUsage", "usage_details", "llm_usage", "token_counts", "tokens_used"] {
        let body = format!(r#"{{"user":"u","properties":{{"{name}":{CHAT}}}}}"#);
        assert_eq!(told_of(&body), [(WarningCode::TokensNotRead, format!("properties.{name}"))]);
    }
    assert_eq!(told_of(r#"{"user":"u","total_tokens":"35"}"#), [(WarningCode::TokensNotRead, "total_tokens".into())]);
    let sum = r#"{"user":"u","usage":{"prompt_tokens":10,"total_tokens":35}}"#;
    assert_eq!(told_of(sum), [(WarningCode::UsageConflict, "usage".to_owned())], "25 are counted nowhere");
}

#[test]
fn the_id_of_a_response_is_the_events_when_it_has_none() {
    let response = r#""response":{"id":"r1","usage":{"prompt_tokens":3}}"#;
    assert_eq!(event(&format!(r#"{{"user":"u",{response}}}"#)).id.as_deref(), Some("r1"));
    assert_eq!(event(&format!(r#"{{"user":"u","properties":{{{response}}}}}"#)).id.as_deref(), Some("r1"));
    assert_eq!(event(&format!(r#"{{"id":"own","user":"u",{response}}}"#)).id.as_deref(), Some("own"));
    for other in [r#"{"id":"r1"}"#, r#"{"id":"r1","status":200,"usage":{"cpu":3}}"#] {
        assert_eq!(event(&format!(r#"{{"user":"u","response":{other}}}"#)).id, None, "of a provider of models alone");
    }
    let long = format!(r#"{{"user":"u","response":{{"id":"{}","usage":{CHAT}}}}}"#, "x".repeat(300));
    assert_eq!(event(&long).id, None, "no id of an event is that long");
}

#[test]
fn inside_a_response_the_order_of_members_decides_nothing_either() {
    let response = |members: &str| format!(r#"{{"user":"u","response":{{{members}}}}}"#);
    let (ten, many) = (r#""usage":{"prompt_tokens":10}"#, r#""usage":{"prompt_tokens":900}"#);
    for members in [format!("{ten},{many}"), format!("{many},{ten}")] {
        assert_eq!(tokens(&response(&members)), None, "{members}");
        assert_eq!(told_of(&response(&members))[0], (WarningCode::UsageInvalid, "response.usage".to_owned()));
    }
    let gemini = r#""usageMetadata":{"promptTokenCount":900}"#;
    for members in [format!("{ten},{gemini}"), format!("{gemini},{ten}")] {
        assert_eq!(tokens(&response(&members)), Some((Some(10), None)), "{members}");
        let told = (WarningCode::UsageConflict, "response.usageMetadata".to_owned());
        assert_eq!(told_of(&response(&members))[0], told, "{members}");
    }
    let other = format!(r#""usage":{{"cpu":3}},{gemini}"#);
    assert_eq!(tokens(&response(&other)), Some((Some(900), None)), "what is no usage object stands in no way");
    assert_eq!(told_of(&response(r#""usage":[1]"#)), [(WarningCode::UsageNotRead, "response.usage".to_owned())]);
    let folded = format!(r#"{{"user":"u","Response":{{{many}}},"response":{{"id":"a",{ten}}}}}"#);
    assert_eq!((tokens(&folded), event(&folded).id.as_deref()), (Some((Some(10), None)), Some("a")));
}

#[test]
fn a_usage_object_that_says_less_contradicts_nothing() {
    let body =
        r#"{"user":"u","usage":{"prompt_tokens":10,"completion_tokens":25},"properties":{"completion_tokens":25}}"#;
    assert_eq!((tokens(body), told_of(body)), (Some((Some(10), Some(25))), vec![]), "as an import sends it");
    let absent = r#"{"user":"u","prompt_tokens":10,"completion_tokens":null,"properties":{"completion_tokens":25}}"#;
    assert_eq!((tokens(absent), told_of(absent)), (Some((Some(10), Some(25))), vec![]));
}
