//! Folders that the last release with the catalog inside `manifest.sqlite` has left: one that was stopped, one that
//! was killed with events and decisions that are in no segment. They open, answer as that release did, and verify
//! clean, also after dying at every step of the move. The folders and that release's answers are in `fixtures/`,
//! each file packed with gzip.
#![expect(clippy::disallowed_methods, reason = "our own test data")]

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use super::checker::verify;
use super::files;
use super::http::Client;
use super::server::{Launch, Server, WAIT_MAX};
use super::wait;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/format-2");
const FOLDERS: [&str; 2] = ["stopped", "killed"];

fn unpacked(file: &Path) -> Vec<u8> {
    let packed = files::read(file);
    let mut bytes = Vec::new();
    GzDecoder::new(&*packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A copy of the folder.
fn folder(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    unpack(&Path::new(FIXTURES).join(name), copy.path());
    copy
}

fn unpack(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            unpack(&entry.path(), &to.join(entry.file_name()));
        } else {
            let name = entry.file_name().into_string().unwrap();
            files::write(&to.join(name.strip_suffix(".gz").unwrap()), &unpacked(&entry.path()));
        }
    }
}

fn launch(data: &Path) -> Launch {
    let keys = ["acme", "globex"].map(|tenant| format!("{tenant}:{}", key(tenant)));
    Launch::on(data).set("api_keys", keys.join(","))
}

fn key(tenant: &str) -> String {
    format!("{tenant}-key-0123456789abcdef")
}

/// Every tenant, setting, zone, reference table and number is what it was.
fn check_answers(server: &Server, name: &str, at: &str) {
    let recorded = unpacked(&Path::new(FIXTURES).join(format!("{name}.json.gz")));
    let recorded: Vec<Value> = serde_json::from_slice(&recorded).unwrap();
    assert!(recorded.len() > 50, "{name}");
    let mut client = server.client();
    // The closer comes to every start a moment later.
    let windows =
        recorded.iter().find(|question| question["path"].as_str().unwrap().starts_with("/v1/windows")).unwrap();
    let is_closed = || !ask(&mut client, windows).to_string().contains(r#""state":"open""#);
    assert!(wait::until(WAIT_MAX, is_closed), "{name} {at}:\n{}", server.log());
    for question in &recorded {
        let (path, tenant) = (&question["path"], &question["tenant"]);
        let answer = as_then(path.as_str().unwrap(), ask(&mut client, question));
        assert_eq!(answer, question["answer"], "{name} {at} {path} of {tenant}");
    }
}

/// The answer without what has been added to it since, and with the ratio that empty cohorts had.
fn as_then(path: &str, mut answer: Value) -> Value {
    let fields = answer.as_object_mut().unwrap();
    if path.starts_with("/v1/settings") {
        for name in ["min_time", "retention_days", "kept_since"] {
            assert_eq!(fields.remove(name), Some(Value::Null), "{name}");
        }
        assert!(fields.remove("version").is_some_and(|version| version.is_u64()));
    }
    if path.starts_with("/v1/query") {
        assert!(fields.remove("aggregations").is_some());
    }
    if path.starts_with("/stats/top-events") {
        fields.retain(|name, _| name == "data");
    }
    if path.starts_with("/v1/customers") && !path.contains("/usage") {
        let rows = fields.get_mut("data").and_then(Value::as_array_mut);
        for customer in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
            assert_eq!(customer.remove("attributes"), Some(serde_json::json!({})));
            assert_eq!(customer.remove("profile_version"), Some(0.into()));
        }
        fields.retain(|name, _| name != "attributes" && name != "profile_version");
    }
    drop_classes(&mut answer);
    let fields = answer.as_object_mut().unwrap();
    for cohort in fields.get_mut("cohorts").and_then(Value::as_array_mut).into_iter().flatten() {
        if cohort["size"] == 0 {
            cohort["cells"].as_array_mut().unwrap().iter_mut().for_each(|cell| cell["ratio"] = 0.0.into());
        }
    }
    answer
}

/// Takes out what says the classes of tokens, none of which were told apart then.
fn drop_classes(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            if let Some(classes) = fields.remove("tokens_by_class") {
                let (input, output) = (&fields["totalInputTokens"], &fields["totalOutputTokens"]);
                let none = serde_json::json!({
                    "input": input, "cache_read": 0, "cache_write": 0, "output": output, "reasoning": 0,
                });
                assert_eq!(classes, none);
            }
            fields.values_mut().for_each(drop_classes);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_classes),
        _ => {}
    }
}

fn ask(client: &mut Client, question: &Value) -> Value {
    let text = |field: &str| question[field].as_str().unwrap();
    let key = key(text("tenant"));
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let body = if question["body"].is_null() { String::new() } else { question["body"].to_string() };
    let answer = client.send(text("method"), text("path"), &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}: {}", question["path"], answer.text());
    answer.json()
}

fn check(name: &str, data: &Path, at: &str) {
    let server = launch(data).start_ready();
    check_answers(&server, name, at);
    server.stop();
    verify(data);
    assert!(data.join("catalog.sqlite").is_file());
}

#[test]
fn i3_an_older_folder_opens_and_answers_as_before() {
    for name in FOLDERS {
        let data = folder(name);
        check(name, data.path(), "upgraded");
        check(name, data.path(), "opened again");
    }
}

/// What that release has counted is known again, whether it was flushed or is replayed from its journal, and
/// another payload under a known id is still told.
#[test]
fn i2_what_the_older_release_has_taken_is_a_duplicate_when_it_is_sent_again() {
    for name in FOLDERS {
        let data = folder(name);
        let server = launch(data.path()).start_ready();
        let mut client = server.client();
        for tenant in ["acme", "globex"] {
            let stored = all_events(&mut client, tenant);
            assert!(!stored.is_empty(), "{name} {tenant}");
            for (customer, code) in [(None, Value::Null), (Some("another"), "payload_mismatch".into())] {
                let bodies: Vec<String> = stored.iter().map(|event| event.as_sent(customer)).collect();
                let verdicts = send(&mut client, tenant, &format!("[{}]", bodies.join(",")));
                assert_eq!(verdicts.len(), bodies.len());
                for (verdict, body) in verdicts.iter().zip(&bodies) {
                    assert_eq!((&verdict["status"], &verdict["code"]), (&"duplicate".into(), &code), "{name} {body}");
                }
            }
        }
        server.stop();
        verify(data.path());
    }
}

/// That release knew a CloudEvent by its id alone: what it has taken is known, whatever its source, as long as it
/// says the same; under another payload, or another id, source and id are the identity.
#[test]
fn i2_a_cloud_event_that_the_older_release_has_taken_is_a_duplicate_and_another_of_its_id_is_new() {
    for name in FOLDERS {
        let data = folder(name);
        let server = launch(data.path()).start_ready();
        let mut client = server.client();
        let stored = all_events(&mut client, "acme");
        let cloud = |source: &str, customer: Option<&str>| {
            let events = stored.iter().map(|event| event.as_sent(customer));
            let attributes = format!(r#"{{"specversion":"1.0","source":"{source}","#);
            let events: Vec<_> = events.map(|event| event.replacen('{', &attributes, 1)).collect();
            format!("[{}]", events.join(","))
        };
        let mut verdicts_on = |events: &str| {
            let verdicts = send(&mut client, "acme", events);
            assert_eq!(verdicts.len(), stored.len());
            assert!(verdicts.iter().all(|verdict| verdict["code"].is_null()), "{name} {verdicts:?}");
            let all = |status: &str| verdicts.iter().all(|verdict| verdict["status"] == status);
            [all("accepted"), all("duplicate")]
        };
        let (new, known) = ([true, false], [false, true]);
        assert_eq!(verdicts_on(&cloud("/a", None)), known, "{name}: a retry");
        assert_eq!(verdicts_on(&cloud("/a", Some("another"))), new, "{name}: another event of the same id");
        assert_eq!(verdicts_on(&cloud("/a", Some("another"))), known, "{name}: its retry");
        assert_eq!(verdicts_on(&cloud("/b", Some("another"))), new, "{name}: of another source");
        server.stop();
        verify(data.path());
    }
}

/// What a client had written, as far as a listing shows it.
#[derive(serde::Deserialize)]
struct Stored {
    event_id: String,
    r#type: String,
    time: String,
    received_at: String,
    project: Option<String>,
    customer: Option<String>,
    user: Option<String>,
    endpoint: Option<String>,
    properties: Option<Box<serde_json::value::RawValue>>,
}

impl Stored {
    /// The event again, of another customer if one is named.
    fn as_sent(&self, customer: Option<&str>) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let customer = customer.or(self.customer.as_deref());
        // A time that is the receive time was not sent.
        let time = (self.time != self.received_at).then_some(self.time.as_str());
        let texts = [
            ("id", Some(self.event_id.as_str())),
            ("type", Some(self.r#type.as_str())),
            ("time", time),
            ("project", self.project.as_deref()),
            ("customer", customer),
            ("user", self.user.as_deref()),
            ("endpoint", self.endpoint.as_deref()),
        ];
        let members = texts.iter().filter_map(|(name, text)| Some(format!("\"{name}\":{}", quoted((*text)?))));
        let properties = self.properties.as_ref().map(|raw| format!("\"properties\":{raw}"));
        format!("{{{}}}", members.chain(properties).collect::<Vec<_>>().join(","))
    }
}

fn all_events(client: &mut Client, tenant: &str) -> Vec<Stored> {
    #[derive(serde::Deserialize)]
    struct Page {
        data: Vec<Stored>,
        next_cursor: Option<String>,
    }
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/events?limit=500&from=2000-01-01&to=2100-01-01{cursor}");
        let answer = client.send("GET", &path, &[("x-api-key", &key(tenant))], b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page: Page = serde_json::from_str(answer.text()).unwrap();
        all.extend(page.data);
        let Some(next) = page.next_cursor else { return all };
        cursor = format!("&cursor={next}");
    }
}

fn send(client: &mut Client, tenant: &str, events: &str) -> Vec<Value> {
    let key = key(tenant);
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    // Until it is applied, a verdict says only what is known so far.
    let answer = client.send("POST", "/v1/events?wait=applied", &headers, events.as_bytes()).unwrap();
    answer.json()["results"].as_array().unwrap().clone()
}

/// The steps of the move, in order.
#[cfg(feature = "failpoints")]
const STEPS: [&str; 5] = [
    "upgrade::before_copy",
    "upgrade::before_publish",
    "upgrade::after_publish",
    "upgrade::before_commit",
    "upgrade::after_commit",
];

#[cfg(feature = "failpoints")]
#[test]
fn i7_killed_at_any_step_of_the_move_it_begins_again() {
    use super::crash_points::die;
    for name in FOLDERS {
        for step in STEPS {
            let data = folder(name);
            die(&launch(data.path()), step, 0, |_| {});
            check(name, data.path(), step);
        }
        // One after the other, on one folder.
        let data = folder(name);
        for step in STEPS {
            die(&launch(data.path()), step, 0, |_| {});
        }
        check(name, data.path(), "after all steps");
    }
}

/// The mark is the last word: from then on a folder without its catalog is damaged, and no new one is made.
#[test]
fn f11_a_folder_whose_catalog_is_lost_is_refused() {
    for name in FOLDERS {
        let data = folder(name);
        launch(data.path()).start_ready().stop();
        let catalog = data.path().join("catalog.sqlite");
        let kept = files::read(&catalog);
        files::remove(&catalog);
        let (code, said) = launch(data.path()).refused();
        assert!(code != 0 && said.contains("catalog.sqlite") && said.contains("missing"), "{code}: {said}");
        assert!(!catalog.exists());
        files::write(&catalog, &kept);
        check(name, data.path(), "given back");
    }
}
