//! Each question asked of small JSON texts, and of texts that are none.

use super::*;

#[test]
fn depth_counts_brackets_outside_strings() {
    for (json, depth) in [
        ("1", 0),
        ("{}", 1),
        (r#"{"a":[{}]}"#, 3),
        (r#"{"a":"[[[[","b":"\"[[[{","c":[]}"#, 2),
        (r#"[[],[],[[]],{"\\":[]}]"#, 3),
        (&"[{\"a\":".repeat(40), 80),
        (&format!("{}{}", "[".repeat(80), "]".repeat(80)), 80),
    ] {
        assert!(!is_deeper_than(json, depth), "{json} is not deeper than {depth}");
        assert!(depth == 0 || is_deeper_than(json, depth - 1), "{json} is deeper than {}", depth - 1);
    }
}

#[test]
fn a_surrogate_needs_its_other_half() {
    for json in [r#""""#, r#""\\ud800""#, r#""\ud83d\ude00""#, r#""\n\u0041\\""#, r#""😀\uD83D\uDE00""#] {
        assert!(!has_lone_surrogate(json), "{json}");
    }
    for json in [
        r#""\ud800""#,
        r#""\uDFFF""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\\\udc00""#,
        r#""\ud83d\ude00\ude00""#,
    ] {
        assert!(has_lone_surrogate(json), "{json}");
    }
}

#[test]
fn nothing_panics_on_text_that_is_no_json() {
    for text in ["", "\"", "\\", "\\u", "\\ud80", "\\ud800", "\\ud800\\u", "\\ä", "\\uäöü", "}]"] {
        has_lone_surrogate(text);
        is_deeper_than(text, 0);
        unescape(text);
        members(text).count();
        members(&format!("{{\"a\":{text}")).count();
        JsonKind::of(text);
    }
}

#[test]
fn members_are_those_that_a_reader_of_json_finds() {
    for (object, wanted) in [
        ("{}", vec![]),
        (" { } ", vec![]),
        (r#"{"a":1}"#, vec![("a", "1")]),
        (r#"{"":"","a":null,"a":-1e5}"#, vec![("", r#""""#), ("a", "null"), ("a", "-1e5")]),
        ("{\n \"a\" :\ttrue , \"b\" : [ ] }", vec![("a", "true"), ("b", "[ ]")]),
        (r#"{"x":{"y":["}",{"z":"]\""}]},"é":"ü,:"}"#, vec![("x", r#"{"y":["}",{"z":"]\""}]}"#), ("é", r#""ü,:""#)]),
        (r#"{"a\u0062\"":"\\"}"#, vec![("ab\"", r#""\\""#)]),
        (r#"{"\ud800":1,"c":2}"#, vec![("c", "2")]),
        ("[1,2]", vec![]),
    ] {
        let object = object.trim();
        let found: Vec<_> = members(object).collect();
        let found: Vec<_> = found.iter().map(|(name, value)| (&**name, *value)).collect();
        assert_eq!(found, wanted, "{object}");
    }
}
