//! The README, the guide to keys and people and the one to encryption are true: their lines, given to a shell in their
//! order, print the answers that stand below them. In these `"…"` is any value, and as the name of a field any more
//! fields.

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
/// What is left out of an answer.
const REST: &str = "…";

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
    documents(stdout(&output))
}

fn documents(text: &str) -> Vec<Value> {
    Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap()
}

/// Whether an answer is the one that stands there.
fn is_told(told: &Value, found: &Value) -> bool {
    match (told, found) {
        (Value::String(text), _) if text == REST => true,
        (Value::Object(told), Value::Object(found)) => {
            let named = || told.iter().filter(|(name, _)| *name != REST);
            named().all(|(name, told)| found.get(name).is_some_and(|found| is_told(told, found)))
                && (told.contains_key(REST) || told.len() == found.len())
        }
        (Value::Array(told), Value::Array(found)) => {
            told.len() == found.len() && told.iter().zip(found).all(|(told, found)| is_told(told, found))
        }
        _ => told == found,
    }
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
        let told: Vec<_> = documents(told.text).into_iter().map(without_receipt).collect();
        // Of several answers the last ones, as many as stand there.
        let ask = || {
            let all: Vec<_> = answers(&server, block.text).into_iter().map(without_receipt).collect();
            all[all.len().saturating_sub(told.len())..].to_vec()
        };
        let is_told = |found: &[Value]| {
            found.len() == told.len() && told.iter().zip(found).all(|(told, found)| is_told(told, found))
        };
        let mut found = ask();
        // The server closes windows within a second or two of its start.
        for _ in 0..TRIES {
            if is_told(&found) || block.text.contains(" -d ") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            found = ask();
        }
        assert!(is_told(&found), "{}\nfound {found:#?}\ntold {told:#?}", block.text);
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

#[test]
fn the_guide_to_keys_and_people_says_what_the_server_says() {
    follow("docs/keys-and-people.md");
}

#[test]
fn the_guide_to_encryption_says_what_the_server_says() {
    follow("docs/compliance.md");
}

/// All lines of a guide are one shell's.
fn follow(guide: &str) {
    #[expect(clippy::disallowed_methods, reason = "our own document")]
    let guide = std::fs::read_to_string(root().join(guide)).unwrap();
    let (data, place) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(data.path());
    let blocks = blocks(&guide);
    let of = |language: &str| -> String {
        let texts = blocks.iter().filter(|block| block.language == language).map(|block| block.text);
        texts.collect()
    };
    let lines = of("sh").replace(ADDRESS, server.url().trim_start_matches("http://"));
    let program = Path::new(env!("CARGO_BIN_EXE_nilometer")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-e", "-c", &lines]).current_dir(place.path()).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let (told, found) = (documents(&of("json")), documents(stdout(&output)));
    for (told, found) in told.iter().zip(&found) {
        assert!(is_told(told, found), "told {told:#}\nfound {found:#}");
    }
    assert_eq!(found.len(), told.len(), "{found:#?}");
    server.stop();
}
