//! Erasures of a running server: asked for over HTTP, killed at each step, and then looked for in every byte of the
//! data folder.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::checker::verify;
use super::files;
use super::server::{Launch, Server, WAIT_MAX};
use super::wait;
use crate::external::{AUDIENCE, ISSUER, Issuer};
#[cfg(feature = "failpoints")]
use crate::harness::{run, stderr};

const CUSTOMER: &str = "cUsToMeR-9f3Kq2Zx";
const USER: &str = "uSeR-77aLmQw0pYtR";
const ID: &str = "iD-51vNbXcR8sEeHj";
const PROPERTY: &str = "pRoPeRtY-4gUiKz1W";
const SUBJECT: &str = "sUbJeCt-2xWd8@aCmE.example";
const TEXTS: [&str; 4] = [CUSTOMER, USER, ID, PROPERTY];
#[cfg(feature = "failpoints")]
const PROJECT: &str = "pRoJeCt-6tBn0MyV";

/// The files of a data folder that hold a text, as they are on the disk.
fn holding(data: &Path, text: &str) -> Vec<String> {
    let folders = ["", "journal", "segments"].map(|name| data.join(name));
    let all = folders.iter().flat_map(|folder| files::with_suffix(folder, "")).filter(|path| path.is_file());
    let holds = |path: &Path| files::read(path).windows(text.len()).any(|bytes| bytes == text.as_bytes());
    all.filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

fn send(server: &Server, range: std::ops::Range<u32>) {
    send_as(server, "", range);
}

/// Sends as who has this `Authorization`, or none.
fn send_as(server: &Server, authorization: &str, range: std::ops::Range<u32>) {
    let event = |n: u32| {
        json!({
            "id": format!("{ID}-{n}"), "customer": CUSTOMER, "user": USER, "type": "call", "tokens": 3,
            "time": "2026-01-05T10:00:00Z", "properties": {"note": PROPERTY},
        })
    };
    let other = |n: u32| {
        json!({"id": format!("other-{n}"), "customer": "c", "user": "u", "type": "call", "tokens": 5,
        "time": "2026-01-05T10:00:10Z"})
    };
    let events: Vec<Value> = range.flat_map(|n| [event(n), other(n)]).collect();
    let (path, body) = ("/v1/events?wait=applied", Value::from(events).to_string());
    let answer = server.client().send("POST", path, &headers(authorization), body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn headers(authorization: &str) -> Vec<(&str, &str)> {
    let credential = Some(("authorization", authorization)).filter(|_| !authorization.is_empty());
    credential.into_iter().chain([("content-type", "application/json")]).collect()
}

fn get(server: &Server, path: &str) -> Value {
    let answer = server.client().get(path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// What stays as it was.
fn kept(server: &Server) -> Vec<Value> {
    let range = "from=2026-01-05T00:00:00Z&to=2026-01-06T00:00:00Z";
    [
        format!("/analytics?metric=tokens&interval=minute&{range}"),
        format!("/analytics?metric=count&interval=hour&group_by=type&{range}"),
        format!("/stats/top-events?{range}"),
        "/stats/dau?from=2026-01-05&to=2026-01-05".to_owned(),
    ]
    .map(|path| get(server, &path))
    .into()
}

fn erase(server: &Server, kind: &str, id: &str, block: bool) -> std::io::Result<Value> {
    erase_as(server, "", kind, id, block)
}

fn erase_as(server: &Server, authorization: &str, kind: &str, id: &str, block: bool) -> std::io::Result<Value> {
    let body = json!({"kind": kind, "id": id, "block": block}).to_string();
    let headers = [headers(authorization), vec![("idempotency-key", kind)]].concat();
    let answer = server.client().send("POST", "/v1/erasures", &headers, body.as_bytes())?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    Ok(answer.json())
}

/// Waits until an erasure is done, and returns its report.
fn done(server: &Server) -> Value {
    done_of(server, "/v1/erasures")
}

fn done_of(server: &Server, list: &str) -> Value {
    let mut report = Value::Null;
    let is_done = wait::until(WAIT_MAX, || {
        report = get(server, list)["data"][0].clone();
        report["status"] == "done"
    });
    assert!(is_done, "{report}\n{}", server.log());
    report
}

fn launch(data: &Path) -> Launch {
    Launch::on(data).set("flush_age_ms", 200).set("cache_series_ms", 0)
}

fn change(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    change_as(server, "", method, path, body)
}

fn change_as(server: &Server, authorization: &str, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.client().send(method, path, &headers(authorization), body.as_bytes()).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    answer.json()
}

/// The `Authorization` of the owner of a new workspace.
fn owner(server: &Server, workspace: &str) -> String {
    let (email, password) = (format!("owner@{workspace}.example"), "correct horse battery");
    change(server, "POST", "/v1/workspaces", &json!({"id": workspace}));
    let path = format!("/v1/workspaces/{workspace}/members");
    let made = change(server, "POST", &path, &json!({"email": email, "role": "owner"}));
    let reset = json!({"token": made["password_reset"]["token"], "password": password});
    // The client reads no answer without a length; that the password is set shows at the login.
    let _ = server.client().send("POST", "/v1/auth/reset", &headers(""), reset.to_string().as_bytes());
    let login = change(server, "POST", "/v1/auth/login", &json!({"email": email, "password": password}));
    format!("Bearer {}", login["access_token"].as_str().unwrap())
}

/// Has the catalog hold the texts too: a profile, a reference table, and what the audit log tells of reads.
fn fill_catalog(server: &Server) {
    fill_catalog_as(server, "", "default");
}

fn fill_catalog_as(server: &Server, owner: &str, workspace: &str) {
    let change = |method: &str, path: &str, body: Value| change_as(server, owner, method, path, &body);
    change("PATCH", "/v1/workspace", json!({"audit_reads": true}));
    change("PATCH", &format!("/v1/customers/{CUSTOMER}"), json!({"name": PROPERTY}));
    let table = json!({"ts": "2026-01-05T00:00:00Z", "user_metadata": {USER: {"plan": "pro"}, "u": {"plan": "free"}}});
    change("PUT", "/reference/users", table);
    let quota = json!({"customer": CUSTOMER, "measure": "events", "period": "month", "limit": 1_000_000});
    change_as(server, "", "PUT", &format!("/v1/workspaces/{workspace}/quotas"), &quota);
    change("GET", &format!("/v1/events?customer={CUSTOMER}&user={USER}"), Value::Null);
    change("GET", &format!("/v1/events/{ID}-3"), Value::Null);
    change("GET", "/v1/events?customer=c", Value::Null);
}

fn holds_in(data: &Path, file: &str, text: &str) -> bool {
    holding(data, text).iter().any(|path| path.contains(file))
}

/// The audit log with what was erased of it, the oldest first: action, target, and by which erasure.
fn audited(server: &Server) -> Vec<(String, String, Option<u64>)> {
    let log = get(server, "/v1/audit?limit=1000");
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = log["data"].as_array().unwrap().iter().rev();
    rows.map(|row| (text(row, "action"), text(row, "target"), row["erased_by"].as_u64())).collect()
}

#[test]
fn what_the_catalog_tells_of_who_is_erased_goes_and_the_audit_log_still_verifies() {
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).start_ready();
    send(&server, 0..5);
    fill_catalog(&server);
    for text in TEXTS {
        assert!(holds_in(data.path(), "catalog", text), "{text} is in the catalog");
    }
    erase(&server, "customer", CUSTOMER, false).unwrap();
    erase(&server, "user", USER, false).unwrap();
    let is_done = wait::until(WAIT_MAX, || {
        let all = get(&server, "/v1/erasures");
        all["data"].as_array().unwrap().iter().all(|report| report["status"] == "done")
    });
    assert!(is_done, "{}", server.log());
    for text in TEXTS {
        assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{text}");
    }
    let log = audited(&server);
    let by = log.iter().position(|(action, ..)| action == "erasure.request").unwrap() as u64 + 1;
    let of = |wanted: &str| -> Vec<_> {
        let fitting = log.iter().filter(|(action, ..)| action == wanted);
        fitting.map(|(_, target, erased_by)| (target.as_str(), *erased_by)).collect()
    };
    assert_eq!(of("customer.change"), [("customer", Some(by))]);
    assert_eq!(of("quota.set"), [("quota:events/month", Some(by))]);
    assert_eq!(get(&server, "/v1/quotas")["data"], json!([]));
    let reads = [("GET /v1/events", Some(by)), ("GET /v1/events/{id}", Some(by)), ("GET /v1/events", None)];
    assert_eq!(of("events.read"), reads, "what others were asked for stays");
    assert_eq!(get(&server, "/reference/users")["user_metadata"], json!({"u": {"plan": "free"}}));
    server.stop();
    verify(data.path());
    for text in TEXTS {
        assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{text} after the end");
    }
}

/// What external logins have done in a workspace, the oldest first: actor, what the issuer calls it, and by which erasure
/// that has gone.
fn logins(server: &Server, owner: &str, filter: &str) -> Vec<(String, Value, Option<u64>)> {
    let log = change_as(server, owner, "GET", &format!("/v1/audit?limit=1000{filter}"), &Value::Null);
    let rows = log["data"].as_array().unwrap().iter().rev();
    let row = |row: &Value| {
        let actor = row["actor"].as_str().unwrap().to_owned();
        (actor, row["after"]["external_login"]["user"].clone(), row["erased_by"].as_u64())
    };
    rows.map(row).filter(|(actor, ..)| actor.starts_with("external:")).collect()
}

/// Found in November 2026: what the issuer of a token calls somebody, often an e-mail address, stood in the chain of the
/// audit log and in the manifest, which no erasure reaches.
#[test]
fn what_an_issuer_calls_its_users_is_in_no_byte_once_they_or_their_workspace_are_erased() {
    for (kind, erased) in [("user", SUBJECT), ("workspace", "acme")] {
        let (data, keys, issuer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Issuer::new(7));
        let jwks = keys.path().join("jwks");
        files::write(&jwks, issuer.jwks().as_bytes());
        let launch = launch(data.path()).set("jwt_issuer", ISSUER).set("jwt_audience", AUDIENCE);
        let launch = launch.set("jwt_jwks_file", jwks.display()).set("jwt_workspace_claim", "workspace");
        let launch = launch.set("jwt_role_claim", "role");
        let server = launch.start_ready();
        let owner = owner(&server, "acme");
        change_as(&server, &owner, "PATCH", "/v1/workspace", &json!({"external_tokens": true}));
        let of = |sub: &str| format!("Bearer {}", issuer.token(&[("sub", json!(sub)), ("role", json!("owner"))]));
        let (subject, other) = (of(SUBJECT), of("other"));
        change_as(&server, &subject, "PATCH", "/v1/workspace", &json!({"name": "Acme"}));
        change_as(&server, &other, "PATCH", "/v1/workspace", &json!({"name": "Other"}));
        let asked = erase_as(&server, &subject, "customer", CUSTOMER, false).unwrap();
        server.stop();
        let server = launch.start_ready();
        change_as(&server, &subject, "PATCH", "/v1/workspace", &json!({"name": "Again"}));
        let log = logins(&server, &other, "");
        let (id, id_of_other) = (log[0].0.clone(), log[1].0.clone());
        let entry = |id: &str, name: &str| (id.to_owned(), json!(name), None::<u64>);
        let logged = [(&id, SUBJECT), (&id_of_other, "other"), (&id, SUBJECT), (&id, SUBJECT)];
        assert_eq!(log, logged.map(|(id, name)| entry(id, name)), "one id for a login, before and after a restart");
        assert!(id != id_of_other && !id.contains(SUBJECT), "{id} {id_of_other}");
        assert_eq!(asked["requested_by"], json!(id));
        assert_eq!(logins(&server, &other, &format!("&actor={id}")).len(), 3, "the log is filtered by the id");
        assert!(holds_in(data.path(), "catalog", SUBJECT) && !holds_in(data.path(), "manifest", SUBJECT));

        let asked = erase_as(&server, &subject, kind, erased, false).unwrap();
        assert_eq!(asked["requested_by"], json!(id));
        let is_gone = wait::until(WAIT_MAX, || holding(data.path(), SUBJECT).is_empty());
        assert!(is_gone, "{kind} {:?}\n{}", holding(data.path(), SUBJECT), server.log());
        if kind == "user" {
            let log = logins(&server, &other, "");
            let of_subject = log.iter().filter(|(actor, ..)| *actor == id);
            let left: Vec<_> = of_subject.map(|(_, name, by)| (name.is_null(), by.is_some())).collect();
            assert_eq!(left, [(true, true); 4], "who did what stays: {log:?}");
            assert_eq!(log[1], entry(&id_of_other, "other"));
        }
        server.stop();
        verify(data.path());
        assert_eq!(holding(data.path(), SUBJECT), Vec::<String>::new(), "{kind} after the end");
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn of_a_workspace_that_is_erased_no_byte_is_left_wherever_the_process_dies() {
    use super::crash_points::die;
    let points = [
        "erase::after_request",
        "erase::before_commit",
        "erase::before_leftovers",
        "erase::after_leftovers",
        "erase::before_nameless",
        "erase::after_nameless",
    ];
    for point in points.into_iter().map(Some).chain([None]) {
        let data = tempfile::tempdir().unwrap();
        let launch = launch(data.path());
        let server = launch.start_ready();
        let owner = owner(&server, "acme");
        send_as(&server, &owner, 0..20);
        fill_catalog_as(&server, &owner, "acme");
        change_as(&server, &owner, "PATCH", "/v1/settings/encryption", &json!({"paths": [{"path": "secret"}]}));
        // Found in November 2026: the audit log kept the ids of projects.
        change_as(&server, &owner, "POST", "/v1/projects", &json!({"id": PROJECT}));
        let texts = [CUSTOMER, USER, ID, PROPERTY, PROJECT];
        for text in texts {
            assert!(holds_in(data.path(), "catalog", text), "{text} is in the catalog");
        }
        match point {
            None => drop(erase_as(&server, &owner, "workspace", "acme", false).unwrap()),
            Some(point) => {
                server.stop();
                die(&launch, point, 0, |server| {
                    server.wait_ready();
                    let _ = erase_as(server, &owner, "workspace", "acme", false);
                });
            }
        }
        let server = if point.is_some() { launch.start_ready() } else { server };
        let is_done = || texts.iter().all(|text| holding(data.path(), text).is_empty());
        let left = || texts.map(|text| holding(data.path(), text));
        assert!(wait::until(WAIT_MAX, is_done), "{point:?} {:?}\n{}", left(), server.log());
        let refused = server.client().send("GET", "/v1/events", &headers(&owner), b"").unwrap();
        // Once the membership has gone too, it is a person without any workspace who asks.
        assert!(matches!(refused.status, 400 | 401 | 403 | 404), "{point:?} {}", refused.text());
        // Found in November 2026: the operator gave it back to who had keys of it.
        let reopened = json!({"status": "active"}).to_string();
        let path = "/v1/workspaces/acme";
        let refused = server.client().send("PATCH", path, &headers(""), reopened.as_bytes()).unwrap();
        assert_eq!(refused.status, 409, "{point:?} {}", refused.text());
        server.stop();
        verify(data.path());
        assert!(is_done(), "{point:?} {:?} after the end", left());
    }
}

/// Found in November 2026: a stop before the journal was looked at again left it there until the next start.
#[test]
fn a_stop_right_behind_an_erasure_leaves_nothing_of_it_in_the_journal() {
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).set("flush_age_ms", 60_000).start_ready();
    send(&server, 0..5);
    erase(&server, "user", USER, false).unwrap();
    let is_made = || server.log().contains("an erasure is done");
    assert!(wait::until(WAIT_MAX, is_made), "{}", server.log());
    server.stop();
    for text in [USER, ID, PROPERTY] {
        assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{text}\n{}", server.log());
    }
    verify(data.path());
}

/// Found in November 2026: nobody could. Its owner and its keys are gone with it, and the operator was refused.
#[test]
fn the_operator_reads_what_came_of_the_erasure_of_a_workspace() {
    let data = tempfile::tempdir().unwrap();
    let launch = launch(data.path());
    let server = launch.start_ready();
    let (of_acme, of_other) = (owner(&server, "acme"), owner(&server, "other"));
    send_as(&server, &of_acme, 0..20);
    send_as(&server, &of_other, 0..3);
    let asked = erase_as(&server, &of_acme, "workspace", "acme", false).unwrap();
    let list = "/v1/workspaces/acme/erasures";
    let report = done_of(&server, list);
    assert_eq!((&report["id"], &report["kind"]), (&asked["id"], &json!("workspace")));
    assert_eq!((&report["gone"]["events"], &report["gone"]["journal"]), (&json!(40), &json!(true)), "{report}");
    assert!(report["gone"]["segments"].as_u64().unwrap() > 0 && report["finished"].is_string(), "{report}");
    assert_eq!((&report["not_reached"], &report["block"]), (&asked["not_reached"], &json!(false)));
    assert!(report["requested_by"].as_str().unwrap().starts_with("user:"), "{report}");
    assert_eq!(get(&server, "/v1/workspaces/other/erasures")["data"], json!([]));
    let refused = |workspace: &str| {
        let path = format!("/v1/workspaces/{workspace}/erasures");
        let answer = server.client().send("GET", &path, &headers(&of_other), b"").unwrap();
        let mut told = answer.json();
        told.as_object_mut().unwrap().remove("request_id");
        (answer.status, told)
    };
    assert_eq!(refused("acme"), refused("nowhere"));
    assert_eq!(refused("acme").0, 403);
    server.stop();
    let server = launch.start_ready();
    assert_eq!(done_of(&server, list), report, "after a restart");
    server.stop();
    verify(data.path());
}

#[test]
fn what_is_erased_over_http_is_in_no_byte_of_the_folder_and_what_stays_is_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).set("flush_age_ms", 60_000).start_ready();
    send(&server, 0..20);
    let before = kept(&server);
    for text in TEXTS {
        assert!(holding(data.path(), text).iter().any(|path| path.contains("journal")), "{text} is in the journal");
    }
    let asked = erase(&server, "customer", CUSTOMER, true).unwrap();
    assert_eq!((&asked["kind"], &asked["block"]), (&json!("customer"), &json!(true)));
    let report = done(&server);
    assert_eq!(
        (&report["id"], &report["gone"]["events"], &report["gone"]["users"]),
        (&asked["id"], &json!(20), &json!(1))
    );
    assert_eq!(report["gone"]["journal"], json!(true));
    assert_eq!(kept(&server), before);
    for text in TEXTS {
        assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(get(&server, "/v1/events?limit=1000")["data"].as_array().unwrap().len(), 20);
    assert_eq!(server.client().get(&format!("/v1/customers/{CUSTOMER}")).unwrap().status, 404);
    // The same request again is the same erasure; what comes later is refused, what comes again is told.
    assert_eq!(erase(&server, "customer", CUSTOMER, true).unwrap()["id"], asked["id"]);
    let events = json!([
        {"id": format!("{ID}-3"), "customer": "c", "type": "call"},
        {"id": "later", "customer": CUSTOMER, "type": "call"},
        {"id": "fine", "customer": "c", "type": "call"},
    ]);
    let answer = server.client().post("/v1/events", &events.to_string()).unwrap().json();
    let told = |at: usize| (answer["results"][at]["status"].clone(), answer["results"][at]["code"].clone());
    assert_eq!(told(0), (json!("duplicate"), json!("erased")));
    assert_eq!(told(1), (json!("rejected"), json!("erased")));
    assert_eq!(told(2), (json!("accepted"), Value::Null));
    server.stop();
    verify(data.path());
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_in_the_middle_of_an_erasure_it_goes_on_at_the_next_start() {
    use super::crash_points::die;
    for point in [
        "erase::after_request",
        "erase::before_commit",
        "erase::after_commit",
        "erase::after_leftovers",
        "erase::before_nameless",
        "erase::after_nameless",
    ] {
        let data = tempfile::tempdir().unwrap();
        let launch = launch(data.path());
        let server = launch.start_ready();
        send(&server, 0..20);
        let before = kept(&server);
        server.stop();
        die(&launch, point, 0, |server| {
            server.wait_ready();
            // It may die before it answers.
            let _ = erase(server, "user", USER, false);
        });
        let server = launch.start_ready();
        let report = done(&server);
        assert_eq!((&report["gone"]["events"], &report["kind"]), (&json!(20), &json!("user")), "{point}");
        assert_eq!(kept(&server), before, "{point}");
        for text in [USER, ID, PROPERTY] {
            assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{point} {text}");
        }
        assert_eq!(get(&server, &format!("/v1/customers/{CUSTOMER}"))["id"], json!(CUSTOMER), "{point}");
        server.stop();
        verify(data.path());
        for text in [USER, ID, PROPERTY] {
            assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{point} {text} after the end");
        }
    }
}

/// Found in November 2026: what was accepted just before was in no sum, no listing and no report.
#[test]
fn i1_no_event_that_was_accepted_vanishes_when_its_customer_is_erased_and_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).start_ready();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let post = |sender: u32, round: u32| -> u64 {
        let event = |n: u32| {
            json!({"id": format!("{sender}-{round}-{n}"), "customer": CUSTOMER, "type": "call",
            "time": "2026-01-05T10:00:00Z"})
        };
        let events: Vec<Value> = (0..20).map(event).collect();
        let answer = server.client().post("/v1/events", &Value::from(events).to_string()).unwrap();
        assert!(matches!(answer.status, 202 | 422), "{}", answer.text());
        answer.json()["accepted"].as_u64().unwrap_or(0)
    };
    let accepted: u64 = std::thread::scope(|scope| {
        let sending = |sender| {
            let (is_over, post) = (&is_over, &post);
            scope.spawn(move || {
                let (mut accepted, mut round) = (0, 0);
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    accepted += post(sender, round);
                    round += 1;
                }
                accepted
            })
        };
        let senders: Vec<_> = (0..4).map(sending).collect();
        std::thread::sleep(Duration::from_millis(300));
        erase(&server, "customer", CUSTOMER, true).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!(post(9, 9), 0, "it is refused");
    let report = done(&server);
    assert_eq!(report["gone"]["events"], json!(accepted), "{report}");
    let series = get(&server, "/analytics?metric=count&interval=day&from=2026-01-05&to=2026-01-05");
    assert_eq!(series["data"][0]["value"], json!(accepted));
    server.stop();
    verify(data.path());
}

/// Found in November 2026: what was written about a subject after the catalog had forgotten it and before the erasure was
/// durable or made, stayed in the folder, and a quota that was set then was answered and held from the next start on.
#[cfg(feature = "failpoints")]
#[test]
fn what_is_written_about_who_is_erased_until_that_is_done_goes_too() {
    let quota = |period: &str| json!({"customer": CUSTOMER, "measure": "events", "period": period, "limit": 60});
    // Found in November 2026: behind the last two nothing was known any more of whom the catalog had to forget.
    for (point, is_killed) in [
        ("erase::before_request", false),
        ("erase::before_commit", false),
        ("erase::before_commit", true),
        ("erase::after_leftovers", false),
        ("erase::after_leftovers", true),
    ] {
        for (kind, name) in [("customer", CUSTOMER), ("user", USER)] {
            let data = tempfile::tempdir().unwrap();
            let launch = launch(data.path());
            let server = launch.clone().failpoints(&format!("{point}=1*sleep(5000)->off")).start_ready();
            send(&server, 0..5);
            change(&server, "PATCH", "/v1/workspace", &json!({"audit_reads": true}));
            change(&server, "PUT", "/v1/workspaces/default/quotas", &quota("month"));
            let is_before = point == "erase::before_request";
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| erase(&server, kind, name, false).unwrap());
                if !is_before {
                    asked.join().unwrap();
                    std::thread::sleep(Duration::from_millis(500));
                    // Of a customer without events the catalog takes no profile.
                    write_about(&server, kind == "user" || point == "erase::before_commit");
                    assert!(holds_in(data.path(), "catalog", name), "{point} {kind}");
                    if kind == "customer" && point == "erase::before_commit" {
                        // Found in November 2026: it was set, and its customer's name stayed in the manifest.
                        let (path, body) = ("/v1/workspaces/default/quotas", quota("day").to_string());
                        let refused = server.client().send("PUT", path, &headers(""), body.as_bytes()).unwrap();
                        assert_eq!(refused.status, 409, "{}", refused.text());
                    }
                    return;
                }
                std::thread::sleep(Duration::from_millis(1_500));
                write_about(&server, true);
                // Counted already, so that it waits for nobody.
                change(&server, "PUT", "/v1/workspaces/default/quotas", &quota("day"));
                assert!(holds_in(data.path(), "catalog", name), "{point} {kind}");
                assert!(!asked.is_finished(), "{point} {kind}: all was written before the answer");
            });
            let server = if is_killed {
                server.kill();
                launch.start_ready()
            } else {
                server
            };
            done(&server);
            assert_eq!(holding(data.path(), name), Vec::<String>::new(), "{point} {kind}");
            let quotas = get(&server, "/v1/quotas")["data"].clone();
            if kind == "customer" {
                assert_eq!(quotas, json!([]), "{point}");
            }
            server.stop();
            let server = launch.start_ready();
            let held =
                |quotas: &Value| quotas.as_array().unwrap().iter().map(|row| row["period"].clone()).collect::<Vec<_>>();
            assert_eq!(held(&get(&server, "/v1/quotas")["data"]), held(&quotas), "{point} {kind}: as the catalog says");
            server.stop();
            verify(data.path());
        }
    }
}

/// Found in November 2026: a command made an erasure to its end and told the catalog half of it or nothing, and the read
/// that it noted after that stayed for ever.
#[cfg(feature = "failpoints")]
#[test]
fn what_a_command_leaves_of_an_erasure_the_next_start_ends() {
    use super::crash_points::die;
    let data = tempfile::tempdir().unwrap();
    let launch = launch(data.path());
    let server = launch.start_ready();
    send(&server, 0..5);
    change(&server, "PATCH", "/v1/workspace", &json!({"audit_reads": true}));
    change(&server, "PATCH", "/reference/users", &json!({"user_metadata": {USER: {"plan": "pro"}}}));
    server.stop();
    die(&launch, "erase::before_commit", 0, |server| {
        server.wait_ready();
        let _ = erase(server, "user", USER, false);
    });
    let folder = data.path().to_str().unwrap();
    for command in [
        &["verify", "--data", folder][..],
        &["admin", "list", "workspaces", "--data", folder],
        &["events", "list", "--data", folder, "--user", USER],
    ] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
    }
    assert!(holds_in(data.path(), "catalog", USER), "the row, and the read that was noted");
    let server = launch.start_ready();
    let report = done(&server);
    assert_eq!(report["gone"]["events"], json!(5));
    for text in [USER, ID, PROPERTY] {
        assert_eq!(holding(data.path(), text), Vec::<String>::new(), "{text}");
    }
    server.stop();
    verify(data.path());
}

/// What the catalog is told of a customer, if that has events, and a user.
#[cfg(feature = "failpoints")]
fn write_about(server: &Server, has_events: bool) {
    let (path, profile) = (format!("/v1/customers/{CUSTOMER}"), json!({"name": PROPERTY}).to_string());
    let told = server.client().send("PATCH", &path, &headers(""), profile.as_bytes()).unwrap();
    assert_eq!(told.status, if has_events { 200 } else { 404 }, "{}", told.text());
    change(server, "PATCH", "/reference/users", &json!({"user_metadata": {USER: {"plan": "pro"}}}));
    get(server, &format!("/v1/events?customer={CUSTOMER}&user={USER}"));
}

#[test]
fn an_erasure_while_its_customer_is_ingested_and_queried_covers_what_was_accepted_before() {
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).start_ready();
    send(&server, 0..50);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| (100..140).for_each(|n| send(&server, n..n + 1)));
        let asking = scope.spawn(|| {
            for _ in 0..40 {
                let count = get(&server, "/analytics?metric=count&interval=day&from=2026-01-05&to=2026-01-05");
                assert!(count["data"][0]["value"].as_u64().unwrap() >= 100, "{count}");
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        erase(&server, "customer", CUSTOMER, false).unwrap();
        sending.join().unwrap();
        asking.join().unwrap();
    });
    let report = done(&server);
    let gone = report["gone"]["events"].as_u64().unwrap();
    assert!((50..=90).contains(&gone), "{report}");
    let left = get(&server, "/v1/events?limit=1000&customer=".to_owned().as_str());
    assert_eq!(left["data"].as_array().unwrap().len(), 0);
    let left = get(&server, &format!("/v1/events?limit=1000&customer={CUSTOMER}"))["data"].as_array().unwrap().len();
    assert_eq!(u64::try_from(left).unwrap(), 90 - gone);
    server.stop();
    verify(data.path());
}
