//! Who was active when: every event is looked at for every question.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::{Day, Zone};
use domain::tenant::TenantScope;
use domain::users::{UserNumber, UserSet};

use super::erasures::ERASED;
use super::{Counted, MemoryLedger, State, civil};
use crate::active_users::{ActiveUsers, ActiveUsersQuery, VersionedZone};
use crate::{ErrorKind, PortError};

impl State {
    /// The tenant's users in the order of their first counted event, which is the order of their numbers.
    fn users<'s>(&'s self, scope: &'s TenantScope) -> Vec<&'s str> {
        let mut users = Vec::new();
        for user in self.of(scope).filter_map(Counted::user) {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }
}

impl Counted {
    /// The user, if there is one.
    pub(super) fn user(&self) -> Option<&str> {
        self.event.user.as_deref()
    }

    /// The project, empty for none.
    pub(super) fn project(&self) -> &str {
        self.event.project.as_deref().unwrap_or_default()
    }

    fn is_asked_for(&self, query: &ActiveUsersQuery) -> bool {
        query.range.contains(self.event.time)
            && query.project.as_ref().is_none_or(|wanted| wanted == self.project())
            && query.kind.as_ref().is_none_or(|wanted| *wanted == self.event.kind)
    }
}

#[async_trait]
impl ActiveUsers for MemoryLedger {
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError> {
        let state = self.ask();
        let mut days: BTreeMap<Day, UserSet> = BTreeMap::new();
        let is_asked_for = |name: &str| !query.named_only || !name.starts_with(ERASED);
        for (number, name) in (0..).zip(state.users(scope)).filter(|(_, name)| is_asked_for(name)) {
            for counted in state.of(scope).filter(|counted| counted.user() == Some(name)) {
                if counted.is_asked_for(query) {
                    let day = civil::day_of(counted.event.time, &query.zone);
                    days.entry(day).or_default().insert(UserNumber(number));
                }
            }
        }
        Ok(days)
    }

    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone {
        self.state.lock().zones.get(scope.tenant()).cloned().unwrap_or_default()
    }

    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        let mut state = self.state.lock();
        let applied = state.zones.entry(scope.tenant().clone()).or_default();
        if applied != wanted && applied.version >= wanted.version {
            return Err(PortError::new(ErrorKind::Conflict, "count users again: a later choice of zone is applied"));
        }
        *applied = wanted.clone();
        Ok(())
    }
}

/// Counts the tenant's days in `zone` from now on, as a choice later than the applied one.
///
/// # Errors
/// As [`ActiveUsers::recount`].
pub async fn set_zone(ledger: &(impl ActiveUsers + ?Sized), scope: &TenantScope, zone: &Zone) -> Result<(), PortError> {
    let applied = ledger.applied_zone(scope);
    if applied.zone == *zone {
        return Ok(());
    }
    ledger.recount(scope, &VersionedZone { zone: zone.clone(), version: applied.version + 1 }).await
}
