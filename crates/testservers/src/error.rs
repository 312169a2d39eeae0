//! Why there is no server, and which of these reasons lets a test pass all the same. Never skips when `CI` is `true`.

use std::io;

/// Why a server did not start, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is not on this machine; the test may be skipped.
    #[error("{program} is missing; `scripts/setup.sh test` installs it (Debian's package {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// This machine did not let it be done.
    #[error("{what}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// A program refused; it said why.
    #[error("{what}; it said:\n{said}")]
    Refused {
        /// What was tried.
        what: String,
        /// The end of its log, or what it wrote to standard error.
        said: String,
    },
}

impl Error {
    pub(crate) fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }

    /// Whether another process took the port between the look at it and its use.
    pub(crate) fn is_port_taken(&self) -> bool {
        let Self::Refused { said, .. } = self else { return false };
        let said = said.to_ascii_lowercase();
        ["address already in use", "eaddrinuse"].iter().any(|words| said.contains(words))
    }
}

/// Skips the test when a program is missing: says so, and gives nothing. An error remains one when `CI` is `true`.
pub(crate) fn or_skip<T>(started: Result<T, Error>) -> Result<Option<T>, Error> {
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    match started {
        Err(missing @ Error::Missing { .. }) if !is_ci => {
            say(&missing);
            Ok(None)
        }
        started => started.map(Some),
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so, and a test has no other output")]
fn say(missing: &Error) {
    eprintln!("skipped: {missing}");
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn each_server_says_that_its_port_is_taken_in_words_that_are_known() {
        let said = [
            r#"LOG:  could not bind IPv4 address "127.0.0.1": Address already in use"#,
            "Warning: Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use",
            "[FTL] Error listening on port: 127.0.0.1:4222, \"listen tcp 127.0.0.1:4222: bind: address already in use\"",
            "Failed to start Ranch listener: eaddrinuse",
        ];
        for said in said {
            assert!(Error::Refused { what: String::new(), said: said.to_owned() }.is_port_taken(), "{said}");
        }
        let other = Error::Refused { what: String::new(), said: "FATAL:  could not load config".to_owned() };
        assert!(!other.is_port_taken());
    }
}
