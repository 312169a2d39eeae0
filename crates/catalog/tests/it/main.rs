//! The catalog against the promises of its ports, against damage, and its move out of the manifest.

mod as_it_lies;
mod conformance;
mod damage;
mod fixture;
mod model;
mod place;
mod poison;
mod records;
mod scale;

type Outcome = Result<(), Box<dyn std::error::Error>>;
