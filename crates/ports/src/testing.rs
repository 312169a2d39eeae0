//! Twins and conformance suites for tests; never part of a release.

pub mod catalog;
pub mod clock;
pub mod journal;
pub mod ledger;
pub mod live;
pub mod manifest;
pub mod receipts;
