//! The erasures of all tenants as memory holds them, and what they refuse.

use domain::erasure::SubjectKind;
use domain::position::Seq;
use domain::tenant::TenantId;
use hashbrown::{HashMap, HashSet};
use ports::erasures::ErasureStage;
use ports::manifest::StoredErasure;

use crate::dedup::IdHash;
use crate::segment::Segment;

/// All erasures, in order of request.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownErasures {
    all: Vec<StoredErasure>,
    /// How far those are that have a subject, by id, beyond [`ErasureStage::Removing`]. Not kept: what is done again
    /// finds nothing to do.
    stages: HashMap<String, ErasureStage>,
    refused: HashMap<TenantId, RefusedSubjects>,
    generations: HashMap<TenantId, u64>,
}

/// Whom a tenant's erasures refuse.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusedSubjects {
    is_whole: bool,
    names: HashSet<(SubjectKind, u128)>,
}

impl RefusedSubjects {
    /// Whether everything of the tenant is refused.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn has(&self, kind: SubjectKind, name: IdHash) -> bool {
        self.names.contains(&(kind, name.0))
    }
}

impl KnownErasures {
    pub(crate) fn new(stored: &[StoredErasure]) -> Self {
        let mut known = Self::default();
        stored.iter().for_each(|one| known.put(one));
        known
    }

    /// Adds an erasure, or replaces it by id.
    pub(crate) fn put(&mut self, stored: &StoredErasure) {
        let kind = stored.erasure.kind;
        *self.generations.entry_ref(&stored.tenant).or_default() += 1;
        if stored.erasure.blocks || kind == SubjectKind::Workspace {
            let refused = self.refused.entry(stored.tenant.clone()).or_default();
            refused.is_whole |= kind == SubjectKind::Workspace;
            refused.names.insert((kind, stored.subject_hash));
        }
        if stored.subject.is_none() {
            self.stages.remove(&stored.erasure.id);
        }
        match self.all.iter_mut().find(|known| known.erasure.id == stored.erasure.id) {
            Some(known) => *known = stored.clone(),
            None => self.all.push(stored.clone()),
        }
    }

    /// How often anything of a tenant's erasures has changed since the start.
    pub(crate) fn generation(&self, tenant: &TenantId) -> u64 {
        self.generations.get(tenant).copied().unwrap_or(0)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&StoredErasure> {
        self.all.iter().find(|stored| stored.erasure.id == id)
    }

    pub(crate) fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &StoredErasure> {
        self.all.iter().filter(move |stored| stored.tenant == *tenant)
    }

    /// The erasures of all tenants, in order of request.
    pub(crate) fn all(&self) -> impl Iterator<Item = &StoredErasure> {
        self.all.iter()
    }

    /// Those that are not finished, in order of request, each with how far it is.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (&StoredErasure, ErasureStage)> {
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
    pub(crate) fn at(&self, stage: ErasureStage) -> Vec<StoredErasure> {
        self.unfinished().filter(|(_, at)| *at == stage).map(|(stored, _)| stored.clone()).collect()
    }

    /// Whether there is anything to do here, and not for others first.
    pub(crate) fn is_due(&self) -> bool {
        self.unfinished().any(|(_, stage)| stage != ErasureStage::Removed)
    }

    /// Whether any has segments to be written anew.
    pub(crate) fn is_removing(&self) -> bool {
        self.unfinished().any(|(_, stage)| stage == ErasureStage::Removing)
    }

    /// Notes that nothing is left of these but the names of their subjects.
    pub(crate) fn note_removed(&mut self, ids: impl Iterator<Item = String>) {
        self.stages.extend(ids.map(|id| (id, ErasureStage::Removed)));
    }

    /// Lets the names of subjects go, of those that nothing else is left of.
    pub(crate) fn confirm(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(stage) = self.stages.get_mut(id) {
                *stage = ErasureStage::Confirmed;
            }
        }
    }

    /// Whom a tenant's erasures refuse, if anybody.
    pub(crate) fn refused_of(&self, tenant: &TenantId) -> Option<&RefusedSubjects> {
        self.refused.get(tenant)
    }

    /// The tenants of which everything is refused.
    pub(crate) fn erased_tenants(&self) -> Vec<TenantId> {
        self.refused.iter().filter(|(_, refused)| refused.is_whole).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// The last record of which an erasure that is done has removed events.
    pub(crate) fn erased_through(&self) -> Seq {
        let done = self.all.iter().filter(|stored| stored.erasure.finished_at.is_some());
        done.map(|stored| stored.erasure.through).max().unwrap_or(Seq::ZERO)
    }

    /// A number that no earlier writing of this segment had: how often it was written anew, and one more.
    pub(crate) fn next_rewrite(&self, segment: &Segment) -> u32 {
        segment.rewrites() + 1
    }
}
