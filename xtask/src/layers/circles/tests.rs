//! A circle is found whatever way the names are written, and no near miss is taken for one.

use super::check;
use crate::tree::Tree;

const NOTHING: [&str; 0] = [];

/// What is found in a crate of a root and these modules, each with its text.
fn found(root: &str, modules: &[(&str, &str)]) -> Vec<String> {
    let paths: Vec<String> = modules.iter().map(|(name, _)| format!("crates/a/src/{name}.rs")).collect();
    let files = paths.iter().zip(modules).map(|(path, (_, text))| (path.as_str(), *text));
    let tree = Tree::of([("crates/a/Cargo.toml", ""), ("crates/a/src/lib.rs", root)].into_iter().chain(files));
    check(&tree).iter().map(ToString::to_string).collect()
}

const ROOT: &str = "mod rows;\nmod log;\n";
const LOG: &str = "use crate::rows::Row;\npub struct Log;\npub fn open(row: Row) {}\n";

#[test]
fn a_circle_is_told_with_its_files_and_names() {
    let rows = "pub struct Row;\n\nfn f() { crate::log::open(crate::log::Log); }\n";
    let what = found(ROOT, &[("rows", rows), ("log", LOG)]);
    assert_eq!(what.len(), 1);
    let lines: Vec<&str> = what[0].lines().collect();
    assert!(lines[0].starts_with("crates/a/src/log.rs:1: 2 files use each other in a circle"), "{what:?}");
    assert_eq!(lines[1], "    src/log.rs:1 uses src/rows.rs: Row");
    assert_eq!(lines[2], "    src/rows.rs:3 uses src/log.rs: Log, open");
    assert_eq!(lines.len(), 3);
}

#[test]
fn every_way_to_use_a_module_is_an_edge() {
    for rows in [
        "use crate::log::Log;",
        "use super::log::{self, Log as Book};",
        "use crate::log;\nfn f() { log::open(1); }",
        "fn f(log: &crate::log::Log) {}",
        "fn f() { json!([super::log::open(1)]); }",
        "impl crate::log::Log {}",
        "#[derive(crate::log::Log)]\nstruct A;",
        "struct A { #[serde(with = \"crate::log::text\")] b: u8 }",
        "fn f() { use crate::log::open; open(1); }",
        "mod inner { use super::super::log::Log; }",
        "use crate::log::*;\nfn f() { open(1); }",
        "pub use crate::log::open;\nfn f() { open(1); }",
    ] {
        let what = found(ROOT, &[("rows", &format!("pub struct Row;\n{rows}")), ("log", LOG)]);
        assert!(what.len() == 1 && what[0].contains("2 files"), "{rows} gave {what:?}");
    }
}

#[test]
fn what_uses_no_item_of_the_module_is_no_edge() {
    for rows in [
        "use crate::log;",
        "pub(in crate::log) struct A;",
        "pub use crate::log::open;\nfn f(open: u8) -> u8 { open }",
        "/// See [`crate::log::Log`].\nfn f() {} // crate::log::open",
        "use ::log::Log;",
        "fn f() { open(1); }",
        "mod log { pub fn open() {} }\nfn f() { log::open(); }",
        "#[cfg(test)]\nmod tests { use crate::log::Log; }",
        "#[cfg(test)]\nmod tests;",
        "#[cfg(all(test, unix))]\nuse crate::log::Log;",
    ] {
        let rows = format!("pub struct Row;\n{rows}");
        let what = found(ROOT, &[("rows", &rows), ("log", LOG), ("rows/tests", "use crate::log::Log;")]);
        assert_eq!(what, NOTHING, "{rows}");
    }
}

#[test]
fn a_parent_and_its_child_make_a_circle() {
    let child = "use super::Row;\npub fn read(row: Row) {}\n";
    let what = found(
        "mod rows;",
        &[("rows", "mod file;\npub struct Row;\nfn f() { file::read(Row); }\n"), ("rows/file", child)],
    );
    assert!(what.len() == 1 && what[0].contains("src/rows.rs:3 uses src/rows/file.rs: read"), "{what:?}");
    assert_eq!(found("mod rows;", &[("rows", "mod file;\npub struct Row;\n"), ("rows/file", child)]), NOTHING);
    let passed_on = "mod file;\npub use file::read;\npub struct Row;\n";
    assert_eq!(found("mod rows;", &[("rows", passed_on), ("rows/file", child)]), NOTHING);
}

#[test]
fn a_module_of_reexports_is_no_part_of_a_circle() {
    let rows = "//! Doc.\nmod file;\nmod row;\npub use file::read;\npub use row::Row;\n";
    let modules = |row| {
        let log = "pub struct Log;\nfn f() { crate::read(); }\n";
        [("rows", rows), ("rows/file", "use super::Row;\npub fn read() {}\n"), ("rows/row", row), ("log", log)]
    };
    let root = "mod rows;\nmod log;\npub use rows::{Row, read};\n";
    assert_eq!(found(root, &modules("pub struct Row;\n")), NOTHING);
    // Through two re-exports: the row uses the log, the log reads, and reading uses the row.
    let what = found(root, &modules("use crate::log::Log;\npub struct Row(Log);\n"));
    assert!(what.len() == 1 && what[0].contains("3 files"), "{what:?}");
    assert!(!what[0].contains("src/rows.rs") && !what[0].contains("src/lib.rs"), "{what:?}");
}

#[test]
fn who_names_a_thing_through_a_module_uses_that_module() {
    let [state, state_apart] =
        ["erasure", "known"].map(|of| format!("use crate::{of}::Known;\npub struct State(Known);\n"));
    let core = "use crate::state::State;\npub struct Core(State);\n";
    let known = "pub struct Known;\n";
    let work = "use crate::core::Core;\nimpl Core {}\n";
    for pass_on in ["pub(crate) use known::Known;", "pub use known::*;", "pub use self::known::Known as Known;"] {
        let erasure = format!("mod known;\n{pass_on}\n{work}");
        let modules = [("state", state.as_str()), ("core", core), ("erasure", &erasure), ("erasure/known", known)];
        let what = found("mod state;\nmod core;\nmod erasure;\n", &modules);
        assert!(what.len() == 1 && what[0].contains("3 files"), "{pass_on} gave {what:?}");
        assert!(what[0].contains("src/state.rs:1 uses src/erasure.rs: Known"), "{what:?}");
        assert!(!what[0].contains("known.rs"), "{what:?}");
    }
    let apart = [("state", state_apart.as_str()), ("core", core), ("erasure", work), ("known", known)];
    assert_eq!(found("mod state;\nmod core;\nmod erasure;\nmod known;\n", &apart), NOTHING);
}

#[test]
fn what_a_child_takes_of_the_imports_of_its_parent_it_takes_of_the_parent() {
    let log = ("log", "pub struct Log;\n");
    for take in ["use super::Log;\n", "use super::*;\nfn f(log: &Log) {}\n", "fn f(log: super::Log) {}\n"] {
        let child = format!("{take}pub fn read() {{}}\n");
        let parent = "mod file;\nuse crate::log::Log;\nfn f(log: Log) { file::read(); }\n";
        let what = found(ROOT, &[("rows", parent), ("rows/file", &child), log]);
        assert!(what.len() == 1 && what[0].contains("src/rows/file.rs"), "{take} gave {what:?}");
        let unused = "mod file;\nuse crate::log::Log;\nfn f(log: Log) {}\n";
        assert_eq!(found(ROOT, &[("rows", unused), ("rows/file", &child), log]), NOTHING);
    }
}

#[test]
fn what_a_macro_of_the_module_defines_is_an_item_of_it() {
    let rows = "use super::log;\nimpl Related<log::Entity> for Row {}\n#[derive(Model)]\npub struct Row;\n";
    let what = found(ROOT, &[("rows", rows), ("log", "use outside::prelude::*;\nfn f() { super::rows::Entity; }")]);
    assert!(what.len() == 1 && what[0].contains("Entity"), "{what:?}");
}

#[test]
fn two_circles_are_two_findings_and_a_chain_is_none() {
    let root = "mod a;\nmod b;\nmod c;\nmod d;\nmod e;\n";
    let uses = |names: &[&str]| {
        names.iter().map(|name| format!("use crate::{name}::X as _;\n")).collect::<String>() + "pub struct X;"
    };
    let texts =
        [("a", uses(&["b"])), ("b", uses(&["a", "c"])), ("c", uses(&["d"])), ("d", uses(&["e"])), ("e", uses(&["c"]))];
    let modules: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let what = found(root, &modules);
    assert_eq!(what.len(), 2, "{what:?}");
    assert!(what[0].contains("2 files") && what[1].contains("3 files"), "{what:?}");
    let chain =
        [("a", uses(&["b"])), ("b", uses(&["c", "d"])), ("c", uses(&["d"])), ("d", uses(&["e"])), ("e", uses(&[]))];
    let modules: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(found(root, &modules), NOTHING);
}
