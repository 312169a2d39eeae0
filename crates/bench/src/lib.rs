//! Load on a server from outside: made events, benchmarks over HTTP, and the comparison of two builds.
//! Knows the server only by its command line, its log and its routes.

mod text;
pub mod seed;
mod http;
mod output;
mod schedule;
mod workload;
mod latency;
mod load;
mod machine;
mod client;
mod check;
mod server;
mod folder;
mod plan;
mod args;
mod ingest;
mod query;
mod process;
mod analytics;
mod live;
mod restart;
mod erase;
mod measure;
mod pair;
mod inside;
mod auth;
mod fairness;
mod encryption;
mod ledger;
mod suite;
mod command;

pub use args::{BenchArgs, share};
pub use command::run;
pub use inside::{Asked, DatabaseUrls, Inside, PasswordCost, RegisterPlan, SharedLedger, TableBytes, TokenRound};
