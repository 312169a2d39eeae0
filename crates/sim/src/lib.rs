//! A simulated world for the path of an event: one seed decides what clients send, what the worker does,
//! and which disk call, commit or process fails when. A checker holds the rest to the promises of
//! `domain::invariant`. Everything here is generic over the ports; `tests/` puts the real adapters in.
//!
//! ```text
//! workload ── Action ──▶ simulation ──▶ subject (journal, ledger) ──▶ world (disk, manifest, clock)
//!                            │                                            ▲
//!                            └──▶ client · truth · history ── Violation   └── trouble
//! ```
//! - `client` knows what was attempted and what was answered: I1, I4;
//! - `truth` knows every record that was ever promised, and an oracle that has counted them: I1, I2, I3;
//! - `history` knows every closed window that was ever seen: I10.
//!
//! Time passes only by actions, and one append is awaited before the next unless an action says
//! otherwise, so a seed gives the same run for ever.

mod violation;
mod world;
mod subject;
mod action;
mod workload;
mod client;
mod truth;
mod history;
mod answers;
mod trace;
mod process;
mod simulation;
mod seeds;

pub use action::{Action, EventPlan, Request, Shape};
pub use seeds::Seeds;
pub use simulation::{Broken, Ending, Report, Rules, Simulation};
pub use subject::Subject;
pub use trace::Tally;
pub use violation::Violation;
pub use workload::Workload;
pub use world::{Trouble, World};
