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
    /// Days of this zone. The tenant's own is answered from what is kept, any other from raw events.
    pub zone: Zone,
    /// Only events of this project; the empty text means events without one.
    pub project: Option<String>,
    /// Only events of this type.
    pub kind: Option<String>,
}

/// Answers who was active when. Events without a user count for nobody.
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

    /// The zone that the tenant's days are kept in; UTC until it is set.
    fn zone(&self, scope: &TenantScope) -> Zone;

    /// Changes the tenant's zone: recounts the days of all its users from raw events. Durable and
    /// visible as one, on return. Events are applied meanwhile. Dropped before it returns, it ends soon,
    /// having changed nothing or everything.
    ///
    /// # Errors
    /// `Gone` when retention has dropped raw events that would be needed; nothing has changed.
    /// As [`ActiveUsers::active_users`] otherwise.
    async fn set_zone(&self, scope: &TenantScope, zone: &Zone) -> Result<(), PortError>;
}
