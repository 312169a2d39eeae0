//! The ledger in PostgreSQL on a real server: the promises of its port, faults, fences.

#![cfg(feature = "postgres")]

mod alike;
mod answers;
mod buckets;
mod child;
mod conformance;
mod cut;
mod erasure;
mod faults;
mod fences;
mod moving;
mod outside;
mod place;
mod poison;
mod receipts;
mod replica;
mod retention;
mod schema;
mod storm;
mod stored;
mod unseen;
mod verify;
mod writers;

type Outcome = Result<(), Box<dyn std::error::Error>>;
