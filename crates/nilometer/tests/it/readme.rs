//! The README is true: its lines, given to a shell in their order, print the answers that stand below
//! them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Deserializer, Value};
use tempfile::TempDir;

use crate::harness::{Server, nilometer, stderr, stdout};

/// Where the README says that the server listens.
const ADDRESS: &str = "127.0.0.1:8080";
/// How often an answer may be another before it is the one that stands there.
const TRIES: usize = 200;
const PROGRAM: &str = "target/release/nilometer ";

/// A fenced block.
#[derive(Debug)]
struct Block<'r> {
    language: &'r str,
    text: &'r str,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let inside = text.split("```").skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n')).map(|(language, text)| Block { language, text }).collect()
}

/// What the lines print: one JSON document after another.
fn answers(server: &Server, lines: &str) -> Vec<Value> {
    let lines = lines.replace(ADDRESS, server.url().trim_start_matches("http://"));
    let output = Command::new("sh").args(["-e", "-c", &lines]).output().unwrap();
    assert!(output.status.success(), "{lines}: {}", stderr(&output));
    Deserializer::from_str(stdout(&output)).into_iter().collect::<Result<_, _>>().unwrap()
}

/// A receipt is another in every folder.
fn without_receipt(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("receipt");
    }
    answer
}

fn import(data: &Path, line: &str) {
    let mut args: Vec<_> = line.split_whitespace().collect();
    args.extend(["--data", data.to_str().unwrap()]);
    let output = nilometer(&args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
}

#[test]
fn the_readme_says_what_the_server_says() {
    #[expect(clippy::disallowed_methods, reason = "our own document")]
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let data = TempDir::new().unwrap();
    let mut server = Server::start(data.path());
    let (blocks, mut compared) = (blocks(&readme), 0);
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        if let Some(line) = block.text.strip_prefix(PROGRAM) {
            server.stop();
            import(data.path(), line);
            server = Server::start(data.path());
        }
        if !block.text.contains(ADDRESS) || !block.text.contains("curl") {
            continue;
        }
        let told = blocks.get(at + 1).filter(|block| block.language == "json").unwrap();
        let told = without_receipt(serde_json::from_str(told.text).unwrap());
        let ask = || without_receipt(answers(&server, block.text).pop().unwrap());
        let mut found = ask();
        // The server closes windows within a second or two of its start.
        for _ in 0..TRIES {
            if found == told || block.text.contains(" -d ") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            found = ask();
        }
        assert_eq!(found, told, "{}", block.text);
        compared += 1;
    }
    assert_eq!(compared, readme.matches("```json").count(), "an answer without its lines");
    let table = readme.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split('`').nth(1));
    let lines: Vec<_> = table.filter(|code| code.starts_with("curl ") && !code.contains('<')).collect();
    assert!(lines.len() > 3, "{lines:?}");
    for line in lines {
        let found = answers(&server, line).pop().unwrap();
        assert!(found.get("status").is_none(), "{line}: {found}");
    }
    server.stop();
}
