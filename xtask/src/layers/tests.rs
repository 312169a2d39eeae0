//! Each rule must refuse a small workspace that breaks it and pass the one that does not.

use serde_json::json;

use super::table::LAYERS;
use super::{Dependency, Kind, Member, check, cycle, parse};
use crate::tree::Tree;

type Edge<'a> = (&'a str, &'a str, Kind);

const NOTHING: [&str; 0] = [];

/// All crates of the table, with these dependencies.
fn workspace(edges: &[Edge<'_>]) -> Vec<Member> {
    let dependencies = |user: &str| {
        let own = edges.iter().filter(|(from, ..)| *from == user);
        own.map(|(_, name, kind)| Dependency { name: (*name).to_owned(), kind: *kind }).collect()
    };
    let member = |name: &str| {
        let manifest = format!("crates/{name}/Cargo.toml");
        Member { name: name.to_owned(), manifest, dependencies: dependencies(name) }
    };
    LAYERS.iter().map(|layer| member(layer.name)).collect()
}

fn findings(edges: &[Edge<'_>]) -> Vec<String> {
    check(&workspace(edges), &Tree::default()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_refused(edge: Edge<'_>, part: &str) {
    let found = findings(&[edge]);
    assert!(found.len() == 1 && found[0].contains(part), "{edge:?} gave {found:?}");
}

#[test]
fn what_the_table_allows_passes() {
    let of_layer = |layer: &'static super::Layer| {
        let code = layer.uses.iter().map(|name| (layer.name, *name, Kind::Normal));
        code.chain(layer.tests_use.iter().map(|name| (layer.name, *name, Kind::Dev)))
    };
    let edges: Vec<Edge<'_>> = LAYERS.iter().flat_map(of_layer).collect();
    assert_eq!(findings(&edges), NOTHING);
}

#[test]
fn an_edge_outside_the_table_is_refused() {
    assert_refused(("domain", "ports", Kind::Normal), "domain may not depend on ports");
    assert_refused(("journal", "ledger-embedded", Kind::Normal), "journal may not depend on ledger-embedded");
    assert_refused(("api", "ledger-embedded", Kind::Normal), "api may not depend on ledger-embedded");
    assert_refused(("wire", "vfs", Kind::Dev), "wire may not depend on vfs");
    assert_refused(("nilometer", "sim", Kind::Normal), "nilometer may not depend on sim");
}

#[test]
fn an_edge_for_tests_is_no_edge_for_code() {
    assert_eq!(findings(&[("ledger-embedded", "manifest", Kind::Dev)]), NOTHING);
    assert_refused(("ledger-embedded", "manifest", Kind::Normal), "ledger-embedded may not depend on manifest");
    assert_refused(("ledger-embedded", "manifest", Kind::Build), "ledger-embedded may not depend on manifest");
}

#[test]
fn a_library_with_an_owner_is_refused_to_others() {
    assert_refused(("api", "arrow", Kind::Normal), "arrow may be used by ledger-embedded only");
    assert_refused(("nilometer", "parquet", Kind::Dev), "parquet may be used by ledger-embedded only");
    assert_refused(
        ("ledger-embedded", "sqlx", Kind::Normal),
        "sqlx may be used by sqlite, manifest, postgres, catalog, ledger-postgres only",
    );
    assert_refused(("api", "clap", Kind::Normal), "clap may be used by bench, nilometer only");
    assert_refused(("pipeline", "axum", Kind::Normal), "axum may be used by api, nilometer only");
    assert_eq!(findings(&[("ledger-embedded", "parquet", Kind::Normal), ("api", "hyper-util", Kind::Normal)]), NOTHING);
}

#[test]
fn a_library_may_be_free_for_tests() {
    assert_eq!(findings(&[("api", "zstd", Kind::Dev)]), NOTHING);
    assert_refused(("api", "zstd", Kind::Normal), "zstd may be used by wire only");
}

#[test]
fn an_owned_name_covers_its_family_and_no_lookalike() {
    assert_refused(("manifest", "arrow-array", Kind::Normal), "arrow-array may be used by ledger-embedded only");
    assert_eq!(findings(&[("manifest", "arrowhead", Kind::Normal), ("manifest", "serde", Kind::Normal)]), NOTHING);
}

#[test]
fn a_crate_without_a_place_and_a_place_without_a_crate_are_found() {
    let mut members = workspace(&[]);
    members[0].name = "surprise".to_owned();
    let found: Vec<String> = check(&members, &Tree::default()).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("crate surprise has no place"), "{found:?}");
    assert!(found[1].contains("domain is no crate"), "{found:?}");
}

#[test]
fn a_circle_through_tests_is_found() {
    let members = workspace(&[("journal", "ports", Kind::Normal), ("ports", "journal", Kind::Dev)]);
    assert_eq!(cycle(&members), Some(vec!["journal", "ports", "journal"]));
    let itself = workspace(&[("ports", "ports", Kind::Dev), ("journal", "ports", Kind::Normal)]);
    assert_eq!(cycle(&itself), None);
    assert_eq!(findings(&[("ports", "ports", Kind::Dev)]), NOTHING);
}

#[test]
fn a_finding_names_the_line_of_the_manifest() {
    let manifest = "[package]\nname = \"wire\"\n\n[dependencies]\ndomain.workspace = true\n\n[dev-dependencies]\nvfs.workspace = true\n\n[target.'cfg(unix)'.dependencies]\nports.workspace = true\n";
    let tree = Tree::of([("crates/wire/Cargo.toml", manifest)]);
    let members = workspace(&[("wire", "vfs", Kind::Dev), ("wire", "ports", Kind::Normal)]);
    let found: Vec<String> = check(&members, &tree).iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("crates/wire/Cargo.toml:8: wire may not depend on vfs"), "{found:?}");
    assert!(found[1].starts_with("crates/wire/Cargo.toml:11: wire may not depend on ports"), "{found:?}");
}

#[test]
fn cargo_metadata_is_understood() {
    let metadata = json!({ "packages": [{
        "name": "wire",
        "manifest_path": "/somewhere/crates/wire/Cargo.toml",
        "dependencies": [
            { "name": "domain", "kind": null },
            { "name": "proptest", "kind": "dev" },
            { "name": "cc", "kind": "build" },
        ],
    }] });
    let dependency = |name: &str, kind| Dependency { name: name.to_owned(), kind };
    let wire = Member {
        name: "wire".to_owned(),
        manifest: "crates/wire/Cargo.toml".to_owned(),
        dependencies: vec![
            dependency("domain", Kind::Normal),
            dependency("proptest", Kind::Dev),
            dependency("cc", Kind::Build),
        ],
    };
    assert_eq!(parse(&metadata, "/somewhere").ok(), Some(vec![wire]));
    assert!(parse(&json!({}), "/somewhere").is_err());
}
