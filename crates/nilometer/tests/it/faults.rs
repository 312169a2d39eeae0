//! Faults on the real binary: killed at any moment and at every named step, damaged files, failing,
//! full and slow disks, clients that mean harm. The clients' own log is the oracle. What a machine
//! does not allow is skipped aloud. One of these tests runs at a time (`.config/nextest.toml`).
//!
//! | file | faults |
//! |---|---|
//! | `kills` | killed under load at random moments and in recovery (F1 to F8), asked to end under load |
//! | `crash_points` | dies at each named step from request to merge (F1 to F7) |
//! | `damage` | torn ends, flipped bits, lost files and commits (F10, F11) |
//! | `disk` | failing syncs, no space, no descriptors, slow syncs (F12 to F15) |
//! | `meaning` | duplicates, other payloads, any order, poison, backlog (F17 to F19, F27, F28) |
//! | `quotas` | a hard quota under retries and kills |
//! | `repeats` | requests with a key that come again after a crash |
//! | `old_folder` | an older folder whose catalog moves into a file of its own, killed at each step |
//! | `stores` | the manifest and the catalog fail apart; a recount between them that a crash has ended |
//! | `erasure` | erasures asked for over HTTP, killed at each step, looked for in every byte |
//! | `floods` | frames of HTTP/2 without an end (F34) |
//! | `hostile` | huge, lying, bombing, nasty, slow and many-named requests (F31 to F35) |

pub(crate) mod wait;
pub(crate) mod seed;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod client_log;
pub(crate) mod load;
pub(crate) mod checker;
pub(crate) mod journal_file;
pub(crate) mod kills;
#[cfg(feature = "failpoints")]
mod crash_points;
mod damage;
mod disk;
mod floods;
mod meaning;
mod erasure;
mod hostile;
mod old_folder;
mod quotas;
mod repeats;
#[cfg(feature = "failpoints")]
mod stores;

/// Prints a line to the test's output.
#[expect(clippy::print_stdout, reason = "for people")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
