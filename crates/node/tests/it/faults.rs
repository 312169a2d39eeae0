//! Faults on the real binary, one test or more for each row of the list below; the clients' own log
//! is the oracle. One of these tests runs at a time. What a machine does not allow is skipped aloud.

mod patience;
mod seed;
mod files;
mod http;
mod server;
mod client_log;
mod load;
mod checker;
mod journal_file;
mod kills;
mod damage;
mod disk;
#[cfg(feature = "failpoints")]
mod crash_points;
