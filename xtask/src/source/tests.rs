//! The scanner must see code where the compiler sees code: everything the checks say rests on it.

use super::{Function, Source, item_end};

fn code_of(text: &str) -> String {
    Source::new(text).code().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn comments_and_literals_are_no_code() {
    assert_eq!(code_of("a(); // b()\nc();"), "a(); c();");
    assert_eq!(code_of("a /* b /* c */ d */ e"), "a e");
    assert_eq!(code_of(r#"a("b\"c", 'd', b'e', '\'', '\u{1F600}')"#), "a( , , , , )");
    assert_eq!(code_of("a(r\"b\\\", br##\"c\"# d\"##, c\"e\")"), "a( , , )");
    assert_eq!(code_of("a(\"// no comment\"); b"), "a( ); b");
}

#[test]
fn lifetimes_labels_and_raw_identifiers_are_code() {
    let text = "fn f<'a>(r#type: &'a str, ö: &'static u8) { 'outer: loop { break 'outer; } }";
    assert_eq!(code_of(text), text);
}

#[test]
fn a_letter_before_a_quote_is_a_prefix_only_at_the_start_of_a_word() {
    assert_eq!(code_of("bar\"x\" r(\"y\")"), "bar r( )");
    assert_eq!(code_of("[b'\"', b'\\\\', 'c']"), "[ , , ]");
}

#[test]
fn an_unfinished_literal_ends_nothing() {
    assert_eq!(code_of("a \"b"), "a \"b");
    assert_eq!(code_of("a /* b"), "a");
    assert_eq!(code_of("a r#\"b"), "a r#\"b");
}

#[test]
fn every_byte_keeps_its_place() {
    let text = "a /* é */ b \"ü\n\" c // ö\nd";
    let source = Source::new(text);
    assert_eq!(source.code().len(), text.len());
    assert_eq!(source.comments().len(), text.len());
    assert_eq!(source.code().find('d'), text.find('d'));
    assert_eq!(source.line(0), 1);
    assert_eq!(source.line(text.len() - 1), 3);
}

#[test]
fn comments_are_kept_apart() {
    let source = Source::new("/// says\nlet a = \"not this\"; /* and */");
    assert_eq!(source.comments().split_whitespace().collect::<Vec<_>>(), ["///", "says", "/*", "and", "*/"]);
}

#[test]
fn functions_are_found_with_their_length() {
    let text = "fn a() {}\ntype F = fn(u8) -> u8;\nfn b(\n  x: [u8; 2],\n) -> [u8; { 1 + 1 }] {\n  fn c() {\n  }\n  \"}\";\n}\ntrait T {\n  fn d(&self);\n}\n";
    let source = Source::new(text);
    let found: Vec<Function<'_>> = source.functions().collect();
    let function = |name, first_line, lines| Function { name, first_line, lines };
    assert_eq!(found, [function("a", 1, 1), function("b", 3, 7), function("c", 6, 2), function("d", 11, 1)]);
}

#[test]
fn lines_of_test_items_are_no_production() {
    let text = "//! Doc.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n  #[test]\n  fn b() {}\n}\nfn c() {}\n";
    let source = Source::new(text);
    assert_eq!(source.total_lines(), 9);
    assert_eq!(source.production_lines(), 4);
    assert!(source.is_test(text.find("fn b").unwrap_or_default()));
    assert!(!source.is_test(text.find("fn c").unwrap_or_default()));
}

#[test]
fn a_declared_test_module_and_nested_marks_count_once() {
    assert_eq!(Source::new("fn a() {}\n#[cfg(test)]\nmod tests;\n").production_lines(), 1);
    let nested = "fn a() {}\n#[cfg(test)]\nmod t {\n  #[cfg(test)]\n  fn b() {}\n}\n";
    assert_eq!(Source::new(nested).production_lines(), 1);
    assert_eq!(Source::new("#[cfg(all(test, unix))]\nmod t {}\nfn a() {}").production_lines(), 1);
    assert_eq!(Source::new("#[cfg(feature = \"testing\")]\nfn a() {}\n").production_lines(), 2);
}

#[test]
fn an_item_ends_at_its_semicolon_or_brace() {
    assert_eq!(item_end("static A: [u8; 2] = [1; 2]; d", 0), "static A: [u8; 2] = [1; 2];".len());
    assert_eq!(item_end("fn f(a: [u8; 2]) { { } } d", 0), "fn f(a: [u8; 2]) { { } }".len());
    assert_eq!(item_end("mod a", 0), "mod a".len());
}
