//! An entry without use is found, and no way of using one is overlooked.

use super::check;
use crate::code::{Scope, packages};
use crate::tree::Tree;

const NOTHING: [&str; 0] = [];
const ROOT: &str = "[workspace.dependencies]\nrows-lib = { version = \"1\", features = [\"std\"] }\n";

fn findings<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let tree = Tree::of(files);
    let found = check(&tree, &packages(&tree, Scope::Production), &packages(&tree, Scope::Everything));
    found.iter().map(ToString::to_string).collect()
}

/// What is found in a crate with this manifest, library and test.
fn in_crate(manifest: &str, library: &str, test: &str) -> Vec<String> {
    let (path, module) = ("crates/a/Cargo.toml", "pub fn json() {}");
    findings([
        ("Cargo.toml", ROOT),
        (path, manifest),
        ("crates/a/src/lib.rs", &format!("mod rows;\n#[cfg(test)]\nmod tests;\n{library}")),
        ("crates/a/src/rows.rs", module),
        ("crates/a/src/tests.rs", ""),
        ("crates/a/tests/it/main.rs", test),
    ])
}

const NORMAL: &str = "[dependencies]\nrows-lib.workspace = true\n";
const DEV: &str = "[dev-dependencies]\nrows-lib.workspace = true\n";

#[track_caller]
fn assert_found(found: &[String], start: &str) {
    assert!(found.len() == 1 && found[0].starts_with(start), "expected '{start}…', got {found:?}");
}

#[test]
fn a_dependency_that_nothing_names_is_found() {
    assert_found(&in_crate(NORMAL, "", ""), "crates/a/Cargo.toml:2: no code here uses rows-lib");
    assert_found(&in_crate(DEV, "", ""), "crates/a/Cargo.toml:2: no test here uses rows-lib");
    let passed_on = format!("[features]\nfast = [\"rows-lib/fast\"]\n\n{NORMAL}");
    assert_found(&in_crate(&passed_on, "", ""), "crates/a/Cargo.toml:5: no code here uses rows-lib");
}

#[test]
fn every_way_to_name_a_dependency_is_a_use() {
    for code in [
        "use rows_lib::Row;",
        "use rows_lib::prelude::*;",
        "pub use rows_lib;",
        "use rows_lib as rows;",
        "use rows_lib::rows_lib;\n#[rows_lib]\nfn f() {}",
        "use ::rows_lib::Row;",
        "extern crate rows_lib;",
        "fn f() { rows_lib::read(); }",
        "fn f(row: rows_lib::Row) {}",
        "impl rows_lib::Read for u8 {}",
        "fn f() { json!({ \"a\": [rows_lib::read()] }); }",
        "rows_lib::rows! {}",
        "#[derive(rows_lib::Read)]\nstruct A;",
        "#[rows_lib::test]\nfn f() {}",
        "struct A { #[serde(with = \"rows_lib::text\")] b: u8 }",
        "#[cfg(feature = \"testing\")]\nfn f() { rows_lib::read(); }",
    ] {
        assert_eq!(in_crate(NORMAL, code, ""), NOTHING, "{code}");
        assert_eq!(in_crate(DEV, "", code), NOTHING, "{code}");
    }
}

#[test]
fn what_only_looks_like_the_crate_is_no_use() {
    for code in [
        "fn f(rows_lib: u8) -> u8 { rows_lib }",
        "struct A { rows_lib: u8 }\nfn f(a: A) -> u8 { a.rows_lib }",
        "mod rows_lib { pub fn f() {} }\nfn g() { rows_lib::f(); }",
        "use crate::rows as rows_lib;\nfn g() { rows_lib::json(); }",
        "/// [`rows_lib::Row`]\nfn f() { log(\"rows_lib::read\"); }",
    ] {
        assert_found(&in_crate(NORMAL, code, ""), "crates/a/Cargo.toml:2: no code here uses rows-lib");
    }
}

#[test]
fn a_dependency_of_tests_stands_among_those_of_tests() {
    let in_tests = "#[cfg(test)]\nmod more {\n    use rows_lib::Row;\n}\n";
    assert_found(&in_crate(NORMAL, in_tests, ""), "crates/a/Cargo.toml:2: only tests use rows-lib");
    assert_found(&in_crate(NORMAL, "", "use rows_lib::Row;"), "crates/a/Cargo.toml:2: only tests use rows-lib");
    assert_eq!(in_crate(DEV, in_tests, ""), NOTHING);
}

#[test]
fn a_dependency_for_a_feature_says_so() {
    let manifest = NORMAL.replace("rows-lib", "# for its feature fast, which a needs\nrows-lib");
    assert_eq!(in_crate(&manifest, "", ""), NOTHING);
    let manifest = NORMAL.replace("rows-lib", "# fast\nrows-lib");
    assert_found(&in_crate(&manifest, "", ""), "crates/a/Cargo.toml:3: no code here uses rows-lib");
}

#[test]
fn a_dependency_is_repeated_for_tests_only_to_add_a_feature() {
    let used = "use rows_lib::Row;";
    let repeated = |entry: &str| in_crate(&format!("{NORMAL}\n[dev-dependencies]\n{entry}\n"), used, used);
    let what = "crates/a/Cargo.toml:5: rows-lib is a dependency already";
    assert_found(&repeated("rows-lib.workspace = true"), what);
    assert_found(&repeated("rows-lib = { workspace = true, features = [\"std\"] }"), what);
    assert_eq!(repeated("rows-lib = { workspace = true, features = [\"std\", \"seeded\"] }"), NOTHING);
}

#[test]
fn a_shared_dependency_that_no_crate_names_is_found() {
    let user = ("crates/a/Cargo.toml", "[dependencies]\nother.workspace = true\n");
    assert_found(&findings([("Cargo.toml", ROOT), user]), "Cargo.toml:2: no crate depends on rows-lib");
    assert_eq!(findings([("Cargo.toml", ROOT), ("crates/a/Cargo.toml", DEV)]), NOTHING);
}

#[test]
fn the_twins_of_a_crate_are_used_by_its_own_tests() {
    let itself = "[dev-dependencies]\na = { path = \".\", features = [\"testing\"] }\nrows-lib.workspace = true\n";
    assert_eq!(in_crate(itself, "", "use rows_lib::Row;"), NOTHING);
}
