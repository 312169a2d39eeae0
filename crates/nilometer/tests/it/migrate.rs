//! `nilometer migrate` on a real PostgreSQL.

#[cfg(feature = "cluster")]
use std::io::Write;

#[cfg(feature = "cluster")]
use crate::harness::{nilometer, stdout};
use crate::harness::{run, stderr};

#[cfg(not(feature = "cluster"))]
#[test]
fn a_build_without_postgresql_says_so() {
    let output = run(&["migrate", "status", "--owner-url", "postgres://owner@127.0.0.1/nilometer"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("PostgreSQL is not part of this build"), "{}", stderr(&output));
}

#[cfg(feature = "cluster")]
#[test]
fn three_commands_lead_from_an_empty_database_to_a_schema_that_is_up_to_date() {
    let Some(database) = testservers::database().unwrap() else { return };
    let made = run(&["migrate", "logins", "--admin-url", database.url()]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let settings: Vec<_> = stdout(&made).lines().map(|line| line.split_once('=').unwrap()).collect();
    let names: Vec<_> = settings.iter().map(|(name, _)| name.strip_prefix("NILOMETER_POSTGRES_").unwrap()).collect();
    assert_eq!(names, ["URL", "WORKER_URL", "OWNER_URL"]);
    let [app, _, owner] = [0, 1, 2].map(|at| settings[at].1);

    let migrate = |command: &str, url: &str| {
        let output = run(&["migrate", command, "--owner-url", url]);
        (output.status.code(), stdout(&output).to_owned(), stderr(&output).to_owned())
    };
    let (code, told, _) = migrate("status", owner);
    assert!(code == Some(1) && told.starts_with("catalog  0 of ") && told.contains("; missing up to "), "{told}");
    let (code, _, why) = migrate("up", app);
    assert_eq!(code, Some(1), "the application makes no tables: {why}");
    assert_eq!(migrate("up", owner).0, Some(0));
    let (code, told, _) = migrate("status", owner);
    assert!(code == Some(0) && !told.contains("missing"), "{told}");
    let (code, told, _) = migrate("up", owner);
    assert_eq!((code, &*told), (Some(0), "catalog  0 steps made\nledger   0 steps made\n"));
    // Whoever may read the number of the schema may ask how far it is.
    assert_eq!(migrate("status", app).0, Some(0));

    let again = run(&["migrate", "logins", "--admin-url", database.url()]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_ne!(stdout(&again), stdout(&made), "each time other passwords");
    let (code, _, why) = migrate("status", owner);
    let password = owner.split_once("nilometer_owner:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    assert!(code == Some(1) && !why.contains(password), "the old password is none any more, and is not shown: {why}");
}

#[cfg(feature = "cluster")]
#[test]
fn the_address_of_a_database_is_named_or_stands_in_a_file_and_nowhere_else() {
    let output = nilometer(&["migrate", "up"]).env_remove("NILOMETER_POSTGRES_OWNER_URL").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("postgres_owner_url is not set"), "{}", stderr(&output));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "postgres://nobody@127.0.0.1:1/none").unwrap();
    let output = nilometer(&["migrate", "up"]).env("NILOMETER_POSTGRES_OWNER_URL_FILE", file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("bring the schema in PostgreSQL up to date"), "{}", stderr(&output));
}
