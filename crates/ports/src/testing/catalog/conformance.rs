//! What every catalog and store of reference tables does, whatever it is made of. A check opens its own empty place;
//! `Err` means that the store failed where it must not, a panic that it answered wrongly.

mod decisions;
mod references;

pub use decisions::catalog_conformance;
pub use references::references_conformance;
