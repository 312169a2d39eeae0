//! Who was active on which day: exact sets of users over one tenant's user dictionary.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::{Calendar, Day, DayRange, WeekStart, Zone};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserSet;

use crate::{ErrorKind, PortError};

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

/// From where each part of an answer comes.
#[derive(Debug, PartialEq, Eq)]
pub struct ActiveUsersPlan {
    /// Days answered from the sets kept.
    pub kept: Option<DayRange>,
    /// Times answered from raw events, leaving out the days kept.
    pub raw: Vec<TimeRange>,
}

impl ActiveUsersPlan {
    /// The parts of the answer to `query`, for a tenant whose days are kept in the zone `own`.
    pub fn of(query: &ActiveUsersQuery, own: &Zone) -> Self {
        let calendar = Calendar { zone: query.zone.clone(), week_start: WeekStart::Monday };
        let range = query.range;
        let is_kept = query.zone == *own && (query.project.is_none() || query.kind.is_none());
        let Some(kept) = is_kept.then(|| calendar.whole_days(range)).flatten() else {
            return Self { kept: None, raw: vec![range] };
        };
        // Where clocks repeat midnight these overlap with the days kept, which are then left out by day.
        let before = if kept.first == Day::MIN { Timestamp::MIN } else { calendar.end_of(kept.first.plus(-1)) };
        let after = if kept.last == Day::MAX { Timestamp::MAX } else { calendar.start_of(kept.last.plus(1)) };
        let ends =
            [TimeRange::new(range.from(), before.min(range.to())), TimeRange::new(after.max(range.from()), range.to())];
        let raw = ends.into_iter().flatten().filter(|end| end.from() < end.to()).collect();
        Self { kept: Some(kept), raw }
    }
}

/// A zone that a tenant has chosen, and which of its choices that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedZone {
    /// The zone that days are counted in.
    pub zone: Zone,
    /// Grows with every choice of the tenant; 0 is UTC, which no tenant has to choose.
    pub version: u64,
}

impl VersionedZone {
    /// Whether `wanted` is applied already, when this is what is applied.
    ///
    /// # Errors
    /// `Conflict` when a choice of the same or a higher version is.
    pub fn has(&self, wanted: &Self) -> Result<bool, PortError> {
        if self == wanted {
            return Ok(true);
        }
        if self.version >= wanted.version {
            return Err(PortError::new(ErrorKind::Conflict, "count users again: a later choice of zone is applied"));
        }
        Ok(false)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_default()
    }

    fn plan(from: &str, to: &str, zone: &str) -> ActiveUsersPlan {
        let range = TimeRange::new(at(from), at(to)).unwrap_or(TimeRange::ALL);
        let zone = Zone::parse(zone).unwrap_or_else(|_| Zone::utc());
        ActiveUsersPlan::of(
            &ActiveUsersQuery { range, zone, project: None, kind: None, named_only: false },
            &Zone::utc(),
        )
    }

    #[test]
    fn only_the_ends_are_read_from_raw_events() {
        let days = |first: &str, last: &str| {
            Day::parse(first).zip(Day::parse(last)).map(|(first, last)| DayRange { first, last })
        };
        let whole = plan("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z", "UTC");
        assert_eq!((whole.kept, whole.raw), (days("2026-11-01", "2026-11-02"), vec![]));
        let ends = plan("2026-11-01T01:00:00Z", "2026-11-03T02:00:00Z", "UTC");
        assert_eq!(ends.kept, days("2026-11-02", "2026-11-02"));
        let range = |from, to| TimeRange::new(at(from), at(to));
        let raw = [
            range("2026-11-01T01:00:00Z", "2026-11-02T00:00:00Z"),
            range("2026-11-03T00:00:00Z", "2026-11-03T02:00:00Z"),
        ];
        assert_eq!(ends.raw, raw.into_iter().flatten().collect::<Vec<_>>());
        let other = plan("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z", "Asia/Kolkata");
        assert_eq!((other.kept, other.raw.len()), (None, 1));
    }
}
