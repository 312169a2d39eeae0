//! Adds up the events of a batch that count. Pure: sums are those of `domain`, by the keys of the tables they go into.

use std::collections::{BTreeMap, BTreeSet};

use domain::admit::Dimension;
use domain::aggregate::{Aggregate, SumNumbers, Totals};
use domain::calendar::Zone;
use domain::event::EventView;
use domain::quota::{Amounts, quarter_of};
use domain::rollup::hour_of;
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, Timestamp};
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;
use hashbrown::HashMap;
use postgres::Failure;

use crate::batch::Record;
use crate::sums::{CustomerSum, Grain};
use crate::tenants::{Tenant, Tenants};

/// An event that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshEvent<'b> {
    pub(crate) record: &'b Record<'b>,
    /// Its place in the record.
    pub(crate) index: usize,
    /// Its user's number.
    pub(crate) user: Option<UserNumber>,
}

impl<'b> FreshEvent<'b> {
    /// All events of a record, as if they counted and nobody's number were known.
    pub(crate) fn all_of(record: &'b Record<'b>) -> impl Iterator<Item = Self> {
        (0..record.events.len()).map(move |index| Self { record, index, user: None })
    }

    pub(crate) fn event(&self) -> &'b EventView<'b> {
        &self.record.events[self.index].0
    }

    /// Whether it came after the grace of its window.
    pub(crate) fn is_late(&self, rule: WindowRule) -> bool {
        rule.is_late(self.event().time, self.record.times.late_from())
    }
}

/// Which events make a user active: all, those of a project, those of a type.
pub(crate) const AUDIENCE_ALL: i16 = 0;
pub(crate) const AUDIENCE_PROJECT: i16 = 1;
pub(crate) const AUDIENCE_TYPE: i16 = 2;

/// What a batch adds. Each key begins with the tenant's number.
#[derive(Debug, Default)]
pub(crate) struct Folded<'b> {
    /// By customer and start.
    pub(crate) windows: BTreeMap<(i32, &'b str, Timestamp), Aggregate>,
    pub(crate) customers: BTreeMap<(i32, &'b str), CustomerSum>,
    /// By grain, start, project and type.
    pub(crate) rollups: BTreeMap<(i32, Grain, Timestamp, &'b str, &'b str), Totals>,
    /// By quarter and customer; the empty one stands for the tenant as a whole.
    pub(crate) received: BTreeMap<(i32, Timestamp, &'b str), Amounts>,
    pub(crate) names: BTreeSet<(i32, Dimension, &'b str)>,
    /// By audience, its name, and day.
    pub(crate) user_days: BTreeMap<(i32, i16, &'b str, i32), UserSet>,
}

/// Adds up events in any order.
pub(crate) fn fold<'b>(events: &[FreshEvent<'b>], tenants: &Tenants, rule: WindowRule) -> Result<Folded<'b>, Failure> {
    let mut folded = Folded::default();
    let mut days = HashMap::new();
    for fresh in events {
        let tenant = tenants.get(&fresh.record.tenant)?;
        folded.count(tenant, fresh, rule);
        folded.name(tenant.no, fresh.event());
        if let Some(user) = fresh.user {
            let days = days.entry(&fresh.record.tenant as &TenantId);
            let days = days.or_insert_with(|| tenant.zone.clone().unwrap_or_else(Zone::utc).into_days());
            folded.activate(tenant.no, fresh.event(), days.day_of(fresh.event().time).number(), user);
        }
    }
    Ok(folded)
}

impl<'b> Folded<'b> {
    fn count(&mut self, tenant: &Tenant, fresh: &FreshEvent<'b>, rule: WindowRule) {
        let (no, event, received_at) = (tenant.no, fresh.event(), fresh.record.times.received_at);
        let (customer, is_late) = (event.customer.unwrap_or(""), fresh.is_late(rule));
        self.windows.entry((no, customer, rule.start_of(event.time))).or_default().fold(event, is_late);

        let totals = Totals::of(&event.usage, is_late);
        let numbers = SumNumbers { totals, first_received: received_at, last_received: received_at };
        self.customers.entry((no, customer)).or_default().fold(event, &numbers);

        let (project, kind) = (event.project.unwrap_or(""), event.kind);
        for (grain, start) in [(Grain::Hour, hour_of(event.time)), (Grain::Day, event.time.floor_to(MICROS_PER_DAY))] {
            self.rollups.entry((no, grain, start, project, kind)).or_default().merge(&totals);
        }

        let (quarter, amounts) = (quarter_of(received_at), Amounts::of(event));
        self.received.entry((no, quarter, "")).or_default().add(&amounts);
        if tenant.metered.contains(customer) {
            self.received.entry((no, quarter, customer)).or_default().add(&amounts);
        }
    }

    fn name(&mut self, no: i32, event: &EventView<'b>) {
        let project = event.project.filter(|project| !project.is_empty());
        let names = [
            (Dimension::Type, Some(event.kind)),
            (Dimension::Endpoint, event.endpoint),
            (Dimension::Model, event.usage.model),
            (Dimension::Project, project),
        ];
        self.names.extend(names.into_iter().filter_map(|(dimension, name)| Some((no, dimension, name?))));
    }

    fn activate(&mut self, no: i32, event: &EventView<'b>, day: i32, user: UserNumber) {
        let project = event.project.unwrap_or("");
        for (audience, name) in [(AUDIENCE_ALL, ""), (AUDIENCE_PROJECT, project), (AUDIENCE_TYPE, event.kind)] {
            self.user_days.entry((no, audience, name, day)).or_default().insert(user);
        }
    }
}
