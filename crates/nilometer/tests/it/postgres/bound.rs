//! A data folder and a database belong to each other: what the one accepted is counted in the other, or nowhere.

use super::Base;
use crate::faults::files;
use crate::faults::server::Launch;
use crate::harness::{nilometer, run, stderr};

#[test]
fn i1_a_folder_and_a_database_that_do_not_belong_together_are_refused_with_what_to_do() {
    let Some(base) = Base::new() else { return };
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = base.launch(data.path()).start_ready();
    assert_eq!(server.client().post("/v1/events?wait=applied", r#"{"id": "e-1"}"#).unwrap().status, 202);
    server.stop();

    let another = base.postgres.database().unwrap();
    let refusals = [
        // The journal of another database.
        (Launch::on(data.path()).set("postgres_url", another.url()), "another database"),
        // A database whose journal is elsewhere.
        (base.launch(other.path()), "--new-journal"),
        // The folder without its database.
        (Launch::on(data.path()), "set postgres_url"),
    ];
    // The logins have to be in the other database as well.
    let made = nilometer(&["migrate", "up"]).env("NILOMETER_POSTGRES_URL", another.url()).output();
    assert_eq!(made.unwrap().status.code(), Some(0));
    for (launch, expected) in refusals {
        let (code, told) = launch.refused();
        assert!(code == 2 && told.contains(expected), "{expected}: {code}: {told}");
        assert_eq!(base.sql("SELECT bool_and(owner IS NULL) FROM buckets"), "t", "a refused start holds nobody up");
    }
    // Commands on the folder say where the events are.
    for command in ["verify", "export"] {
        let output = run(&[command, "--data", data.path().to_str().unwrap()]);
        assert!(!output.status.success() && stderr(&output).contains("PostgreSQL"), "{command}: {}", stderr(&output));
    }

    let server = base.launch(data.path()).start_ready();
    assert_eq!(server.client().get("/v1/events/e-1").unwrap().status, 200);
    server.stop();
    base.assert_whole();
}

#[test]
fn i2_a_database_whose_folder_is_lost_goes_on_with_a_new_journal_when_it_is_told_to() {
    let Some(base) = Base::new() else { return };
    let lost = tempfile::tempdir().unwrap();
    let server = base.launch(lost.path()).start_ready();
    let batch = r#"[{"id": "e-1"}, {"id": "e-2"}]"#;
    assert_eq!(server.client().post("/v1/events?wait=applied", batch).unwrap().status, 202);
    // The master key is no part of the database.
    let key = files::read(&lost.path().join("master.key"));
    server.kill();
    drop(lost);

    let data = tempfile::tempdir().unwrap();
    files::write(&data.path().join("master.key"), &key);
    let launch = base.launch(data.path());
    // What is lost is given up by a person, and by nobody else.
    let (code, told) = launch.refused();
    assert!(code != 0 && told.contains("--new-journal"), "{code}: {told}");
    let server = launch.clone().word("--new-journal").start_ready();
    let told = server.client().post("/v1/events?wait=applied", r#"[{"id": "e-2"}, {"id": "e-3"}]"#).unwrap().json();
    assert_eq!((&told["accepted"], &told["duplicates"]), (&1.into(), &1.into()), "{told}");
    server.stop();
    // From here on it is the database's.
    let server = launch.start_ready();
    assert_eq!(server.client().get("/v1/events/e-1").unwrap().status, 200);
    server.stop();
    base.assert_whole();
}

#[test]
fn a_folder_with_a_ledger_of_its_own_is_not_put_before_a_database() {
    let Some(base) = Base::new() else { return };
    let data = tempfile::tempdir().unwrap();
    Launch::on(data.path()).start_ready().stop();
    let (code, told) = base.launch(data.path()).refused();
    assert!(code == 2 && told.contains("nilometer move --from"), "{code}: {told}");
    Launch::on(data.path()).start_ready().stop();
}
