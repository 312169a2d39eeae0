//! What every catalog, store of reference tables, register and audit log does, whatever it is made of. A check opens its own empty place;
//! `Err` means that the store failed where it must not, a panic that it answered wrongly.

mod samples;
mod decisions;
mod references;
mod register;
mod uniqueness;
mod abandoned;
mod audit;

pub use audit::{audit_conformance, audit_fault_conformance};
pub use decisions::catalog_conformance;
pub use references::references_conformance;
pub use register::register_conformance;
