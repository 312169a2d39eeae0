//! Real servers for tests: PostgreSQL, NATS with JetStream, RabbitMQ and Redis, as installed on this machine. Never
//! touches a server that runs already: each has a folder, ports and a password of its own, on loopback alone.
//!
//! - **Shared**: [`database`] and [`vhost`] give a test something empty of its own on one server per test binary.
//!   Under cargo-nextest, where each test is a process, the processes of a run find the server through a file that is
//!   named after the run and the binary, and a lock on it: the first one starts the server, and it ends with the run.
//!   Under `cargo test` it ends with the process of the binary.
//! - **Own**: [`Postgres`], [`Nats`], [`Rabbit`] and [`Redis`] start a server for one test, which may kill it, stop it
//!   and start it again on the same data and the same port.
//! - **Between**: [`Cutter`] stands between a client and PostgreSQL and cuts the connection when a commit is answered.
//! - **The end**: a watcher, which is a shell, ends the server with all its children and removes the folder, also when
//!   the test is killed or aborts: its standard input is a pipe that closes with the test. The watcher of a shared
//!   server looks twice a second whether cargo-nextest still runs.
//! - **Folders** are below `TMPDIR`, if that is set; else in `/dev/shm`, if that has room, or `/tmp`. A killed process
//!   loses nothing that it wrote to memory of the system, so tests of crashes mean the same there.
//! - **Root** starts servers as the user `nobody`; PostgreSQL refuses to run as root.
//! - **Missing programs**: all that starts a server answers `None` after saying on standard error that the test is
//!   skipped, and an error when `CI` is `true`. `TESTSERVERS_PATH`, if set, lists the only folders that are searched.
//!
//! All calls block, the first one for seconds: asynchronous tests make them before they await anything.
//!
//! ```no_run
//! # fn main() -> Result<(), testservers::Error> {
//! let Some(database) = testservers::database()? else { return Ok(()) };
//! assert_eq!(database.sql("SELECT 1 + 1")?, "2");
//! # Ok(())
//! # }
//! ```

mod error;
mod wait;
mod random;
mod programs;
mod account;
mod ports;
mod place;
mod processes;
mod watcher;
mod server;
mod run;
mod postgres;
mod cutter;
mod redis;
mod nats;
mod rabbit;

pub use cutter::Cutter;
pub use error::Error;
pub use nats::Nats;
pub use postgres::{Database, Postgres, database};
pub use rabbit::{Rabbit, Vhost, vhost};
pub use redis::Redis;
