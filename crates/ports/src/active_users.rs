//! Who was active on which day: exact sets of users over one tenant's user dictionary.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::{Day, Zone};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::UserSet;

use crate::PortError;

/// Which activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveUsersQuery {
    /// Only events of these times; the days at its ends may be parts of days.
    pub range: TimeRange,
    /// Days of this zone. The tenant's applied one is answered from what is kept, any other from raw events.
    pub zone: Zone,
    /// Only events of this project; the empty text means events without one.
    pub project: Option<String>,
    /// Only events of this type.
    pub kind: Option<String>,
    /// Leave out users whose names were erased: who they are is not known, only that they were active.
    pub named_only: bool,
}

/// A zone that a tenant has chosen, and which of its choices that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedZone {
    /// The zone that days are counted in.
    pub zone: Zone,
    /// Grows with every choice of the tenant; 0 is UTC, which no tenant has to choose.
    pub version: u64,
}

impl Default for VersionedZone {
    fn default() -> Self {
        Self { zone: Zone::utc(), version: 0 }
    }
}

/// Answers who was active when. Events without a user make no user active. Work that outlives the future of a
/// call keeps what is held for it ([`crate::held`]).
#[async_trait]
pub trait ActiveUsers: Send + Sync + std::fmt::Debug {
    /// Per day with activity, the users that were active. Includes everything applied.
    ///
    /// # Errors
    /// `Gone` when the answer needs raw events that retention has dropped, `Corrupt` or
    /// `Unavailable` when stored data cannot be read.
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError>;

    /// Whether [`ActiveUsers::active_users`] may miss users, or tell one as two, because events were erased: the
    /// answer needs raw events, or the tenant's zone is another than it was then.
    fn is_estimate(&self, _scope: &TenantScope, _query: &ActiveUsersQuery) -> bool {
        false
    }

    /// The applied zone: the one that the tenant's days are counted in, with the version of the choice that it
    /// came from; UTC and 0 until one is applied. Changes only by [`ActiveUsers::recount`].
    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone;

    /// Counts the days of all the tenant's users again, from raw events, as days of the wanted zone, and makes
    /// this the applied one. Durable and visible as one, on return. Events are applied meanwhile. Nothing to do
    /// when it is applied already. Dropped before it returns, it ends soon, having changed nothing or everything.
    ///
    /// # Errors
    /// `Conflict` when a choice of the same or a higher version is applied; nothing has changed. `Gone` when
    /// retention has dropped raw events that would be needed, which no later attempt can change; nothing has
    /// changed. As [`ActiveUsers::active_users`] otherwise.
    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError>;
}
