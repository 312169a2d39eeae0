//! The catalog against the promises of its ports, against damage, and its move out of the manifest.

mod as_it_lies;
mod conformance;
mod damage;
mod default_build;
mod fixture;
mod model;
mod place;
mod poison;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
mod scale;

type Outcome = Result<(), Box<dyn std::error::Error>>;
