//! The ledger in PostgreSQL on a real server: the promises of its port, faults, fences.

#![cfg(feature = "postgres")]

mod alike;
mod answers;
mod conformance;
mod cut;
mod faults;
mod fences;
mod place;
mod replica;
mod schema;
mod stored;
mod writers;

type Outcome = Result<(), Box<dyn std::error::Error>>;
