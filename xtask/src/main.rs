//! The project's own checks: `cargo xtask tidy` (STYLE.md, as far as a program can hold it) and
//! `cargo xtask layers` (which crate may depend on which). Reads the tree, changes nothing.

mod finding;
mod source;
mod tree;
mod code;
mod tidy;
mod layers;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::finding::Finding;
use crate::tree::Tree;

const USAGE: &str = "usage: cargo xtask <check>

checks:
  tidy     sizes, headers, banned calls, docs, links, decision records, what nothing uses
  layers   which crate may depend on which, who may use which library, circles of modules

exit status: 0 nothing found, 1 something found, 2 the check itself could not run
";

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            // Nothing is left to be done when standard error is closed too.
            let _ = writeln!(io::stderr(), "xtask: {why:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the named check and prints what it found; returns how many findings there were.
fn run(arguments: Vec<String>) -> Result<usize> {
    let root = workspace_root()?;
    let [name] = arguments.as_slice() else { bail!("exactly one check must be named\n\n{USAGE}") };
    let findings = match name.as_str() {
        "tidy" => tidy::check(&Tree::read(&root)?),
        "layers" => layers::check(&layers::workspace(&root)?, &Tree::read(&root)?),
        other => bail!("there is no check '{other}'\n\n{USAGE}"),
    };
    report(name, &findings).context("failed to print the findings")?;
    Ok(findings.len())
}

fn report(check: &str, findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    match findings.len() {
        0 => writeln!(out, "{check}: nothing found"),
        count => writeln!(out, "{check}: {count} found"),
    }
}

/// The root of the checkout that this is run in: a target folder may be shared by several.
fn workspace_root() -> Result<PathBuf> {
    let own = env::var_os("CARGO_MANIFEST_DIR").context("run me as `cargo xtask`")?;
    let root = Path::new(&own).parent();
    Ok(root.context("xtask is not inside a workspace")?.to_owned())
}
