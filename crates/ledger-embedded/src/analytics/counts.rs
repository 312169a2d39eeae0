//! Counting events by type and by user.

use domain::series::{Facet, Symbols};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::UserNumber;
use hashbrown::HashMap;
use ports::PortError;
use tokio_util::sync::CancellationToken;

use super::residuals::scan_residuals;
use super::rows::{Fields, Rows};
use super::scan::{EventScan, is_known, refuse_dropped, scan_segments, scan_unflushed, unflushed_events};
use super::tallies::Tallies;
use crate::core::Core;
use crate::memtable::SharedEvent;
use crate::segment::residuals::{ERASED, ResidualKey};
use crate::state::Snapshot;

/// How often each name occurred, in no order.
pub(super) type Counts = HashMap<String, u64>;

/// Events of one customer, users by number.
#[derive(Debug)]
pub(super) struct CustomerCounts {
    pub(super) types: Counts,
    /// Users with at least as many events as the last one shown, and how many.
    pub(super) users: Vec<(UserNumber, u64)>,
}

/// Counts by type and, if asked for, by user.
#[derive(Debug)]
struct Counter {
    symbols: Symbols,
    types: Vec<u64>,
    users: Tallies,
    /// Only events of this project.
    project: Option<u32>,
}

impl Counter {
    fn new(project: Option<&str>) -> Self {
        let mut symbols = Symbols::new();
        let project = project.map(|project| symbols.number(project));
        Self { symbols, types: Vec::new(), users: Tallies::default(), project }
    }

    fn parts(&mut self) -> (&mut Symbols, impl FnMut(&Rows) -> Result<(), PortError>) {
        let Self { symbols, types, users, project } = self;
        let add = |rows: &Rows| {
            for (row, kind) in rows.facets[Facet::Type as usize].iter().enumerate() {
                let of = rows.facets[Facet::Project as usize].get(row);
                if project.is_some_and(|wanted| of != Some(&wanted)) {
                    continue;
                }
                let kind = *kind as usize;
                if kind >= types.len() {
                    types.resize(kind + 1, 0);
                }
                types[kind] += 1;
            }
            rows.users.iter().flatten().for_each(|user| users.add(*user));
            Ok(())
        };
        (symbols, add)
    }

    fn add_unflushed(&mut self, unflushed: &[SharedEvent], fields: Fields) -> Result<(), PortError> {
        let (symbols, add) = self.parts();
        scan_unflushed(unflushed, fields, symbols, add)
    }

    fn add_segments(
        &mut self,
        snapshot: &Snapshot,
        wanted: &EventScan<'_>,
        cancelled: &CancellationToken,
    ) -> Result<(), PortError> {
        refuse_dropped(snapshot, wanted)?;
        self.add_residuals(snapshot, wanted, cancelled)?;
        let (symbols, add) = self.parts();
        scan_segments(snapshot, wanted, symbols, cancelled, add)
    }

    /// Adds what erased events counted.
    fn add_residuals(
        &mut self,
        snapshot: &Snapshot,
        wanted: &EventScan<'_>,
        cancelled: &CancellationToken,
    ) -> Result<(), PortError> {
        let Self { symbols, types, project, .. } = self;
        // Erased customers are among all of a tenant, and nobody can ask for them by name.
        let is_erased_by_name = |key: &ResidualKey<'_>| wanted.customer.is_some() && key.customer == ERASED;
        scan_residuals(snapshot, wanted, cancelled, |key, totals| {
            let is_of_project = project.is_none_or(|wanted| symbols.number(key.project) == wanted);
            if !is_of_project || is_erased_by_name(key) {
                return Ok(());
            }
            let kind = symbols.number(key.kind) as usize;
            if kind >= types.len() {
                types.resize(kind + 1, 0);
            }
            types[kind] += totals.calls;
            Ok(())
        })
    }

    fn types(&self) -> Counts {
        let counted = self.types.iter().enumerate().filter(|(_, count)| **count > 0);
        let name = |number: usize| self.symbols.text(u32::try_from(number).unwrap_or(u32::MAX)).to_owned();
        counted.map(|(number, count)| (name(number), *count)).collect()
    }
}

impl Core {
    /// What a customer did; `None` for one never seen.
    pub(super) fn count_customer(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
        cancelled: &CancellationToken,
    ) -> Result<Option<CustomerCounts>, PortError> {
        let fields = Fields { users: true, ..Fields::default() }.with(Facet::Type);
        let wanted = EventScan { scope, customer: Some(customer), ranges: &[range], fields };
        let look = |table: &crate::memtable::Memtable| {
            let known = table.group(scope.tenant(), customer).is_some();
            (known, unflushed_events(table, scope, Some(customer), range, |_| true))
        };
        let (snapshot, active) = self.view(look);
        let frozen = snapshot.frozen.as_ref().map(|frozen| look(frozen));
        let mut counter = Counter::new(None);
        let mut known = false;
        for (has_events, events) in [Some(active), frozen].into_iter().flatten() {
            known |= has_events;
            counter.add_unflushed(&events, fields)?;
        }
        counter.add_segments(&snapshot, &wanted, cancelled)?;
        let types = counter.types();
        if types.is_empty() && !known && !is_known(&snapshot, scope, customer)? {
            return Ok(None);
        }
        Ok(Some(CustomerCounts { types, users: leaders(counter.users.counted().collect(), top) }))
    }

    /// Counts by type of the events of a tenant in `ranges`, with those of memtables found before.
    pub(super) fn count_types(
        scope: &TenantScope,
        ranges: &[TimeRange],
        project: Option<&str>,
        snapshot: &Snapshot,
        unflushed: &[SharedEvent],
        cancelled: &CancellationToken,
    ) -> Result<Counts, PortError> {
        let mut counter = Counter::new(project);
        let fields = type_fields(project);
        counter.add_unflushed(unflushed, fields)?;
        for range in ranges {
            let wanted = EventScan { scope, customer: None, ranges: std::slice::from_ref(range), fields };
            counter.add_segments(snapshot, &wanted, cancelled)?;
        }
        Ok(counter.types())
    }
}

fn type_fields(project: Option<&str>) -> Fields {
    let fields = Fields::default().with(Facet::Type);
    if project.is_some() { fields.with(Facet::Project) } else { fields }
}

/// The `top` users with the most events, and all others with as many events as the last of them.
fn leaders(mut users: Vec<(UserNumber, u64)>, top: usize) -> Vec<(UserNumber, u64)> {
    if top == 0 {
        return Vec::new();
    }
    if users.len() > top {
        let (_, (_, least), _) = users.select_nth_unstable_by(top - 1, |left, right| right.1.cmp(&left.1));
        let least = *least;
        users.retain(|(_, count)| *count >= least);
    }
    users
}
