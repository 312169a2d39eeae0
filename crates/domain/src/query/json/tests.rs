//! The scanner against serde_json, over written and random objects.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// What stands at these keys, each of them whole.
fn find<'j>(json: &'j str, keys: &[String]) -> Option<&'j str> {
    let quoted: Vec<_> = keys.iter().map(|key| format!("\"{}\"", key.replace('"', "\"\""))).collect();
    at(json, &quoted.join("."))
}

fn at<'j>(json: &'j str, path: &str) -> Option<&'j str> {
    Path::new(&PropertyPath::parse(path).ok()?).find(json)
}

fn path(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn finds_values_as_written() {
    let json =
        r#" { "a" : 1.50 ,"b":{"c":"x\"}","d":[1,{"a":2}]}, "a\u0062":true,"e":null,"a":-0, "é":"\ud83d\ude00\n" } "#;
    let cases = [
        (vec!["a"], Some("-0")),
        (vec!["b", "c"], Some(r#""x\"}""#)),
        (vec!["b", "d"], Some(r#"[1,{"a":2}]"#)),
        (vec!["b", "d", "a"], None),
        (vec!["ab"], Some("true")),
        (vec!["a\\u0062"], None),
        (vec!["e"], Some("null")),
        (vec!["é"], Some(r#""\ud83d\ude00\n""#)),
        (vec!["z"], None),
        (vec!["a", "b"], None),
    ];
    for (keys, value) in cases {
        assert_eq!(find(json, &path(&keys)), value, "{keys:?}");
    }
    let flat = r#"{"v":"a","a" : [1,"a"] ,"a":"b{" , "ab":1}"#;
    assert_eq!(find(flat, &path(&["a"])), Some("\"b{\""));
    assert_eq!(find(&flat.replace('{', "").replacen('"', "{\"", 1), &path(&["a"])), Some("\"b\""));
    assert_eq!(find(&flat.replace("b{", ""), &path(&["b"])), None);
    assert_eq!(text(r#""\ud83d\ude00\n\ud83d""#).as_deref(), Some("\u{1f600}\n\u{fffd}"));
    assert_eq!(text("[1]"), None);
    let found = |value: &str| number(value).map(|(number, is_text)| (number.to_string(), is_text));
    let told = |text: &str, is_text| Some((text.to_owned(), is_text));
    assert_eq!(
        [found("-0"), found("1e400"), found("true"), found("[1]")],
        [told("0", false), told("1e400", false), None, None]
    );
    assert_eq!([found("\"1.50\""), found(r#""\u0031""#)], [told("1.5", true), told("1", true)]);
    for text in ["\"\"", "\" 1\"", "\"1 \"", "\"01\"", "\"+1\"", "\"1.\"", "\".5\"", "\"1,5\"", "\"0x1\"", "\"NaN\""] {
        assert_eq!(found(text), None, "{text}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let name = "[a-c\"\\\\é]{0,3}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-4_000_000_i32..4_000_000).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        "[ -~é\n😀\"\\\\{}\\[\\],:]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|object| Value::Object(object.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The text that a scalar means, by serde_json.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A value without keys or escapes.
fn flat_value() -> impl Strategy<Value = Value> {
    let text = || "[a-c :,\\]]{0,3}".prop_map(Value::from);
    let list = proptest::collection::vec(text(), 0..3).prop_map(Value::from);
    prop_oneof![text(), any::<u8>().prop_map(Value::from), list]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_serde_json_finds(
        object in value(), pretty in any::<bool>(), keys in proptest::collection::vec("[a-c\"\\\\é]{0,2}", 1..4),
    ) {
        let json = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
        let json = json.unwrap_or_default();
        let expected = keys.iter().try_fold(&object, |at, key| at.as_object()?.get(key));
        let found = find(&json, &keys);
        prop_assert_eq!(found.is_some(), expected.is_some(), "{}", json);
        prop_assert_eq!(found.and_then(|found| serde_json::from_str::<Value>(found).ok()), expected.cloned());
        prop_assert_eq!(found.and_then(text).map(Cow::into_owned), expected.and_then(text_of));
        let is_number = |value: &Value| match value {
            Value::Number(number) => Number::parse(&number.to_string()),
            Value::String(text) => Number::parse(text),
            _ => None,
        };
        prop_assert_eq!(found.and_then(number).map(|(number, _)| number), expected.and_then(is_number));
        prop_assert_eq!(found.is_some_and(is_there), expected.is_some_and(|value| !value.is_null()));
    }

    #[test]
    fn finds_what_serde_json_finds_in_flat_objects(
        members in proptest::collection::vec(("[a-c:,\\] ]{0,2}", flat_value()), 0..8),
        key in "[a-c:,\\] ]{0,2}", space in "[ \n]{0,2}",
    ) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}{space}")).collect();
        let json = format!("{{{}}}", members.join(","));
        let object: Value = serde_json::from_str(&json).unwrap_or_default();
        let found = find(&json, std::slice::from_ref(&key));
        prop_assert_eq!(found.and_then(|found| serde_json::from_str::<Value>(found).ok()), object.get(&key).cloned(), "{}", json);
    }

    #[test]
    fn never_panics(json in "[\\{\\}\"\\\\:,au0d8 é\\[\\]]{0,40}", keys in proptest::collection::vec("[a\"\\\\é]{0,2}", 1..4)) {
        let found = find(&json, &keys);
        let _ = found.and_then(text);
    }
}

#[test]
fn i3_what_stands_between_two_texts_is_no_key() {
    assert_eq!(find(r#"{"a":":5"}"#, &path(&[":"])), None);
    assert_eq!(find(r#"{"l":["x",":y"]}"#, &path(&[","])), None);
    assert_eq!(find(r#"{"l":["x" ,"b"], ":":7}"#, &path(&[":"])), Some("7"));
}

/// What is found at a path by its meaning, in a parsed object.
fn meant<'v>(value: &'v Value, path: &[(String, bool)]) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    let joined = if path[0].1 { 1 } else { path.iter().take_while(|(_, is_quoted)| !is_quoted).count() };
    (1..=joined).rev().find_map(|count| {
        let key: Vec<_> = path[..count].iter().map(|(key, _)| key.as_str()).collect();
        meant(value.as_object()?.get(&key.join("."))?, &path[count..])
    })
}

fn dotted() -> impl Strategy<Value = Value> {
    let leaf = any::<u8>().prop_map(Value::from);
    leaf.prop_recursive(3, 30, 5, |inner| {
        proptest::collection::btree_map("[ab](\\.[ab]){0,2}", inner, 0..5)
            .prop_map(|object| Value::Object(object.into_iter().collect::<Map<_, _>>()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn keys_with_dots_are_found(
        object in dotted(), segments in proptest::collection::vec(("[ab](\\.[ab])?", any::<bool>()), 1..4),
    ) {
        let (mut text, mut path) = (Vec::new(), Vec::new());
        for (key, is_quoted) in segments {
            if is_quoted {
                text.push(format!("\"{key}\""));
                path.push((key, true));
            } else {
                path.extend(key.split('.').map(|key| (key.to_owned(), false)));
                text.push(key);
            }
        }
        let json = object.to_string();
        let found = at(&json, &text.join(".")).and_then(|found| serde_json::from_str::<Value>(found).ok());
        prop_assert_eq!(found, meant(&object, &path).cloned(), "{} in {}", text.join("."), json);
    }
}

#[test]
fn the_longest_key_that_leads_to_a_value_is_taken() {
    let json = r#"{"gen_ai.request.model":"m","a.b":1,"a":{"b":2,"c":3},"a.b.c":{"d":4}}"#;
    for (path, value) in [
        ("gen_ai.request.model", Some("\"m\"")),
        (r#""gen_ai.request.model""#, Some("\"m\"")),
        (r#"gen_ai."request.model""#, None),
        ("a.b", Some("1")),
        (r#""a"."b""#, Some("2")),
        (r#""a".b"#, Some("2")),
        ("a.c", Some("3")),
        ("a.b.c.d", Some("4")),
        (r#"a.b."c""#, None),
    ] {
        assert_eq!(at(json, path), value, "{path}");
    }
    assert_eq!(at(r#"{"gen_ai.request.model":"m"}"#, "gen_ai.request.model"), Some("\"m\""), "also in a flat object");
}
