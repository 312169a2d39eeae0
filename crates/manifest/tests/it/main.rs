//! The store against the promises of its ports, against damage and against crashes.

mod conformance;
mod crash;
mod damage;
mod fixture;
mod model;
mod place;
mod scrub;

type Outcome = Result<(), Box<dyn std::error::Error>>;
