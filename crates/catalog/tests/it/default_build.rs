//! What the product links as it is built by default.

use std::process::Command;

use crate::Outcome;

/// Clients of servers that only a cluster has.
const CLIENTS: [&str; 6] = ["sqlx-postgres", "tokio-postgres", "postgres-array", "async-nats", "lapin", "redis"];

/// The names of all crates that the program links.
fn linked(arguments: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--locked", "--offline", "-p", "nilometer"]);
    let output = tree.args(["-e", "normal", "--prefix", "none", "--format", "{p}"]).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    Ok(String::from_utf8(output.stdout)?.lines().map(name).collect())
}

#[test]
fn the_default_build_links_no_client_of_a_server() -> Outcome {
    let by_default = linked(&[])?;
    assert!(by_default.iter().any(|name| name == "sqlx-sqlite"), "{by_default:?}");
    let found: Vec<_> = by_default.iter().filter(|name| CLIENTS.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
    let with_postgres = linked(&["--features", "nilometer/cluster"])?;
    assert!(with_postgres.iter().any(|name| name == "sqlx-postgres"), "the feature brings it: {with_postgres:?}");
    Ok(())
}
