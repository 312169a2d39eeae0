//! The erasures of all tenants as memory holds them, and what they refuse. For any ledger, whatever it keeps them in.

use std::collections::{HashMap, HashSet};

use domain::dedup::IdHash;
use domain::erasure::{Erasure, ErasureRequest, SubjectKind};
use domain::limits::{ERASURES_MAX, ERASURES_UNFINISHED_MAX};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};

use super::{ErasureStage, StoredErasure, UnfinishedErasure};
use crate::{ErrorKind, PortError};

/// All erasures, in order of request.
#[derive(Debug, Clone, Default)]
pub struct KnownErasures {
    all: Vec<StoredErasure>,
    /// How far those are that have a subject, by id, beyond [`ErasureStage::Removing`]. Not kept: what is done again
    /// finds nothing to do.
    stages: HashMap<String, ErasureStage>,
    refused: HashMap<TenantId, RefusedSubjects>,
    generations: HashMap<TenantId, u64>,
}

/// Whom a tenant's erasures refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedSubjects {
    is_whole: bool,
    names: HashSet<(SubjectKind, u128)>,
}

impl RefusedSubjects {
    /// Adds what an erasure refuses, of the subject whose name has this hash.
    pub fn add(&mut self, kind: SubjectKind, name: IdHash) {
        self.is_whole |= kind == SubjectKind::Workspace;
        self.names.insert((kind, name.0));
    }

    /// Whether later events of this customer or user are refused, whose names have these hashes.
    pub fn refuse(&self, customer: Option<IdHash>, user: Option<IdHash>) -> bool {
        let has = |kind, name: Option<IdHash>| name.is_some_and(|name| self.has(kind, name));
        self.is_whole || has(SubjectKind::Customer, customer) || has(SubjectKind::User, user)
    }

    /// Whether everything of the tenant is refused.
    fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether the subject of this kind is refused whose name has this hash.
    fn has(&self, kind: SubjectKind, name: IdHash) -> bool {
        self.names.contains(&(kind, name.0))
    }
}

impl KnownErasures {
    /// Those that are stored.
    pub fn new(stored: &[StoredErasure]) -> Self {
        let mut known = Self::default();
        stored.iter().for_each(|one| known.put(one));
        known
    }

    /// Adds an erasure, or replaces it by id.
    pub fn put(&mut self, stored: &StoredErasure) {
        let kind = stored.erasure.kind;
        *self.generations.entry(stored.tenant.clone()).or_default() += 1;
        if stored.erasure.blocks || kind == SubjectKind::Workspace {
            self.refused.entry(stored.tenant.clone()).or_default().add(kind, IdHash(stored.subject_hash));
        }
        if stored.subject.is_none() {
            self.stages.remove(&stored.erasure.id);
        }
        match self.all.iter_mut().find(|known| known.erasure.id == stored.erasure.id) {
            Some(known) => *known = stored.clone(),
            None => self.all.push(stored.clone()),
        }
    }

    /// Follows what is stored: adds what is new and replaces what has changed.
    pub fn follow(&mut self, stored: &[StoredErasure]) {
        for one in stored {
            if self.find(&one.erasure.id) != Some(one) {
                self.put(one);
            }
        }
    }

    /// How often anything of a tenant's erasures has changed since the start.
    pub fn generation(&self, tenant: &TenantId) -> u64 {
        self.generations.get(tenant).copied().unwrap_or(0)
    }

    /// The erasure of this id.
    fn find(&self, id: &str) -> Option<&StoredErasure> {
        self.all.iter().find(|stored| stored.erasure.id == id)
    }

    /// The erasures of a tenant, in order of request.
    pub fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &StoredErasure> {
        self.all.iter().filter(move |stored| stored.tenant == *tenant)
    }

    /// The erasures of all tenants, in order of request.
    pub fn all(&self) -> impl Iterator<Item = &StoredErasure> {
        self.all.iter()
    }

    /// Those that are not finished, in order of request, each with how far it is.
    pub fn unfinished(&self) -> impl Iterator<Item = (&StoredErasure, ErasureStage)> {
        let unfinished = self.all.iter().filter(|stored| stored.erasure.finished_at.is_none());
        unfinished.map(move |stored| {
            let begun = match stored.subject {
                Some(_) => ErasureStage::Removing,
                None => ErasureStage::Confirmed,
            };
            (stored, self.stages.get(&stored.erasure.id).copied().unwrap_or(begun))
        })
    }

    /// Those that are not finished and at this stage, in order of request.
    pub fn at(&self, stage: ErasureStage) -> Vec<StoredErasure> {
        self.unfinished().filter(|(_, at)| *at == stage).map(|(stored, _)| stored.clone()).collect()
    }

    /// Whether there is anything to do here, and not for others first.
    pub fn is_due(&self) -> bool {
        self.unfinished().any(|(_, stage)| stage != ErasureStage::Removed)
    }

    /// Whether any has segments to be written anew.
    pub fn is_removing(&self) -> bool {
        self.unfinished().any(|(_, stage)| stage == ErasureStage::Removing)
    }

    /// Notes that nothing is left of these but the names of their subjects.
    pub fn note_removed(&mut self, ids: impl Iterator<Item = String>) {
        self.stages.extend(ids.map(|id| (id, ErasureStage::Removed)));
    }

    /// Lets the names of subjects go, of those that nothing else is left of.
    pub fn confirm(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(stage) = self.stages.get_mut(id) {
                *stage = ErasureStage::Confirmed;
            }
        }
    }

    /// Whom a tenant's erasures refuse, if anybody.
    pub fn refused_of(&self, tenant: &TenantId) -> Option<&RefusedSubjects> {
        self.refused.get(tenant)
    }

    /// The tenants of which everything is refused.
    pub fn erased_tenants(&self) -> Vec<TenantId> {
        self.refused.iter().filter(|(_, refused)| refused.is_whole).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// The last record of which an erasure that is done has removed events.
    pub fn erased_through(&self) -> Seq {
        let done = self.all.iter().filter(|stored| stored.erasure.finished_at.is_some());
        done.map(|stored| stored.erasure.through).max().unwrap_or(Seq::ZERO)
    }

    /// The erasure that was asked for under the same id, if it was; its subject has this hash.
    ///
    /// # Errors
    /// As [`super::Erasures::erase`], of what may not be asked for.
    pub fn asked_for(
        &self,
        scope: &TenantScope,
        request: &ErasureRequest,
        subject_hash: IdHash,
    ) -> Result<Option<&Erasure>, PortError> {
        let Some(known) = self.find(&request.id) else {
            if self.of(scope.tenant()).count() >= ERASURES_MAX {
                let message = format!("ask for an erasure: the workspace has {ERASURES_MAX}");
                return Err(PortError::new(ErrorKind::Exhausted, message));
            }
            let unfinished = self.unfinished().filter(|(stored, _)| stored.tenant == *scope.tenant()).count();
            if unfinished >= ERASURES_UNFINISHED_MAX {
                let message = format!("ask for an erasure: {unfinished} of the workspace are not finished");
                return Err(PortError::new(ErrorKind::Overloaded, message));
            }
            return Ok(None);
        };
        let is_same = known.tenant == *scope.tenant()
            && known.subject_hash == subject_hash.0
            && (known.erasure.kind, known.erasure.blocks) == (request.subject.kind(), request.blocks);
        match is_same {
            true => Ok(Some(&known.erasure)),
            false => Err(PortError::new(ErrorKind::Conflict, "ask for an erasure: the id is that of another one")),
        }
    }

    /// What [`super::Erasures::unfinished`] tells.
    pub fn told_unfinished(&self) -> Vec<UnfinishedErasure> {
        let told = |(stored, stage): (&StoredErasure, _)| {
            let scope = TenantScope::for_operator(stored.tenant.clone());
            UnfinishedErasure { scope, id: stored.erasure.id.clone(), subject: stored.subject(), stage }
        };
        self.unfinished().map(told).collect()
    }

    /// Whether nothing of a customer may be counted apart, whose name has this hash: an erasure of it is not finished,
    /// or all of the tenant is erased.
    pub fn keep_from_metering(&self, tenant: &TenantId, customer: IdHash) -> bool {
        let is_its = |stored: &StoredErasure| {
            stored.erasure.kind == SubjectKind::Customer
                && (&stored.tenant, stored.subject_hash) == (tenant, customer.0)
        };
        self.refused_of(tenant).is_some_and(RefusedSubjects::is_whole)
            || self.unfinished().any(|(stored, _)| is_its(stored))
    }
}
