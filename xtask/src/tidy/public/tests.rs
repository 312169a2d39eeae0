//! A public item without use is found, and whatever may be a use is taken for one.

use super::check;
use crate::code::{Scope, packages};
use crate::tree::Tree;

const NOTHING: [&str; 0] = [];

fn findings<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let tree = Tree::of(files);
    let found = check(&tree, &packages(&tree, Scope::Production), &packages(&tree, Scope::Everything));
    found.iter().map(ToString::to_string).collect()
}

/// What is found when this stands in a module of a library, and this in the program that may use it.
fn found(item: &str, user: &str) -> Vec<String> {
    let root =
        "pub mod rows;\npub use rows::{FULL, Row, Rows, read};\n#[cfg(feature = \"testing\")]\npub mod testing;\n";
    findings([
        ("crates/a/Cargo.toml", ""),
        ("crates/a/src/lib.rs", root),
        ("crates/a/src/rows.rs", item),
        ("crates/a/src/testing.rs", "pub fn twin() { crate::rows::read_all(); }"),
        ("crates/b/Cargo.toml", ""),
        ("crates/b/src/main.rs", user),
    ])
}

const ITEMS: [(&str, &str); 7] = [
    ("read", "pub fn read() {}"),
    ("FULL", "pub const FULL: u8 = 1;"),
    ("FULL", "pub static FULL: u8 = 1;"),
    ("Row", "pub struct Row;\nimpl Row {}\nimpl Clone for Row {}"),
    ("Row", "pub enum Row {}"),
    ("Row", "pub type Row = u8;"),
    ("Row", "pub trait Row {}"),
];

const METHODS: [&str; 3] = [
    "struct Log;\nimpl Log { pub fn read_all(&self) {} }",
    "pub(crate) struct Log;\nimpl Log { pub const fn read_all() {} }",
    "pub trait Log { fn read_all(&self); }\nuse Log as _;\nimpl Log for u8 { fn read_all(&self) {} }",
];

#[track_caller]
fn assert_found(found: &[String], start: &str) {
    assert!(found.len() == 1 && found[0].starts_with(start), "expected '{start}…', got {found:?}");
}

#[test]
fn a_public_item_that_nothing_names_is_found() {
    for (name, item) in ITEMS {
        assert_found(&found(item, ""), &format!("crates/a/src/rows.rs:1: nothing uses {name}"));
        assert_eq!(found(&item.replace("pub ", "pub(crate) "), ""), NOTHING);
        assert_eq!(found(item, &format!("use a::{name};")), NOTHING);
        assert_eq!(found(item, &format!("fn f() {{ json!([a::{name}]); }}")), NOTHING);
    }
}

#[test]
fn a_public_method_that_nothing_calls_is_found() {
    for item in METHODS {
        let what = found(item, "struct A { read_all: u8 }\nfn f(a: A, read_all: u8) -> u8 { a.read_all + read_all }");
        assert!(what.len() == 1 && what[0].contains("only tests use read_all"), "{what:?}");
        for user in
            ["log.read_all()", "Log::read_all(log)", "map(Log::read_all)", "json!(log.read_all())", "<Log>::read_all()"]
        {
            assert_eq!(found(item, &format!("fn f() {{ {user}; }}")), NOTHING, "{user}");
        }
    }
}

#[test]
fn names_in_attributes_patterns_and_formats_are_uses() {
    let constant = "pub const FULL: u8 = 1;";
    assert_eq!(found(constant, "fn f(a: u8) { match a { FULL => {} _ => {} } }"), NOTHING);
    assert_eq!(found(constant, "fn f() { print(format_args!(\"{FULL:>2}\")); }"), NOTHING);
    assert_eq!(found("pub fn read() {}", "struct A { #[serde(default = \"read\")] b: u8 }"), NOTHING);
    assert_eq!(found("pub fn read() {}", "#[utoipa::path(responses((body = read)))]\nfn f() {}"), NOTHING);
}

#[test]
fn comments_reexports_and_texts_are_no_uses() {
    let user = "/// Like [`a::read`].\n// read()\npub use a::rows::read;\nfn f() { log(\"read\"); }";
    assert_found(&found("pub fn read() {}", user), "crates/a/src/rows.rs:1: nothing uses read");
}

#[test]
fn what_only_tests_use_is_found() {
    let tests = "#[cfg(test)]\nmod tests { fn f() { a::read(); } }";
    assert_found(&found("pub fn read() {}", tests), "crates/a/src/rows.rs:1: only tests use read");
    // Code behind feature `testing` is there for tests as well, and needs no use of its own.
    assert_found(&found("pub fn read_all() {}", ""), "crates/a/src/rows.rs:1: only tests use read_all");
    let sim = [("crates/sim/Cargo.toml", ""), ("crates/sim/src/lib.rs", "pub fn run() { a::read(); }")];
    let library = [("crates/a/Cargo.toml", ""), ("crates/a/src/lib.rs", "pub fn read() {}")];
    assert_found(&findings(sim.into_iter().chain(library)), "crates/a/src/lib.rs:1: only tests use read");
}

#[test]
fn a_function_that_only_forwards_to_its_like_is_without_use() {
    let item =
        "pub trait Log { fn count(&self); }\nuse Log as _;\nimpl Log for u8 { fn count(&self) { self.0.count() } }";
    assert_found(&found(item, ""), "crates/a/src/rows.rs:1: nothing uses count");
    let other = "impl Meter for u8 { fn count(&self) { self.0.count() } }";
    assert_eq!(found(item, other), NOTHING);
}

#[test]
fn an_item_for_tests_says_so_on_itself() {
    let excepted = "/// Reads.\n// public for tests: the order of steps\n#[inline]\npub fn read() {}";
    assert_eq!(found(excepted, ""), NOTHING);
    let among = "fn other() {}\n// public for tests: the order of steps\nfn other() {}\npub fn read() {}";
    assert_found(&found(among, ""), "crates/a/src/rows.rs:4: nothing uses read");
    let without_reason = "// public for tests: \npub fn read() {}";
    assert_found(&found(without_reason, ""), "crates/a/src/rows.rs:2: nothing uses read");
    assert_found(&found(excepted, "use a::read;"), "crates/a/src/rows.rs:4: production code uses read");
}
