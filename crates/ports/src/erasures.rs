//! Erasing what was counted of a user, a customer or a whole tenant.

mod known;
mod letters;

use async_trait::async_trait;
use domain::erasure::{Erasure, ErasureRequest, Subject, SubjectKind};
use domain::tenant::{TenantId, TenantScope};

use crate::PortError;

pub use known::{KnownErasures, RefusedSubjects};

/// How far an erasure is that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureStage {
    /// Events, sums and names are being removed.
    Removing,
    /// Nothing is left of it in the store but the name of its subject, by which other stores know what to forget: it
    /// waits for [`Erasures::confirm`]. After a restart it is [`ErasureStage::Removing`] again for a while.
    Removed,
    /// That name goes too.
    Confirmed,
}

/// An erasure that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedErasure {
    /// Whose it is.
    pub scope: TenantScope,
    /// The erasure's id.
    pub id: String,
    /// What goes, as long as that is known.
    pub subject: Option<Subject>,
    /// How far it is.
    pub stage: ErasureStage,
}

/// An erasure as a ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredErasure {
    /// Whose events.
    pub tenant: TenantId,
    /// The name of what is erased, until it is.
    pub subject: Option<String>,
    /// Keyed hash of that name.
    pub subject_hash: u128,
    /// What is known of it.
    pub erasure: Erasure,
}

impl StoredErasure {
    /// What it erases, as long as that is known.
    pub fn subject(&self) -> Option<Subject> {
        let name = self.subject.clone()?;
        Some(match self.erasure.kind {
            SubjectKind::User => Subject::User(name),
            SubjectKind::Customer => Subject::Customer(name),
            SubjectKind::Workspace => Subject::Workspace,
        })
    }
}

/// Erases, durably and step by step: what an erasure has begun goes on after a restart. It is not finished before
/// [`Erasures::confirm`].
///
/// What stays of a user or a customer are sums without their names: the tenant's totals and series, and on each day
/// of the tenant's zone who was active, where an erased user is a number without a name. All else goes.
#[async_trait]
pub trait Erasures: Send + Sync + std::fmt::Debug {
    /// Asks for an erasure of what is applied now; durable on return, and made by and by. What is applied later is
    /// not covered, and refused if the request says so. Asked for again under the same id, it returns the erasure as
    /// it is.
    ///
    /// # Errors
    /// `Conflict` when the id is that of an erasure of something else, `Exhausted` when the tenant has asked for too
    /// many, `Overloaded` when too many of the tenant are not finished or the store is busy for too long: nothing is
    /// erased then. As [`crate::ledger::Ledger::flush`] otherwise.
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError>;

    /// The tenants whose whole data is erased, or being erased.
    fn erased_tenants(&self) -> Vec<TenantId>;

    /// Grows with everything that erasures change of a tenant's answers.
    fn generation(&self, scope: &TenantScope) -> u64;

    /// Those that are not finished, of all tenants, in order of request.
    fn unfinished(&self) -> Vec<UnfinishedErasure>;

    /// Says that no other store holds anything of the subjects of these erasures: those that are
    /// [`ErasureStage::Removed`] are finished by and by. Lost in a restart before that.
    fn confirm(&self, ids: &[String]);

    /// Where in this store texts of finished erasures may stand still, and until when or why, a sentence each. None where a
    /// finished erasure has left nothing.
    fn remains(&self) -> Vec<String> {
        Vec::new()
    }

    /// The erasures of a tenant, in order of request.
    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure>;
}
