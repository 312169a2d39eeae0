//! Every shape gives the numbers that its provider means, and what cannot be read is named.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]
#![expect(clippy::panic, reason = "a failed test may panic")]

use domain::limits::TOKENS_MAX;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::protocols::{polar, posthog, span, stream};
use super::*;

mod documents;

/// How a test reads an object.
type Read = fn(&str) -> Reading;

/// A row of the contract: its number, the object and its reader, the five classes, and the sums.
type Row = (u8, Read, &'static str, [u64; 5], [u64; 3]);

fn native(object: &str) -> Reading {
    read(object, None)
}

fn usage(reading: Reading) -> ProviderUsage {
    match reading {
        Reading::Read(usage) => usage,
        other => panic!("{other:?}"),
    }
}

/// Input without the cache, read from and written into the cache, output without reasoning, reasoning.
fn classes(usage: ProviderUsage) -> [u64; 5] {
    let [cache_read, cache_write, reasoning] =
        [usage.cache_read, usage.cache_write, usage.reasoning].map(|subset| subset.unwrap_or(0));
    let input = usage.input.unwrap_or(0) - cache_read - cache_write;
    [input, cache_read, cache_write, usage.output.unwrap_or(0) - reasoning, reasoning]
}

/// The totals of the input and the output, and all tokens.
fn totals(usage: ProviderUsage) -> [u64; 3] {
    let [input, output] = [usage.input, usage.output].map(|total| total.unwrap_or(0));
    [input, output, input + output]
}

fn invalid(member: &str) -> Reading {
    Reading::Invalid { member: member.to_owned() }
}

const ANTHROPIC: &str = r#"{"input_tokens":50,"cache_read_input_tokens":100000,"cache_creation_input_tokens":248,
    "cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100},"output_tokens":503,
    "output_tokens_details":{"thinking_tokens":300}}"#;
const ANTHROPIC_CLASSES: [u64; 5] = [50, 100_000, 248, 203, 300];
const ANTHROPIC_TOTALS: [u64; 3] = [100_298, 503, 100_801];

#[test]
fn the_fifteen_rows_have_their_classes_and_totals() {
    let start_and_delta: Read =
        |_| stream([r#"{"input_tokens":25,"output_tokens":1}"#, r#"{"output_tokens":15}"#], Some("anthropic"));
    #[rustfmt::skip]
    let rows: [Row; 15] = [
        (1, native, r#"{"prompt_tokens":1200,"prompt_tokens_details":{"cached_tokens":1024},"completion_tokens":350,
            "completion_tokens_details":{"reasoning_tokens":256},"total_tokens":1550}"#,
            [176, 1024, 0, 94, 256], [1200, 350, 1550]),
        (2, native, r#"{"input_tokens":2006,"input_tokens_details":{"cached_tokens":1920,"cache_write_tokens":64},
            "output_tokens":300,"output_tokens_details":{"reasoning_tokens":120},"total_tokens":2306}"#,
            [22, 1920, 64, 180, 120], [2006, 300, 2306]),
        (3, native, ANTHROPIC, ANTHROPIC_CLASSES, ANTHROPIC_TOTALS),
        (4, start_and_delta, "", [25, 0, 0, 15, 0], [25, 15, 40]),
        (5, native, r#"{"promptTokenCount":1000,"cachedContentTokenCount":600,"toolUsePromptTokenCount":40,
            "candidatesTokenCount":200,"thoughtsTokenCount":150,"totalTokenCount":1390}"#,
            [440, 600, 0, 200, 150], [1040, 350, 1390]),
        (6, native, r#"{"promptTokenCount":80,"responseTokenCount":20,"totalTokenCount":100}"#,
            [80, 0, 0, 20, 0], [80, 20, 100]),
        (7, span, r#"{"gen_ai.usage.input_tokens":100298,"gen_ai.usage.cache_read.input_tokens":100000,
            "gen_ai.usage.cache_creation.input_tokens":248,"gen_ai.usage.output_tokens":503,
            "gen_ai.usage.reasoning.output_tokens":300}"#, ANTHROPIC_CLASSES, ANTHROPIC_TOTALS),
        (8, posthog, r#"{"$ai_provider":"anthropic","$ai_input_tokens":50,"$ai_cache_read_input_tokens":100000,
            "$ai_cache_creation_input_tokens":248,"$ai_output_tokens":503,"$ai_reasoning_tokens":300}"#,
            ANTHROPIC_CLASSES, ANTHROPIC_TOTALS),
        (9, posthog, r#"{"$ai_provider":"gemini","$ai_cache_reporting_exclusive":false,"$ai_input_tokens":1000,
            "$ai_cache_read_input_tokens":600,"$ai_output_tokens":200,"$ai_reasoning_tokens":150}"#,
            [400, 600, 0, 200, 150], [1000, 350, 1350]),
        (10, polar, r#"{"input_tokens":1200,"cached_input_tokens":1024,"output_tokens":350,"total_tokens":1550}"#,
            [176, 1024, 0, 350, 0], [1200, 350, 1550]),
        (11, native, r#"{"prompt_tokens":100,"completion_tokens":40,
            "completion_tokens_details":{"reasoning_tokens":25},"total_tokens":165}"#,
            [100, 0, 0, 40, 25], [100, 65, 165]),
        (12, native, r#"{"input_tokens":100,"output_tokens":50,"iterations":[
            {"type":"compaction","input_tokens":4000,"output_tokens":900},
            {"type":"message","input_tokens":100,"output_tokens":50}]}"#,
            [4100, 0, 0, 950, 0], [4100, 950, 5050]),
        (13, native, r#"{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":150},"completion_tokens":10}"#,
            [0, 100, 0, 10, 0], [100, 10, 110]),
        (14, native, r#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 0, 0, 0], [8, 0, 8]),
        (15, native, r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#,
            [10, 0, 0, 5, 0], [10, 5, 15]),
    ];
    for (number, read, object, wanted, sums) in rows {
        let usage = usage(read(object));
        assert_eq!((classes(usage), totals(usage)), (wanted, sums), "row {number}: {usage:?}");
        assert_eq!(usage.conflict, number == 13, "row {number}");
    }
}

#[test]
fn what_a_provider_does_not_say_is_not_said() {
    let said = |object| usage(native(object));
    let only = |input, output| ProviderUsage { input, output, ..ProviderUsage::default() };
    assert_eq!(said(r#"{"prompt_tokens":8,"total_tokens":8}"#), only(Some(8), None));
    assert_eq!(said(r#"{"prompt_tokens":8,"completion_tokens":null}"#), only(Some(8), None));
    assert_eq!(said(r#"{"completion_tokens":5}"#), only(None, Some(5)));
    assert_eq!(said(r#"{"promptTokenCount":8,"candidatesTokenCount":""}"#), only(Some(8), None));
    assert_eq!(said(r#"{"responseTokenCount":8}"#), only(None, Some(8)));
    let none = r#"{"prompt_tokens":8,"prompt_tokens_details":null,"completion_tokens_details":{}}"#;
    assert_eq!(said(none), only(Some(8), None));
    let zero = r#"{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":0}}"#;
    assert_eq!(said(zero), ProviderUsage { cache_read: Some(0), ..only(Some(8), None) });
}

#[test]
fn a_shape_is_told_by_its_own_members() {
    for object in [
        "{}",
        r#"{"total_tokens":5}"#,
        r#"{"totalTokenCount":5}"#,
        r#"{"total":15,"input":10,"output":5}"#,
        r#"{"output_tokens":15}"#,
        r#"{"inputTokens":10,"outputTokens":5}"#,
        r#"{"tokens":10}"#,
        r#"{"prompt_tokens":null,"completion_tokens":null}"#,
        r#"{"prompt_tokens":""}"#,
        r#"{"cache_creation":{}}"#,
        r#"{"usage":{"prompt_tokens":10}}"#,
        r#"{"Prompt_Tokens":10}"#,
        r#"{"cached_input_tokens":10}"#,
        r#"{"$ai_input_tokens":10}"#,
        r#"{"gen_ai.usage.input_tokens":10}"#,
    ] {
        assert_eq!(native(object), Reading::NotUsage, "{object}");
    }
    for text in ["[]", "5", "null", r#""prompt_tokens""#] {
        assert_eq!(native(text), Reading::NotUsage, "{text}");
    }
    for read in [posthog, polar, span] {
        assert_eq!(read(r#"{"prompt_tokens":10,"promptTokenCount":10}"#), Reading::NotUsage);
    }
}

#[test]
fn every_telling_member_is_read() {
    for name in ["prompt_tokens", "promptTokenCount", "prompt_token_count", "cache_read_input_tokens"] {
        assert!(is_telling(name), "{name}");
        assert_eq!(totals(usage(native(&format!(r#"{{"{name}":7}}"#)))), [7, 0, 7], "{name}");
    }
    assert!(is_telling("completion_tokens"));
    let creations = [
        "cache_creation_input_tokens",
        "cache_creation_tokens",
        "cache_creation_5m_tokens",
        "cache_creation.1h_tokens",
    ];
    for name in creations {
        assert!(is_telling(name), "{name}");
        let object = format!(r#"{{"{name}":7,"input_tokens":3}}"#);
        assert_eq!(classes(usage(native(&object))), [3, 0, 7, 0, 0], "{name}");
    }
    assert!(is_telling("cache_creation"));
    let object = r#"{"input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":7}}"#;
    assert_eq!(classes(usage(native(object))), [3, 0, 7, 0, 0]);
    for name in ["tokens", "input_tokens", "inputTokens", "total_tokens", "cache_creation_time", "type", "usage", ""] {
        assert!(!is_telling(name), "{name}");
    }
}

#[test]
fn a_provider_breaks_ties_and_nothing_else() {
    let both = r#"{"prompt_tokens":10,"completion_tokens":1,"input_tokens":20,"output_tokens":2,
        "promptTokenCount":30,"candidatesTokenCount":3,"total_input_tokens":40,"total_output_tokens":4}"#;
    for (provider, totals_of_it) in [
        (None, [10, 1, 11]),
        (Some("openai"), [10, 1, 11]),
        (Some("no one knows"), [10, 1, 11]),
        (Some("Anthropic"), [20, 2, 22]),
        (Some("google_vertexai"), [30, 3, 33]),
        (Some("gemini"), [30, 3, 33]),
    ] {
        assert_eq!(totals(usage(read(both, provider))), totals_of_it, "{provider:?}");
    }
    for object in [r#"{"prompt_tokens":10}"#, r#"{"input_tokens":10}"#, r#"{"promptTokenCount":10}"#] {
        for provider in [None, Some("openai"), Some("anthropic"), Some("gemini")] {
            assert_eq!(totals(usage(read(object, provider))), [10, 0, 10], "{object} of {provider:?}");
        }
    }
}

#[test]
fn totals_with_names_of_two_shapes_belong_together() {
    for object in [
        r#"{"prompt_tokens":10,"output_tokens":5}"#,
        r#"{"input_tokens":10,"completion_tokens":5}"#,
        r#"{"input_tokens":10,"completion_tokens":5,"total_tokens":15}"#,
    ] {
        assert_eq!(totals(usage(native(object))), [10, 5, 15], "{object}");
    }
}

#[test]
fn what_proxies_write_beside_a_prompt_is_inside_of_it() {
    for object in [
        r#"{"prompt_tokens":100,"completion_tokens":1,"cache_read_input_tokens":60,"cache_creation_input_tokens":30}"#,
        r#"{"prompt_tokens":100,"completion_tokens":1,"cache_read_input_tokens":60,"cache_creation_input_tokens":30,
            "prompt_tokens_details":{"cached_tokens":60,"cache_creation_tokens":30}}"#,
        r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_cache_hit_tokens":60,"prompt_cache_miss_tokens":40,
            "prompt_tokens_details":{"cache_write_tokens":30}}"#,
    ] {
        assert_eq!(classes(usage(native(object))), [10, 60, 30, 1, 0], "{object}");
    }
}

#[test]
fn reasoning_is_outside_only_when_the_sum_says_so() {
    for (total, output) in [("165", 65), ("140", 40), ("139", 40), ("166", 40), ("null", 40), (r#""165""#, 65)] {
        for names in [
            ["prompt_tokens", "completion_tokens", "completion_tokens_details", "reasoning_tokens"],
            ["input_tokens", "output_tokens", "output_tokens_details", "reasoning_tokens"],
        ] {
            let [prompt, completion, details, reasoning] = names;
            let object = format!(
                r#"{{"{prompt}":100,"{completion}":40,"{details}":{{"{reasoning}":25}},"total_tokens":{total}}}"#
            );
            let usage = usage(native(&object));
            let wanted = (Some(output), Some(25), total == "166");
            assert_eq!((usage.output, usage.reasoning, usage.conflict), wanted, "{object}");
        }
        let object = format!(
            r#"{{"total_input_tokens":90,"total_tool_use_tokens":10,"total_output_tokens":40,"total_thought_tokens":25,
            "total_tokens":{total}}}"#
        );
        assert_eq!(totals(usage(native(&object)))[..2], [100, output], "{object}");
    }
    let larger = r#"{"prompt_tokens":100,"completion_tokens":20,"completion_tokens_details":{"reasoning_tokens":25},
        "total_tokens":145}"#;
    assert_eq!(classes(usage(native(larger))), [100, 0, 0, 20, 25], "no conflict with a total that holds it");
    let without = r#"{"prompt_tokens":100,"completion_tokens_details":{"reasoning_tokens":25},"total_tokens":125}"#;
    assert_eq!(classes(usage(native(without))), [100, 0, 0, 0, 25]);
}

#[test]
fn a_subset_is_cut_to_what_is_left_and_the_total_stands() {
    for (read, write, reasoning, wanted, conflict) in [
        (60, 40, 10, [0, 60, 40, 0, 10], false),
        (100, 0, 0, [0, 100, 0, 10, 0], false),
        (0, 100, 0, [0, 0, 100, 10, 0], false),
        (60, 41, 0, [0, 60, 40, 10, 0], true),
        (101, 40, 0, [0, 100, 0, 10, 0], true),
        (0, 101, 0, [0, 0, 100, 10, 0], true),
        (0, 0, 11, [100, 0, 0, 0, 10], true),
        (150, 150, 150, [0, 100, 0, 0, 10], true),
    ] {
        for object in [
            json!({"prompt_tokens": 100, "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write},
                "completion_tokens_details": {"reasoning_tokens": reasoning}}),
            json!({"input_tokens": 100, "output_tokens": 10,
                "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": write},
                "output_tokens_details": {"reasoning_tokens": reasoning}}),
        ] {
            let usage = usage(native(&object.to_string()));
            assert_eq!((classes(usage), totals(usage)), (wanted, [100, 10, 110]), "{object}");
            assert_eq!(usage.conflict, conflict, "{object}");
        }
    }
    let absent = usage(native(r#"{"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3}}"#));
    assert_eq!((totals(absent), absent.cache_read, absent.conflict), ([0, 5, 5], Some(0), true));
}

#[test]
fn a_span_that_counts_its_cache_beside_the_input_is_told() {
    let beside = usage(span(
        r#"{"gen_ai.usage.input_tokens":50,"gen_ai.usage.cache_read.input_tokens":40,
        "gen_ai.usage.cache_write.input_tokens":11,"gen_ai.usage.output_tokens":3}"#,
    ));
    assert_eq!((classes(beside), beside.conflict), ([50, 40, 11, 3, 0], true));
    let inside = usage(span(
        r#"{"gen_ai.usage.prompt_tokens":51,"gen_ai.usage.cache_read.input_tokens":40,
        "gen_ai.usage.cache_write.input_tokens":11,"gen_ai.usage.completion_tokens":3}"#,
    ));
    assert_eq!((classes(inside), inside.conflict), ([0, 40, 11, 3, 0], false));
}

#[test]
fn posthog_says_itself_whether_the_cache_is_beside_the_input() {
    for (members, input) in [
        (r#""$ai_provider":"openai""#, 100),
        (r#""$ai_provider":"Anthropic""#, 160),
        (r#""$ai_provider":"anthropic","$ai_cache_reporting_exclusive":null"#, 160),
        (r#""$ai_provider":"anthropic","$ai_cache_reporting_exclusive":false"#, 100),
        (r#""$ai_provider":"openai","$ai_cache_reporting_exclusive":true"#, 160),
        (r#""$ai_cache_reporting_exclusive":true"#, 160),
        (r#""$ai_provider":5"#, 100),
    ] {
        let object = format!(
            r#"{{{members},"$ai_input_tokens":100,"$ai_cache_read_input_tokens":40,"$ai_output_tokens":7,
            "$ai_cache_creation_input_tokens":20}}"#
        );
        assert_eq!(totals(usage(posthog(&object))), [input, 7, input + 7], "{object}");
    }
    let neither = r#"{"$ai_input_tokens":100,"$ai_cache_reporting_exclusive":"yes"}"#;
    assert_eq!(posthog(neither), invalid("$ai_cache_reporting_exclusive"));
}

#[test]
fn a_stream_counts_what_was_said_last() {
    let start = r#"{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}"#;
    let cases: [(&[&str], [u64; 5]); 5] = [
        (&[r#"{"output_tokens":15}"#], [25, 100, 0, 15, 0]),
        (&[r#"{"input_tokens":null,"output_tokens":15}"#], [25, 100, 0, 15, 0]),
        (&[r#"{"output_tokens":7}"#, r#"{"input_tokens":30,"output_tokens":15}"#], [30, 100, 0, 15, 0]),
        (&[start, start], [25, 100, 0, 1, 0]),
        (&["{}", "null", ""], [25, 100, 0, 1, 0]),
    ];
    for (later, wanted) in cases {
        let objects = [start].into_iter().chain(later.iter().copied());
        assert_eq!(classes(usage(stream(objects, None))), wanted, "{later:?}");
    }
    assert_eq!(stream([], None), Reading::NotUsage);
}

#[test]
fn only_compactions_are_added() {
    let with = |iterations: &str| {
        let cached = r#""input_tokens":100,"output_tokens":50,"cache_read_input_tokens":10"#;
        usage(native(&format!(r#"{{{cached},"iterations":{iterations}}}"#)))
    };
    for none in ["3", "null", "\"\"", "\"two\"", "{}", "[]", "[1,null,[]]", r#"[{"type":"message","input_tokens":9}]"#]
    {
        assert_eq!(classes(with(none)), [100, 10, 0, 50, 0], "{none}");
    }
    let cached = with(
        r#"[{"type":"compaction","input_tokens":1,"cache_read_input_tokens":20,"cache_creation_input_tokens":300,
        "output_tokens":4000},{"type":"compaction","input_tokens":5,"output_tokens":6,"output_tokens_details":
        {"thinking_tokens":6}}]"#,
    );
    assert_eq!(classes(cached), [106, 30, 300, 4050, 6]);
}

#[test]
fn a_member_that_stands_twice_is_one_only_when_both_agree() {
    let twice = r#"{"prompt_tokens":10,"prompt_tokens":null,"completion_tokens":5,"prompt_tokens":10}"#;
    assert_eq!(totals(usage(native(twice))), [10, 5, 15]);
    assert_eq!(native(r#"{"prompt_tokens":10,"prompt_tokens":11}"#), invalid("prompt_tokens"));
    let inner = r#"{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":1,"cached_tokens":2}}"#;
    assert_eq!(native(inner), invalid("prompt_tokens_details.cached_tokens"));
    let unread = r#"{"prompt_tokens":10,"x":1,"x":2,"promptTokenCount":1,"promptTokenCount":1}"#;
    assert_eq!(totals(usage(native(unread))), [10, 0, 10]);
}

#[test]
fn names_may_be_escaped_and_values_quoted() {
    let object = r#"{"prompt\u005ftokens":"10","completion_tokens":5.0,"total_tokens":1.5e1}"#;
    assert_eq!(totals(usage(native(object))), [10, 5, 15]);
}

#[test]
fn members_that_lie_among_others_are_read_alike() {
    let mut members = Members::default();
    assert!(members.offer("input_tokens", "50"));
    assert!(members.offer("cache_read_input_tokens", "100"));
    assert!(!members.offer("user", "\"u1\""));
    assert!(members.offer("cache_creation", r#"{"ephemeral_5m_input_tokens":7}"#));
    assert_eq!(classes(usage(read_members(&members, None))), [50, 100, 7, 0, 0]);
}

/// One object for each way in which a shape counts; each of its members is read.
const READ_WHOLE: [(Read, &str); 16] = [
    (native, documents::CHAT_READ),
    (native, documents::RESPONSES_READ),
    (
        native,
        r#"{"prompt_tokens":100,"completion_tokens":9,"cache_read_input_tokens":5,"cache_creation_input_tokens":6}"#,
    ),
    (native, r#"{"prompt_tokens":100,"completion_tokens":9,"prompt_cache_hit_tokens":5}"#),
    (
        native,
        r#"{"input_tokens":5,"cache_read_input_tokens":6,"cache_creation_input_tokens":7,"output_tokens":8,
        "output_tokens_details":{"thinking_tokens":2},"total_tokens":28,"iterations":[{"type":"message"},
        {"type":"compaction","input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,
        "output_tokens":4,"output_tokens_details":{"thinking_tokens":2}}]}"#,
    ),
    (native, r#"{"input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":1}}"#),
    (
        native,
        r#"{"input_tokens":50,"input_token_details":{"cached_tokens":6},"output_tokens":8,
        "output_token_details":{"reasoning_tokens":2}}"#,
    ),
    (
        native,
        r#"{"promptTokenCount":50,"toolUsePromptTokenCount":4,"cachedContentTokenCount":6,
        "candidatesTokenCount":8,"thoughtsTokenCount":2}"#,
    ),
    (
        native,
        r#"{"prompt_token_count":50,"tool_use_prompt_token_count":4,"cached_content_token_count":6,
        "candidates_token_count":8,"thoughts_token_count":2}"#,
    ),
    (native, r#"{"promptTokenCount":50,"responseTokenCount":8}"#),
    (native, r#"{"prompt_token_count":50,"response_token_count":8}"#),
    (
        native,
        r#"{"total_input_tokens":50,"total_tool_use_tokens":4,"total_cached_tokens":6,
        "total_output_tokens":8,"total_thought_tokens":2,"total_tokens":64}"#,
    ),
    (
        posthog,
        r#"{"$ai_input_tokens":50,"$ai_cache_read_input_tokens":4,"$ai_cache_creation_input_tokens":6,
        "$ai_output_tokens":8,"$ai_reasoning_tokens":2,"$ai_total_tokens":60}"#,
    ),
    (polar, r#"{"input_tokens":50,"cached_input_tokens":6,"output_tokens":8}"#),
    (
        span,
        r#"{"gen_ai.usage.input_tokens":50,"gen_ai.usage.cache_read.input_tokens":4,
        "gen_ai.usage.cache_write.input_tokens":6,"gen_ai.usage.output_tokens":8,
        "gen_ai.usage.reasoning.output_tokens":2}"#,
    ),
    (
        span,
        r#"{"gen_ai.usage.prompt_tokens":50,"gen_ai.usage.cache_creation.input_tokens":6,
        "gen_ai.usage.completion_tokens":8}"#,
    ),
];

fn read_whole() -> impl Iterator<Item = (Read, Value)> {
    READ_WHOLE.into_iter().map(|(read, object)| (read, serde_json::from_str(object).unwrap()))
}

/// The pointers to all counts of an object, and to all objects in it.
fn pointers(value: &Value, at: &str, counts: &mut Vec<String>, objects: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Value::Number(_) => return counts.push(at.to_owned()),
        _ => return,
    };
    if value.is_object() && !at.is_empty() && !at.starts_with("/iterations/") {
        objects.push(at.to_owned());
    }
    for (name, value) in inner {
        pointers(value, &format!("{at}/{name}"), counts, objects);
    }
}

fn with(object: &Value, pointer: &str, value: &str) -> String {
    let mut changed = object.clone();
    // A text that no number of the object has, since Value would write some of the values anew.
    *changed.pointer_mut(pointer).unwrap() = json!("here");
    changed.to_string().replace("\"here\"", value)
}

#[test]
fn an_unreadable_member_of_any_shape_is_named() {
    for (read, object) in read_whole() {
        let whole = usage(read(&object.to_string()));
        let (mut counts, mut objects) = (Vec::new(), Vec::new());
        pointers(&object, "", &mut counts, &mut objects);
        assert!(counts.len() > 1, "{object}");
        let name = |pointer: &str| pointer[1..].replace('/', ".");
        for pointer in &counts {
            for bad in ["-1", "1.5", "1e-3", r#""ten""#, "true", "[1]", "{}", "1000000000001", "1e300"] {
                let changed = with(&object, pointer, bad);
                assert_eq!(read(&changed), invalid(&name(pointer)), "{changed}");
            }
            let number = object.pointer(pointer).unwrap();
            for same in [format!("{number}.0"), format!("\"{number}\""), format!("{number}0e-1")] {
                let changed = with(&object, pointer, &same);
                assert_eq!(read(&changed), Reading::Read(whole), "{changed}");
            }
            let [null, empty] = ["null", r#""""#].map(|absent| read(&with(&object, pointer, absent)));
            assert_eq!(null, empty, "{pointer} of {object}");
            assert_ne!(null, Reading::Read(whole), "{pointer} is read in {object}");
        }
        for pointer in &objects {
            for bad in ["1", r#""text""#, "false", "[]", "[{}]"] {
                let changed = with(&object, pointer, bad);
                assert_eq!(read(&changed), invalid(&name(pointer)), "{changed}");
            }
        }
    }
}

#[test]
fn a_total_beyond_the_limit_is_unreadable() {
    let most = TOKENS_MAX;
    let cases: [(Read, Value, &str); 9] = [
        (native, json!({"input_tokens": most, "cache_read_input_tokens": 1}), "input_tokens"),
        (native, json!({"input_tokens": 1, "cache_creation": {"a": most, "b": most}}), "input_tokens"),
        (native, json!({"promptTokenCount": most, "toolUsePromptTokenCount": 1}), "promptTokenCount"),
        (
            native,
            json!({"promptTokenCount": 1, "candidatesTokenCount": most, "thoughtsTokenCount": 1}),
            "candidatesTokenCount",
        ),
        (native, json!({"total_input_tokens": most, "total_tool_use_tokens": 1}), "total_input_tokens"),
        (
            native,
            json!({"input_tokens": most, "iterations": [{"type": "compaction", "input_tokens": 1}]}),
            "iterations",
        ),
        (
            native,
            json!({"input_tokens": 1, "iterations": [
            {"type": "compaction", "input_tokens": most, "cache_read_input_tokens": 1}]}),
            "iterations.0.input_tokens",
        ),
        (
            posthog,
            json!({"$ai_provider": "anthropic", "$ai_input_tokens": most, "$ai_cache_read_input_tokens": 1}),
            "$ai_input_tokens",
        ),
        (
            span,
            json!({"gen_ai.usage.input_tokens": 1, "gen_ai.usage.cache_read.input_tokens": most}),
            "gen_ai.usage.input_tokens",
        ),
    ];
    for (read, object, member) in cases {
        assert_eq!(read(&object.to_string()), invalid(member), "{object}");
    }
    let most = native(&json!({"prompt_tokens": most, "completion_tokens": most}).to_string());
    assert_eq!(totals(usage(most)), [TOKENS_MAX, TOKENS_MAX, 2 * TOKENS_MAX]);
    let many = format!(r#"{{"input_tokens":1,"cache_creation":{{{}"z":1}}}}"#, "\"a\":1000000000000,".repeat(20_000));
    assert_eq!(native(&many), invalid("input_tokens"));
}

/// A value as it may stand in such an object, whole or not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0_u64..2_000).prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (0_u64..2_000).prop_map(|number| format!("{number}.0")),
        1 => (0_u64..2_000).prop_map(|number| format!("\"{number}\"")),
        1 => proptest::sample::select(vec!["null", "true", "1.5", "[]", "{}", "\"x\"", "\"\\ud800\"", "\"\""])
            .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let names = read_whole().flat_map(|(_, object)| {
        let (mut counts, mut objects) = (Vec::new(), Vec::new());
        pointers(&object, "", &mut counts, &mut objects);
        let last = |pointer: &String| pointer.rsplit('/').next().unwrap().to_owned();
        counts.iter().chain(&objects).map(last).chain(["iterations".to_owned(), "x".to_owned()]).collect::<Vec<_>>()
    });
    proptest::sample::select(names.collect::<Vec<_>>())
}

/// Members of an object, among them objects.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let inner = || proptest::collection::vec((name(), value()), 0..4).prop_map(|members| written(&members));
    let compaction = inner().prop_map(|inner| format!(r#"[{{"type":"compaction","input_tokens":1}},{inner}]"#));
    proptest::collection::vec((name(), prop_oneof![6 => value(), 2 => inner(), 1 => compaction]), 0..12)
}

fn written(members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A reading without the name of what is unreadable, which is any of those that are.
fn outcome(reading: Reading) -> Result<ProviderUsage, bool> {
    match reading {
        Reading::Read(usage) => Ok(usage),
        Reading::Invalid { .. } => Err(true),
        Reading::NotUsage => Err(false),
    }
}

proptest! {
    #[test]
    fn classes_are_disjoint_and_fit_and_order_means_nothing(members in members()) {
        let object = written(&members);
        let reversed = written(&members.iter().rev().cloned().collect::<Vec<_>>());
        for read in [native, posthog, polar, span] {
            let reading = read(&object);
            if let Reading::Read(usage) = reading {
                let tokens = usage.input.unwrap_or(0) + usage.output.unwrap_or(0);
                prop_assert_eq!(classes(usage).iter().sum::<u64>(), tokens, "{}", object);
                prop_assert!(usage.input.max(usage.output).is_some_and(|total| total <= TOKENS_MAX), "{}", object);
            }
            prop_assert_eq!(outcome(read(&reversed)), outcome(reading), "{}", object);
        }
        response(&object);
    }

    #[test]
    fn what_no_shape_reads_changes_nothing(members in members(), extra in "[a-z_]{1,12}", text in "[a-z]{0,5}") {
        prop_assume!(!Members::default().offer(&extra, "0"));
        let object = written(&members);
        let more = object.replacen('{', &format!(r#"{{"{extra}":{{"{extra}":[-1,"{text}"]}}"#), 1);
        let more = if members.is_empty() { more } else { more.replacen("]}", "]},", 1) };
        for read in [native, posthog, polar, span] {
            prop_assert_eq!(read(&more), read(&object), "{}", more);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in ".{0,80}", cut in 0_usize..400) {
        for text in [text.as_str(), ANTHROPIC.get(..cut).unwrap_or(ANTHROPIC)] {
            for read in [native, posthog, polar, span] {
                read(text);
            }
            response(text);
        }
    }
}
