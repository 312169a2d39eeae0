//! Without a server's programs a test is skipped and says so; under CI it fails.

use crate::harness::testserver;

const ALL: [&[&str]; 6] =
    [&["postgres"], &["nats"], &["rabbit"], &["redis"], &["shared", "postgres"], &["shared", "rabbit"]];

#[test]
fn a_missing_program_skips_the_test_but_fails_it_in_ci() {
    let empty = tempfile::tempdir().unwrap();
    for words in ALL {
        let package = match words.last() {
            Some(&"postgres") => "postgresql",
            Some(&"rabbit") => "rabbitmq-server",
            Some(&"nats") => "nats-server",
            _ => "redis-server",
        };
        for (ci, expected) in [(None, true), (Some("false"), true), (Some("true"), false)] {
            let mut command = testserver(words);
            command.env("TESTSERVERS_PATH", empty.path()).env_remove("CI");
            if let Some(ci) = ci {
                command.env("CI", ci);
            }
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), expected, "{words:?} with CI={ci:?}: {said}");
            assert_eq!(output.stdout, b"", "no server is there");
            assert_eq!(said.starts_with("skipped: "), expected, "{said}");
            assert!(said.contains(&format!("Debian's package {package})")), "{said}");
            assert!(said.contains("`scripts/setup.sh test` installs it"), "{said}");
        }
    }
}
