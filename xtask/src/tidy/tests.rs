//! Each rule must find a small sample that breaks it and stay silent on the one that does not.

use super::check;
use crate::tree::Tree;

const NOTHING: [&str; 0] = [];
const LINTS: &str = "[lints]\nworkspace = true\n";

fn findings<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    check(&Tree::of(files)).iter().map(ToString::to_string).collect()
}

/// What is found in a production file with a header and this body.
fn in_code(body: &str) -> Vec<String> {
    findings([("crates/wire/src/json.rs", format!("//! Doc.\n{body}").as_str())])
}

#[track_caller]
fn assert_found(found: &[String], start: &str) {
    assert!(found.len() == 1 && found[0].starts_with(start), "expected '{start}…', got {found:?}");
}

#[test]
fn a_file_without_a_header_is_found() {
    assert_found(&findings([("crates/a/src/b.rs", "fn a() {}\n")]), "crates/a/src/b.rs:1: no header");
    assert_found(&findings([("crates/a/src/b.rs", "// Doc.\n//! Doc.\n")]), "crates/a/src/b.rs:1: no header");
    assert_eq!(findings([("crates/a/src/b.rs", "//! Doc.\n")]), NOTHING);
}

#[test]
fn a_long_file_is_found_unless_it_is_tests() {
    let lines = |count| "const A: u8 = 1;\n".repeat(count);
    assert_eq!(in_code(&lines(499)), NOTHING);
    assert_found(&in_code(&lines(500)), "crates/wire/src/json.rs:500: 501 production lines");
    let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(499), lines(400));
    assert_eq!(in_code(&with_tests), NOTHING);
    let tests = format!("//! Doc.\n{}", lines(700));
    for path in
        ["crates/a/src/b/tests.rs", "crates/a/tests/it/main.rs", "crates/a/src/testing/b.rs", "crates/a/fuzz/b.rs"]
    {
        assert_eq!(findings([(path, tests.as_str())]), NOTHING);
    }
    let endless = format!("//! Doc.\n{}", lines(1_000));
    assert_found(
        &findings([("crates/a/src/b/tests.rs", endless.as_str())]),
        "crates/a/src/b/tests.rs:1000: 1001 lines",
    );
}

#[test]
fn a_long_function_is_found() {
    let function = |lines: usize| format!("fn long() {{\n{}}}\n", "    a();\n".repeat(lines - 2));
    assert_eq!(in_code(&function(70)), NOTHING);
    assert_found(&in_code(&function(71)), "crates/wire/src/json.rs:2: function long has 71 lines");
}

#[test]
fn a_mod_rs_is_found() {
    assert_found(&findings([("crates/a/src/b/mod.rs", "//! Doc.\n")]), "crates/a/src/b/mod.rs:1: a mod.rs");
}

#[test]
fn logic_in_lib_rs_is_found() {
    let in_lib = |body: &str| findings([("crates/a/src/lib.rs", format!("//! Doc.\n{body}").as_str())]);
    let clean = "#![forbid(unsafe_code)]\nmod a;\n/// Doc.\n#[cfg(feature = \"x\")]\npub(crate) mod b;\npub use a::{C, d::{E}};\n";
    assert_eq!(in_lib(clean), NOTHING);
    assert_found(&in_lib("mod a;\nfn b() {}\n"), "crates/a/src/lib.rs:3: logic in lib.rs");
    assert_found(
        &in_lib("mod a;\n\n/// Doc.\npub trait B {\n    fn c();\n}\n"),
        "crates/a/src/lib.rs:5: logic in lib.rs",
    );
    assert_found(&in_lib("mod a {\n    mod b;\n}\n"), "crates/a/src/lib.rs:2: logic in lib.rs");
    assert_found(&in_lib("pub const A: u8 = 1;\n"), "crates/a/src/lib.rs:2: logic in lib.rs");
}

#[test]
fn banned_calls_are_found_in_code_only() {
    for call in ["todo!()", "unimplemented!()", "dbg!(1)"] {
        assert_found(&in_code(&format!("fn a() {{ {call}; }}\n")), "crates/wire/src/json.rs:2: `");
        assert_eq!(in_code(&format!("/// Not {call}.\nfn a() {{ b(\"{call}\"); my_{call}; }}\n")), NOTHING);
    }
    assert_found(&in_code("#[allow(dead_code)]\nfn a() {}\n"), "crates/wire/src/json.rs:2: `#[allow(`");
    assert_found(&in_code("#![allow(dead_code)]\n"), "crates/wire/src/json.rs:2: `#![allow(`");
}

#[test]
fn unwrap_is_found_outside_tests() {
    assert_found(&in_code("fn a() { b().unwrap(); }\n"), "crates/wire/src/json.rs:2: `.unwrap()`");
    assert_eq!(in_code("fn a() { b().unwrap_or(1); }\n"), NOTHING);
    assert_eq!(in_code("#[cfg(test)]\nmod tests {\n    fn a() { b().unwrap(); }\n}\n"), NOTHING);
    assert_eq!(findings([("crates/a/tests/it/b.rs", "//! Doc.\nfn a() { b().unwrap(); }\n")]), NOTHING);
}

#[test]
fn i5_acting_for_a_tenant_without_a_credential_is_found_where_requests_are_answered() {
    let text = "//! Doc.\nfn a() { TenantScope::for_operator(t); }\n";
    for path in ["crates/api/src/routes/events.rs", "crates/pipeline/src/ingest.rs", "crates/nilometer/src/assemble.rs"]
    {
        assert_found(&findings([(path, text)]), &format!("{path}:2: `::for_operator`"));
    }
    for path in [
        "crates/nilometer/src/commands/events.rs",
        "crates/ledger-embedded/src/verify.rs",
        "crates/api/src/tests.rs",
        "crates/sim/src/a.rs",
    ] {
        assert_eq!(findings([(path, text)]), NOTHING);
    }
}

#[test]
fn a_doc_comment_that_leans_on_another_item_is_found() {
    for words in ["Of both.", "Those of", "The same, for a day."] {
        let found = in_code(&format!("/// The rows.\nconst A: u8 = 1;\n/// {words}\n/// More.\nconst B: u8 = 1;\n"));
        assert_found(&found, "crates/wire/src/json.rs:4: a doc comment that begins with `");
        assert_found(&findings([("a.rs", format!("//! {words}\n").as_str())]), "a.rs:1: a doc comment that begins");
    }
    for clean in ["Often.", "Thoseof", "The sameness.", "Rows.\n/// Of both.", "Rows.\n///\n/// The same.", "of both."]
    {
        assert_eq!(in_code(&format!("/// {clean}\nconst A: u8 = 1;\n")), NOTHING);
    }
    assert_eq!(in_code("// Of both.\nconst A: &str = \"\n/// Of both.\n\";\n//// Of both.\n"), NOTHING);
}

#[test]
fn an_empty_doc_comment_is_found() {
    assert_found(&in_code("///\n///\nconst A: u8 = 1;\n"), "crates/wire/src/json.rs:2: an empty");
    assert_eq!(in_code("///\n/// Rows.\nconst A: u8 = 1;\n"), NOTHING);
}

#[test]
fn a_file_of_a_target_that_is_no_rust_is_found() {
    let found = findings([("crates/a/Cargo.toml", LINTS), ("crates/a/src/main.rs", "//! Doc.\nfn main( {}\n")]);
    assert_found(&found, "crates/a/src/main.rs:2: this cannot be read as Rust");
}

#[test]
fn work_put_off_is_found_in_comments() {
    let note = ["TO", "DO"].concat();
    assert_found(&in_code(&format!("// {note}: later\n")), "crates/wire/src/json.rs:2: `");
    assert_eq!(in_code(&format!("const A: &str = \"{note}\";\n")), NOTHING);
}

#[test]
fn untidy_text_is_found() {
    assert_found(&findings([("a.md", "a \nb\n")]), "a.md:1: white space");
    assert_found(&findings([("a.md", "a\nb")]), "a.md:2: no line break");
    assert_found(&in_code("fn a() {\tb(); }\n"), "crates/wire/src/json.rs:2: a tab");
    assert_eq!(findings([("Makefile", "a:\n\tb\n"), ("b.md", "")]), NOTHING);
}

#[test]
fn a_path_of_one_machine_is_found() {
    for folder in ["home", "root", "work"] {
        assert_found(&findings([("a.md", format!("see /{folder}/me\n").as_str())]), "a.md:1: a path of one machine");
        assert_found(&in_code(&format!("const A: &str = \"/{folder}/me\";\n")), "crates/wire/src/json.rs:2: a path of");
        assert_eq!(
            findings([("a.md", format!("docs/{folder}/me and $HOME/{folder}/x, /{folder}s/\n").as_str())]),
            NOTHING
        );
    }
}

#[test]
fn a_crate_without_the_shared_lints_is_found() {
    assert_found(
        &findings([("crates/a/Cargo.toml", "[package]\n")]),
        "crates/a/Cargo.toml:1: the shared lints are off",
    );
    assert_eq!(findings([("crates/a/Cargo.toml", LINTS)]), NOTHING);
    assert_eq!(findings([("crates/a/fuzz/Cargo.toml", "[workspace]\n\n[dependencies]\nserde = \"1\"\n")]), NOTHING);
}

#[test]
fn a_version_outside_the_root_manifest_is_found() {
    let manifest = |line: &str| format!("{LINTS}\n[dev-dependencies]\n{line}\n");
    for shared in [
        "serde.workspace = true",
        "serde = { workspace = true, features = [\"rc\"] }",
        "# serde = \"1\"",
        "a = { path = \".\", features = [\"testing\"] }",
    ] {
        assert_eq!(findings([("crates/a/Cargo.toml", manifest(shared).as_str())]), NOTHING);
    }
    let own = findings([("crates/a/Cargo.toml", manifest("serde = \"1\"").as_str())]);
    assert_found(&own, "crates/a/Cargo.toml:5: a version of its own");
}

#[test]
fn dependencies_and_their_reasons_match() {
    let root = "[workspace.dependencies]\n# Own.\ndomain = { path = \"crates/domain\" }\nserde = \"1\"\n\n[profile.dev]\ndebug = 1\n";
    let record =
        |row: &str| format!("## Context\n\n{row}\n\n## Decision\n## Consequences\n## What would change our mind\n");
    let user = format!("{LINTS}\n[dependencies]\ndomain.workspace = true\nserde.workspace = true\n");
    let user = ("crates/a/Cargo.toml", user.as_str());
    let check =
        |row: &str| findings([("Cargo.toml", root), ("docs/adr/0002-dependencies.md", record(row).as_str()), user]);
    assert_eq!(check("| `serde` | 1 | reads |"), NOTHING);
    assert_found(&check("| name | |"), "Cargo.toml:4: dependency serde has no reason");
    assert_found(&check("| `serde` | |\n| `gone` | |"), "docs/adr/0002-dependencies.md:4: gone is no dependency");
}

#[test]
fn a_dead_link_is_found() {
    let links = |text: &str| findings([("docs/a.md", text), ("docs/b/c.md", "c\n"), ("README.md", "r\n")]);
    assert_eq!(links("[c](b/c.md), [`c`](./b/c.md#part), [b](b/), [r](../README.md \"title\")\n"), NOTHING);
    assert_eq!(
        links("[x](https://example.com/x), [x](#part), [x](mailto:a@b.c), `[x](y)`\n```\n[x](y)\n```\n"),
        NOTHING
    );
    assert_found(&links("[c]: d.md\n"), "docs/a.md:1: link to 'd.md' leads");
    for dead in ["d.md", "../b/c.md", "../../README.md", "/README.md"] {
        assert_found(&links(&format!("a\n[c](b/c.md) [d]({dead})\n")), &format!("docs/a.md:2: link to '{dead}' leads"));
    }
}

#[test]
fn a_decision_record_without_its_parts_is_found() {
    let full = "# 1. A\n\n## Context\n## Decision\n## Consequences\n## What would change our mind\n";
    assert_eq!(findings([("docs/adr/0001-a.md", full)]), NOTHING);
    let partial = full.replace("## Consequences\n", "");
    assert_found(&findings([("docs/adr/0001-a.md", partial.as_str())]), "docs/adr/0001-a.md:1: headings");
    assert_found(&findings([("docs/adr/a.md", full)]), "docs/adr/a.md:1: the name has no number");
    let twice = findings([("docs/adr/0001-a.md", full), ("docs/adr/0001-b.md", full)]);
    assert_found(&twice, "docs/adr/0001-b.md:1: number 0001 is taken");
}
