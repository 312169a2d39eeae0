//! Who was active when. Whole days of the tenant's own zone are kept as sets of users: in the manifest,
//! and in both memtables what is not flushed. Everything else is counted from raw events: the parts
//! of days at the ends of a range, days of other zones, one project and one type together. Nothing
//! here is estimated.

mod raw;
mod zone;

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::{Calendar, Day, DayRange, WeekStart, Zone};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserSet;
use ports::audiences::{AudienceQuery, Audiences};
use ports::manifest::Audience;
use ports::{ErrorKind, PortError};

use crate::activity::{ByDay, Choice};
use crate::lake::{Core, Lake};
use crate::memtable::Memtable;
use crate::state::{Snapshot, zone_of};
use raw::RawQuery;

/// How often a reader whose tenant's zone changes starts over.
const ZONE_CHANGES_MAX: usize = 8;

#[async_trait]
impl Audiences for Lake {
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &AudienceQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError> {
        for _ in 0..ZONE_CHANGES_MAX {
            let own = self.zone(scope);
            let (snapshot, mut users) = self.stored_users(scope, query, &Plan::of(query, &own)).await?;
            // What is kept is of the zone that the state says; the plan was made for the one before.
            if zone_of(&snapshot.zones, scope.tenant()) == own {
                users.raw(&self.core, snapshot).await?;
                return Ok(users.found);
            }
        }
        Err(PortError::new(ErrorKind::Unavailable, "count users: the tenant's zone keeps changing"))
    }

    fn zone(&self, scope: &TenantScope) -> Zone {
        zone_of(&self.core.state.read().zones, scope.tenant())
    }

    async fn set_zone(&self, scope: &TenantScope, zone: &Zone) -> Result<(), PortError> {
        zone::set(&self.core, scope, zone).await
    }
}

/// From where each part of an answer comes.
#[derive(Debug)]
struct Plan {
    /// Days answered from the sets kept.
    kept: Option<DayRange>,
    /// Times answered from raw events, leaving out the days kept.
    raw: Vec<TimeRange>,
}

impl Plan {
    fn of(query: &AudienceQuery, own: &Zone) -> Self {
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

/// An answer being gathered.
#[derive(Debug)]
struct Gathered {
    found: ByDay,
    query: RawQuery,
}

impl Lake {
    /// What the kept sets and the active memtable give, and the state that the rest is to be read from.
    async fn stored_users(
        &self,
        scope: &TenantScope,
        query: &AudienceQuery,
        plan: &Plan,
    ) -> Result<(Snapshot, Gathered), PortError> {
        let raw = RawQuery {
            scope: scope.clone(),
            ranges: plan.raw.clone(),
            but: plan.kept,
            zone: query.zone.clone(),
            project: query.project.clone(),
            kind: query.kind.clone(),
        };
        let choice = Choice { project: query.project.as_deref(), kind: query.kind.as_deref() };
        let kept_in = |table: &Memtable, to: &mut ByDay| {
            if let Some(days) = plan.kept {
                table.add_active(scope.tenant(), &choice, days, to);
            }
        };
        let look = |active: &Memtable| {
            let mut found = ByDay::new();
            kept_in(active, &mut found);
            raw.add_from(active, &mut found);
            found
        };
        let (snapshot, mut found) = match plan.kept {
            None => self.core.view(look),
            Some(days) => {
                let audience = audience_of(query);
                let ask = || self.core.manifest.activity(scope, &audience, days);
                let (snapshot, mut found, stored): (_, ByDay, Vec<(Day, UserSet)>) =
                    self.core.consistent(look, ask).await?;
                for (day, users) in stored {
                    found.entry(day).or_default().merge(&users);
                }
                (snapshot, found)
            }
        };
        if let Some(frozen) = &snapshot.frozen {
            kept_in(frozen, &mut found);
        }
        Ok((snapshot, Gathered { found, query: raw }))
    }
}

impl Gathered {
    /// Adds what is read from raw events that no longer change.
    async fn raw(&mut self, core: &std::sync::Arc<Core>, snapshot: Snapshot) -> Result<(), PortError> {
        if self.query.ranges.is_empty() {
            return Ok(());
        }
        let query = self.query.clone();
        let found = core.read(move |_, patience| query.read(&snapshot, patience)).await?;
        for (day, users) in found {
            self.found.entry(day).or_default().merge(&users);
        }
        Ok(())
    }
}

/// What of the kept sets answers a query that does not ask for a project and a type together.
fn audience_of(query: &AudienceQuery) -> Audience {
    match (&query.project, &query.kind) {
        (Some(project), _) => Audience::Project(project.clone()),
        (None, Some(kind)) => Audience::Type(kind.clone()),
        (None, None) => Audience::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_default()
    }

    fn plan(from: &str, to: &str, zone: &str) -> Plan {
        let range = TimeRange::new(at(from), at(to)).unwrap_or(TimeRange::ALL);
        let zone = Zone::parse(zone).unwrap_or_else(|_| Zone::utc());
        Plan::of(&AudienceQuery { range, zone, project: None, kind: None }, &Zone::utc())
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
