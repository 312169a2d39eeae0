//! Erasures of [`MemoryLedger`]: events stay in the list for the sums, under names that nobody has.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::erasure::{ErasedSoFar, Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use super::erased::Erased;
use super::{Counted, MemoryLedger};
use crate::erasures::{Erasures, UnfinishedErasure};
use crate::{ErrorKind, PortError};

/// What a name begins with that stands for somebody who was erased.
pub(super) const ERASED: &str = "\u{1}";

impl MemoryLedger {
    /// Lets erasures that are asked for from now on remain unmade, or makes all of them.
    pub fn hold_erasures(&self, is_held: bool) {
        let erasures = &mut self.state.lock().erasures;
        erasures.is_held = is_held;
        if !is_held {
            erasures.removing.clear();
        }
    }

    /// Refuses new erasures with this from now on, or none.
    pub fn refuse_erasures(&self, fault: Option<ErrorKind>) {
        self.state.lock().erasures.fault = fault;
    }
}

impl Counted {
    pub(super) fn is_of_erased_customer(&self) -> bool {
        self.erased && self.event.customer.as_deref() == Some(ERASED)
    }

    fn is_of(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(name) => self.event.user.as_deref() == Some(name),
            Subject::Customer(name) => self.event.customer.as_deref() == Some(name),
            Subject::Workspace => true,
        }
    }
}

/// Leaves the sums of a subject's events; how many were left of before.
fn erase(events: &mut [&mut Counted], subject: &Subject, number: usize) -> u64 {
    let (mut erased, mut users) = (0, BTreeSet::new());
    for counted in events.iter_mut().filter(|counted| counted.is_of(subject)) {
        erased += u64::from(!std::mem::replace(&mut counted.erased, true));
        match subject {
            Subject::User(name) => drop(users.insert(name.clone())),
            Subject::Customer(_) | Subject::Workspace => {
                users.extend(counted.event.user.clone());
                counted.event.customer = Some(ERASED.to_owned());
            }
        }
    }
    // A user of whom no event is left has no name any more.
    users.retain(|user| !events.iter().any(|counted| !counted.erased && counted.event.user.as_ref() == Some(user)));
    for counted in events {
        let at = users.iter().position(|user| counted.event.user.as_ref() == Some(user));
        if let Some(at) = at {
            counted.event.user = Some(format!("{ERASED}{number}.{at}"));
        }
    }
    erased
}

#[async_trait]
impl Erasures for MemoryLedger {
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError> {
        let mut state = self.state.lock();
        let known = state.erasures.all.iter().find(|(_, _, erasure)| erasure.id == request.id);
        if let Some((tenant, subject, erasure)) = known {
            let is_same = tenant == scope.tenant() && *subject == request.subject && erasure.blocks == request.blocks;
            let conflict = || PortError::new(ErrorKind::Conflict, "ask for an erasure: the id is that of another one");
            return if is_same { Ok(erasure.clone()) } else { Err(conflict()) };
        }
        if let Some(kind) = state.erasures.fault {
            return Err(PortError::new(kind, "ask for an erasure, as asked"));
        }
        if let Subject::Customer(customer) = &request.subject {
            state.metered.remove(&(scope.tenant().clone(), customer.clone()));
        }
        let (through, number) = (state.applied, state.erasures.all.len());
        let zone = state.zones.get(scope.tenant()).cloned().unwrap_or_default().zone;
        let mine = state.events.iter_mut().filter(|counted| counted.tenant == *scope.tenant());
        let events = erase(&mut mine.collect::<Vec<_>>(), &request.subject, number);
        if request.blocks || request.subject == Subject::Workspace {
            let name = request.subject.name().to_owned();
            state.erasures.refused.insert((scope.tenant().clone(), request.subject.kind(), name));
        }
        let erasure = Erasure {
            id: request.id.clone(),
            kind: request.subject.kind(),
            blocks: request.blocks,
            through,
            requested_at: Timestamp::MIN,
            by: request.by.clone(),
            zone: zone.name().to_owned(),
            gone: ErasedSoFar { events, ..ErasedSoFar::default() },
            finished_at: None,
        };
        if state.erasures.is_held {
            state.erasures.removing.insert(request.id.clone());
        }
        state.erasures.all.push((scope.tenant().clone(), request.subject.clone(), erasure.clone()));
        Ok(erasure)
    }

    fn erased_tenants(&self) -> Vec<TenantId> {
        let state = self.state.lock();
        let whole = state.erasures.all.iter().filter(|(_, subject, _)| *subject == Subject::Workspace);
        whole.map(|(tenant, _, _)| tenant.clone()).collect()
    }

    fn unfinished(&self) -> Vec<UnfinishedErasure> {
        self.state.lock().erasures.unfinished().collect()
    }

    fn confirm(&self, ids: &[String]) {
        let Erased { all, removing, .. } = &mut self.state.lock().erasures;
        for (_, _, erasure) in all.iter_mut().filter(|(_, _, erasure)| ids.contains(&erasure.id)) {
            erasure.finished_at = erasure.finished_at.or((!removing.contains(&erasure.id)).then_some(Timestamp::MIN));
        }
    }

    fn generation(&self, scope: &TenantScope) -> u64 {
        self.erasures(scope).len() as u64
    }

    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure> {
        let state = self.state.lock();
        let mine = state.erasures.all.iter().filter(|(tenant, _, _)| tenant == scope.tenant());
        mine.map(|(_, _, erasure)| erasure.clone()).collect()
    }
}
