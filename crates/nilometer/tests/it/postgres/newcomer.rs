//! The first steps on a database, and the logins that they make.

use std::time::Duration;

use serde_json::json;

use super::Base;
use crate::faults::files;
use crate::faults::server::Launch;
use crate::faults::wait::until;
use crate::harness::{nilometer, run, stderr, stdout};

const EVENTS: &str = r#"{"events": [
    {"id": "e-1", "time": "2026-11-20T10:00:03Z", "customer": "acme", "type": "call", "user": "u-1", "tokens": 1500,
     "properties": {"plan": "pro"}},
    {"id": "e-2", "time": "2026-11-20T10:00:21Z", "customer": "acme", "type": "call", "user": "u-2", "tokens": 300},
    {"id": "e-2", "time": "2026-11-20T10:00:21Z", "customer": "acme", "type": "call", "user": "u-2", "tokens": 300}]}"#;

#[test]
fn i2_two_commands_lead_from_a_database_to_answers_that_a_restart_keeps() {
    let Some(base) = Base::empty() else { return };
    let data = tempfile::tempdir().unwrap();
    let made = nilometer(&["migrate", "up"]).env("NILOMETER_POSTGRES_URL", base.url()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(
        stdout(&made).starts_with("logins   nilometer_owner, nilometer_app, nilometer_worker\n"),
        "{}",
        stdout(&made)
    );
    let status = nilometer(&["migrate", "status"]).env("NILOMETER_POSTGRES_URL", base.url()).output().unwrap();
    assert_eq!(status.status.code(), Some(0), "{}{}", stdout(&status), stderr(&status));

    let launch = base.launch(data.path());
    for restarts in 0..3_u64 {
        let server = launch.start_ready();
        let mut client = server.client();
        let answer = client.post("/v1/events?wait=applied", EVENTS).unwrap();
        let (fresh, known) = if restarts == 0 { (2, 1) } else { (0, 3) };
        let told = answer.json();
        assert_eq!((answer.status, &told["applied"]), (202, &json!(true)), "{}", answer.text());
        assert_eq!((&told["accepted"], &told["duplicates"]), (&json!(fresh), &json!(known)), "{}", answer.text());

        let hour = "from=2026-11-20T10:00:00Z&to=2026-11-20T11:00:00Z";
        let windows = client.get(&format!("/v1/windows?customer=acme&{hour}")).unwrap().json();
        assert_eq!(windows["data"][0]["aggregations"]["totalTokens"], 1800, "{windows}");
        let series = client.get(&format!("/v1/analytics?metric=tokens&interval=hour&{hour}")).unwrap().json();
        assert_eq!(series["data"][0]["value"], 1800, "{series}");
        let dau = client.get("/stats/dau?from=2026-11-20&to=2026-11-20").unwrap().json();
        assert_eq!(dau["data"], json!([{"date": "2026-11-20", "users": 2}]));
        let query = r#"{"aggregations": [{"op": "count"}], "group_by": ["properties.plan"]}"#;
        let rows = client.post("/v1/query", query).unwrap().json();
        let mut rows = rows["rows"].as_array().unwrap().clone();
        rows.sort_by_key(ToString::to_string);
        assert_eq!(json!(rows), json!([["pro", 1], [null, 1]]));
        let event = client.get("/v1/events/e-1").unwrap().json();
        assert_eq!(event["properties"]["plan"], "pro", "{event}");

        let sessions =
            base.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'nilometer' ORDER BY 1");
        assert_eq!(sessions, "nilometer_app\nnilometer_worker", "no other login is open while it serves");
        server.stop();
        assert_eq!(base.sql("SELECT bool_and(owner IS NULL) FROM buckets"), "t", "the end gives the bucket away");
        let password = base.url().split_once("//postgres:").unwrap().1.split_once('@').unwrap().0;
        assert!(!server.log().contains(password) && server.log().contains("nilometer_app@"), "{}", server.log());
    }
    base.assert_whole();
}

#[test]
fn a_schema_that_is_missing_is_made_by_the_owner_and_asked_for_by_anyone_else() {
    let Some(base) = Base::empty() else { return };
    let made = run(&["migrate", "logins", "--admin-url", base.url()]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let urls: Vec<_> = stdout(&made).lines().map(|line| line.split_once('=').unwrap().1.to_owned()).collect();
    let [app, worker, owner] = &urls[..] else { panic!("{urls:?}") };
    let data = tempfile::tempdir().unwrap();
    let without_owner = || Launch::on(data.path()).set("postgres_url", app).set("postgres_worker_url", worker);
    let (code, told) = without_owner().refused();
    assert!(code == 1 && told.contains("nilometer migrate up"), "{code}: {told}");
    let password = app.split_once("nilometer_app:").unwrap().1.split_once('@').unwrap().0;
    assert!(!told.contains(password), "{told}");

    let server = without_owner().set("postgres_owner_url", owner).start_ready();
    assert!(server.log().contains("up to date"), "{}", server.log());
    server.stop();
    let server = without_owner().set("profile", "prod").start_ready();
    assert_eq!(server.client().get("/v1/events").unwrap().status, 401);
    server.stop();

    // Each login is looked at: none may do the other's work.
    for (name, url) in [("postgres_url", worker), ("postgres_worker_url", app)] {
        let (code, told) = without_owner().set(name, url).refused();
        assert!(code == 1 && told.contains("rights of"), "{name}: {code}: {told}");
    }
    let (code, told) = Launch::on(data.path()).set("postgres_url", app).set("profile", "prod").refused();
    assert!(code == 2 && told.contains("postgres_worker_url must be set"), "{code}: {told}");
}

#[test]
fn a_server_with_the_owners_login_drops_old_events_and_finishes_an_erasure() {
    let Some(base) = Base::new() else { return };
    let data = tempfile::tempdir().unwrap();
    let server = base.launch(data.path()).set("retention_days", 30).start_ready();
    let mut client = server.client();
    let taken = client.post("/v1/events?wait=applied", EVENTS).unwrap();
    assert!(taken.status < 300, "{}", taken.text());
    let asked = client.post("/v1/erasures", r#"{"kind": "user", "id": "u-1"}"#).unwrap();
    assert_eq!(asked.status, 202, "{}", asked.text());
    let asked = asked.json();
    let path = format!("/v1/erasures/{}", asked["id"].as_str().unwrap());
    let mut is_done = || client.get(&path).unwrap().json()["status"] == "done";
    assert!(until(Duration::from_secs(150), &mut is_done), "{}\n{}", client.get(&path).unwrap().text(), server.log());
    let listed = client.get("/v1/events").unwrap();
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1, "{}", listed.text());
    server.stop();
}

#[test]
fn commands_on_a_stopped_server_work_on_its_database() {
    let Some(base) = Base::new() else { return };
    let data = tempfile::tempdir().unwrap();
    let command = |words: &[&str]| {
        let mut command = nilometer(words);
        let output = command.args(["--data", data.path().to_str().unwrap()]).env("NILOMETER_POSTGRES_URL", base.url());
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    };
    command(&["admin", "create-workspace", "acme"]);
    let made = command(&["admin", "create-key", "--workspace", "acme", "--name", "shop", "--scope", "read"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("events.csv");
    files::write(&csv, b"id,time,type\n1,2026-11-01,a\n2,2026-11-02,b\n");
    command(&["import", csv.to_str().unwrap(), "--tenant", "acme"]);
    command(&["import", csv.to_str().unwrap(), "--tenant", "acme"]);

    let server = base.launch(data.path()).start_ready();
    let key = [("x-api-key", made["key"].as_str().unwrap())];
    let listed = server.client().send("GET", "/v1/events", &key, b"").unwrap();
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2, "{}", listed.text());
    server.stop();
    base.assert_whole();
}
