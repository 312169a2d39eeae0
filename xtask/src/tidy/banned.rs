//! What no code here may say, with the few places where it may.

use crate::finding::Finding;
use crate::source::Source;
use crate::tree::is_test_file;

/// Something that is not written here.
struct Ban {
    /// As it stands in the code, spaces left out.
    text: &'static str,
    /// The alternative.
    instead: &'static str,
    /// Where it may be written all the same.
    except: Except,
}

enum Except {
    Nowhere,
    /// In tests, and in files whose path starts with one of these.
    Tests(&'static [&'static str]),
}

/// Who may act for a tenant without a credential of it: commands on a folder, its verification, the recounts of the live
/// view and of a tenant's days, erasures and the quotas of a start, which answer no request, the operator who sets a
/// workspace's quotas, and tests (I5).
const OPERATORS: &[&str] = &[
    "crates/nilometer/src/commands",
    "crates/bench/src/ledger/events.rs",
    "crates/ledger-embedded/src/erasure/leftovers.rs",
    "crates/ledger-embedded/src/verify",
    "crates/ports/src/erasures/known.rs",
    "crates/api/src/routes/quotas.rs",
    "crates/pipeline/src/live/rebuild.rs",
    "crates/pipeline/src/quotas.rs",
    "crates/pipeline/src/settings/recounts.rs",
    "crates/sim/",
];

const BANS: [Ban; 7] = [
    Ban {
        text: "::for_operator",
        instead: "take the scope that authentication made; only commands on the data folder act as operator",
        except: Except::Tests(OPERATORS),
    },
    Ban { text: ".unwrap()", instead: "return the error, or make the state impossible", except: Except::Tests(&[]) },
    Ban { text: "todo!", instead: "finish it, or leave it out", except: Except::Nowhere },
    Ban { text: "unimplemented!", instead: "finish it, or leave it out", except: Except::Nowhere },
    Ban { text: "dbg!", instead: "log it with fields, or leave it out", except: Except::Nowhere },
    Ban { text: "#[allow(", instead: "write #[expect(…, reason = \"…\")]", except: Except::Nowhere },
    Ban { text: "#![allow(", instead: "write #![expect(…, reason = \"…\")]", except: Except::Nowhere },
];

/// Words that put work off; a comment says what is, an issue what shall be.
const PUT_OFF: [&str; 2] = ["TODO", "FIXME"];

/// Findings about one file.
pub(super) fn check(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in &BANS {
        for (at, _) in source.code().match_indices(ban.text) {
            let in_word = source.code()[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let starts_word = ban.text.starts_with(char::is_alphabetic);
            if (in_word && starts_word) || ban.except.covers(path, source.is_test(at)) {
                continue;
            }
            let what = format!("`{}` is banned here; {}", ban.text, ban.instead);
            findings.push(Finding::new(path, source.line(at), what));
        }
    }
    for word in PUT_OFF {
        for (at, _) in source.comments().match_indices(word) {
            findings.push(Finding::new(
                path,
                source.line(at),
                format!("`{word}` in a comment; do it, or open an issue"),
            ));
        }
    }
    findings
}

impl Except {
    fn covers(&self, path: &str, in_test_item: bool) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Tests(paths) => {
                in_test_item || is_test_file(path) || paths.iter().any(|allowed| path.starts_with(allowed))
            }
        }
    }
}
