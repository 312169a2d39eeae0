//! What was erased of the twin, and who is not to come again.

use std::collections::HashSet;

use domain::erasure::{Erasure, Subject, SubjectKind};
use domain::position::Seq;
use domain::tenant::TenantId;

/// What was erased, and who is not to come again.
#[derive(Debug, Default)]
pub(super) struct Erased {
    pub(super) all: Vec<(TenantId, Subject, Erasure)>,
    pub(super) refused: HashSet<(TenantId, SubjectKind, String)>,
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
}
