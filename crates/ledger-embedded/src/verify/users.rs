//! Users as raw events give them: who has which number, in the order of first appearance, and who was
//! active on which day. Compared with the dictionary and the days that are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::calendar::{Calendar, Day, DayRange, WeekStart};
use domain::event::EventView;
use domain::invariant::Invariant;
use domain::position::Position;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use domain::users::{UserNumber, UserSet};
use hashbrown::HashMap;
use ports::PortError;
use ports::active_users::VersionedZone;
use ports::manifest::ActivityFilter;

use super::report::Report;
use crate::activity::Recount;
use crate::core::Core;
use crate::parts::activity_filters;
use crate::state::zone_of;

/// The users of every tenant.
#[derive(Debug)]
pub(super) struct RawUsers {
    zones: Arc<HashMap<TenantId, VersionedZone>>,
    tenants: BTreeMap<TenantId, TenantUsers>,
}

#[derive(Debug)]
struct TenantUsers {
    days: Recount,
    /// By number: the name, and where it first appears.
    users: BTreeMap<u32, (String, Position)>,
}

impl RawUsers {
    pub(super) fn new(zones: Arc<HashMap<TenantId, VersionedZone>>) -> Self {
        Self { zones, tenants: BTreeMap::new() }
    }

    /// Takes in a raw event.
    pub(super) fn event(
        &mut self,
        tenant: &TenantId,
        event: &EventView<'_>,
        position: Position,
        number: Option<UserNumber>,
        report: &mut Report<'_>,
    ) {
        if event.user.is_some() != number.is_some() {
            let subject = format!("tenant {tenant} event id {:?} number of its user", event.id);
            report.differs(Invariant::OneTruth, subject, format!("one of {:?}", event.user), format!("{number:?}"));
        }
        let Some((name, number)) = event.user.zip(number) else { return };
        if !self.tenants.contains_key(tenant) {
            let days = Recount::new(zone_of(&self.zones, tenant));
            self.tenants.insert(tenant.clone(), TenantUsers { days, users: BTreeMap::new() });
        }
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        known.days.add(event.time, event.project, event.kind, number);
        let first = known.users.entry(number.0).or_insert_with(|| (name.to_owned(), position));
        first.1 = first.1.min(position);
        if first.0 != name {
            let (expected, found) = (format!("{:?}", first.0), format!("{name:?}"));
            report.differs(Invariant::OneTruth, user_name(tenant, number), expected, found);
        }
    }

    /// Compares one tenant's users with what is stored; `is_erased` when some may have gone.
    pub(super) async fn compare(
        &self,
        core: &Core,
        scope: &TenantScope,
        is_erased: bool,
        report: &mut Report<'_>,
    ) -> Result<(), PortError> {
        let none = BTreeMap::new();
        let users = self.tenants.get(scope.tenant()).map_or(&none, |raw| &raw.users);
        compare_names(core, scope, users, is_erased, report).await?;
        self.compare_days(core, scope, report).await
    }

    async fn compare_days(&self, core: &Core, scope: &TenantScope, report: &mut Report<'_>) -> Result<(), PortError> {
        let tenant = scope.tenant();
        let mut expected: BTreeMap<ActivityFilter, BTreeMap<Day, UserSet>> =
            activity_filters(core, tenant).into_iter().map(|filter| (filter, BTreeMap::new())).collect();
        for one in self.tenants.get(tenant).map(|raw| raw.days.activity(tenant)).unwrap_or_default() {
            expected.entry(one.filter).or_default().insert(one.day, one.users);
        }
        for one in core.manifest.erased_activity(scope).await? {
            expected.entry(one.filter).or_default().entry(one.day).or_default().merge(&one.users);
        }
        let calendar = Calendar { zone: zone_of(&self.zones, tenant), week_start: WeekStart::Monday };
        // Of a day that begins before the floor, retention may have dropped events.
        let floor = report.floors.of(tenant);
        let is_whole = |day: &Day| floor == Timestamp::MIN || calendar.start_of(*day) >= floor;
        for (filter, days) in expected {
            let (_, stored) = core.manifest.activity(scope, &filter, DayRange::ALL).await?;
            let mut stored: BTreeMap<Day, UserSet> = stored.into_iter().filter(|(day, _)| is_whole(day)).collect();
            for (day, users) in days.into_iter().filter(|(day, _)| is_whole(day)) {
                report.summary.user_days += 1;
                let found = stored.remove(&day).unwrap_or_default();
                if found != users {
                    report.differs(Invariant::OneTruth, day_name(tenant, &filter, day), show(&users), show(&found));
                }
            }
            for (day, found) in stored {
                report.differs(Invariant::NoPhantom, day_name(tenant, &filter, day), "nobody".into(), show(&found));
            }
        }
        Ok(())
    }
}

/// Every name is stored under its number, and while no event has gone numbers are those of first appearance.
async fn compare_names(
    core: &Core,
    scope: &TenantScope,
    users: &BTreeMap<u32, (String, Position)>,
    is_erased: bool,
    report: &mut Report<'_>,
) -> Result<(), PortError> {
    let tenant = scope.tenant();
    let numbers: Vec<_> = users.keys().map(|number| UserNumber(*number)).collect();
    let stored = core.user_names(scope, &numbers).await?;
    for ((number, (name, _)), found) in users.iter().zip(stored) {
        report.summary.users += 1;
        if found.as_ref() != Some(name) {
            let (expected, found) = (format!("{name:?}"), format!("{found:?}"));
            report.differs(Invariant::OneTruth, user_name(tenant, UserNumber(*number)), expected, found);
        }
    }
    let mut numbers_of: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, (name, _)) in users {
        if let Some(other) = numbers_of.insert(name, *number) {
            let subject = format!("tenant {tenant} number of user {name:?}");
            report.differs(Invariant::OneTruth, subject, other.to_string(), number.to_string());
        }
    }
    if is_erased || report.floors.of(tenant) > Timestamp::MIN {
        return Ok(());
    }
    let mut by_appearance: Vec<_> = users.iter().map(|(number, (_, position))| (*position, *number)).collect();
    by_appearance.sort_unstable();
    for (expected, (_, found)) in (0_u32..).zip(by_appearance) {
        if expected != found {
            let subject = user_name(tenant, UserNumber(found));
            report.differs(Invariant::OneTruth, subject, format!("number {expected}"), format!("number {found}"));
        }
    }
    let beyond = UserNumber(u32::try_from(users.len()).unwrap_or(u32::MAX));
    for found in core.user_names(scope, &[beyond]).await?.into_iter().flatten() {
        report.differs(Invariant::NoPhantom, user_name(tenant, beyond), "nobody".into(), format!("{found:?}"));
    }
    Ok(())
}

fn user_name(tenant: &TenantId, number: UserNumber) -> String {
    format!("tenant {tenant} user {}", number.0)
}

fn day_name(tenant: &TenantId, filter: &ActivityFilter, day: Day) -> String {
    format!("tenant {tenant} users of {filter:?} on {day}")
}

fn show(users: &UserSet) -> String {
    format!("{} users: {:?}", users.len(), users.iter().take(10).map(|user| user.0).collect::<Vec<_>>())
}
