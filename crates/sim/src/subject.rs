//! What is simulated, as far as the simulation has to know.

use std::future::Future;

use ports::PortError;
use ports::analytics::Analytics;
use ports::journal::OrderedJournal;
use ports::ledger::Ledger;
use ports::reports::Reports;

use crate::world::World;

/// A journal and a ledger in one process. Both keep their files on the world's disk and do all their
/// work inside the calls made to them. Dropping it ends the process.
pub trait Subject: Sized {
    /// How it is set up, the same for every process of a run.
    type Options;

    /// Opens both over what an earlier process left behind.
    ///
    /// # Errors
    /// The first failure of either; nothing stays open then.
    fn open(world: &World, options: &Self::Options) -> impl Future<Output = Result<Self, PortError>>;

    /// The journal.
    fn journal(&self) -> &dyn OrderedJournal;

    /// The ledger.
    fn ledger(&self) -> &dyn Ledger;

    /// The ledger's answers.
    fn reports(&self) -> &dyn Reports;

    /// The ledger's sums over time.
    fn analytics(&self) -> &dyn Analytics;

    /// Does what the ledger's background threads would do.
    ///
    /// # Errors
    /// When it failed; it can be tried again.
    fn maintain(&self) -> impl Future<Output = Result<(), PortError>>;

    /// Audits the ledger and tells every difference found.
    ///
    /// # Errors
    /// When something cannot be read.
    fn verify(&self) -> impl Future<Output = Result<Vec<String>, PortError>>;
}
