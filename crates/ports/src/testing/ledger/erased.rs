//! What was erased of the twin, and who is not to come again.

use std::collections::{BTreeSet, HashSet};

use domain::erasure::{Erasure, Subject, SubjectKind};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};

use crate::ErrorKind;
use crate::erasures::{ErasureStage, UnfinishedErasure};

/// What was erased, and who is not to come again.
#[derive(Debug, Default)]
pub(super) struct Erased {
    pub(super) all: Vec<(TenantId, Subject, Erasure)>,
    pub(super) refused: HashSet<(TenantId, SubjectKind, String)>,
    /// The ids of those that are being removed still.
    pub(super) removing: BTreeSet<String>,
    /// Whether new ones are being removed until somebody says that they are.
    pub(super) is_held: bool,
    /// What new ones are refused with.
    pub(super) fault: Option<ErrorKind>,
}

impl Erased {
    pub(super) fn refuse(&self, tenant: &TenantId, customer: Option<&str>, user: Option<&str>) -> bool {
        let has = |kind, name: Option<&str>| {
            name.is_some_and(|name| self.refused.contains(&(tenant.clone(), kind, name.to_owned())))
        };
        has(SubjectKind::Customer, customer) || has(SubjectKind::User, user) || has(SubjectKind::Workspace, Some(""))
    }

    pub(super) fn through(&self) -> Seq {
        self.all.iter().map(|(_, _, erasure)| erasure.through).max().unwrap_or(Seq::ZERO)
    }

    pub(super) fn unfinished(&self) -> impl Iterator<Item = UnfinishedErasure> {
        let unfinished = self.all.iter().filter(|(_, _, erasure)| erasure.finished_at.is_none());
        unfinished.map(move |(tenant, subject, Erasure { id, .. })| {
            let stage = if self.removing.contains(id) { ErasureStage::Removing } else { ErasureStage::Removed };
            let scope = TenantScope::for_operator(tenant.clone());
            UnfinishedErasure { scope, id: id.clone(), subject: Some(subject.clone()), stage }
        })
    }

    /// Whether nothing of a customer may be counted apart.
    pub(super) fn keeps_from_metering(&self, tenant: &TenantId, customer: &str) -> bool {
        let is_its = |one: UnfinishedErasure| {
            one.scope.tenant() == tenant && matches!(one.subject, Some(Subject::Customer(name)) if name == customer)
        };
        self.refuse(tenant, None, None) || self.unfinished().any(is_its)
    }
}
