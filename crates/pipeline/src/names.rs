//! The cardinality limits: how many distinct types, endpoints, models and projects a tenant may use.
//! Aggregates are broken down by them, so an unlimited number would be unlimited memory (I6).
//!
//! A name counts from the first event that is taken with it; an event that is rejected leaves none
//! behind. One whose append fails, or that turns out to be a duplicate, may: that costs its own
//! tenant one name until the next restart and changes no number. Requests that are checked at the
//! very same instant may exceed a cardinality limit by one name each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::admit::{Dimension, Names};
use domain::limits::Limits;
use domain::tenant::TenantId;
use parking_lot::{RwLock, RwLockReadGuard};

const DIMENSIONS: usize = Dimension::ALL.len();

/// The names in use, by tenant (I5), and the cardinality limit of each dimension.
#[derive(Debug)]
pub(crate) struct KnownNames {
    limits: [usize; DIMENSIONS],
    tenants: RwLock<HashMap<TenantId, Arc<TenantNames>>>,
}

/// The names of one tenant, by dimension.
#[derive(Debug, Default)]
pub(crate) struct TenantNames {
    known: RwLock<[HashSet<Box<str>>; DIMENSIONS]>,
}

impl KnownNames {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: Dimension::ALL.map(|dimension| dimension.limit(limits)), tenants: RwLock::default() }
    }

    /// Adds names that are in use already, even over the cardinality limit.
    pub(crate) fn resume(&self, names: Vec<(TenantId, Dimension, String)>) {
        for (tenant, dimension, name) in names {
            self.of(&tenant).known.write()[dimension as usize].insert(name.into_boxed_str());
        }
    }

    /// The names of one tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<TenantNames> {
        if let Some(names) = self.tenants.read().get(tenant) {
            return Arc::clone(names);
        }
        Arc::clone(self.tenants.write().entry(tenant.clone()).or_default())
    }

    /// Begins to hold the events of one request to the cardinality limits of its tenant.
    pub(crate) fn begin_check<'n>(&self, tenant: &'n TenantNames) -> CardinalityCheck<'n> {
        CardinalityCheck { limits: self.limits, tenant, known: tenant.known.read(), new: Vec::new() }
    }
}

/// Holds the events of one request to the cardinality limits of its tenant. Locks the tenant's names, so it
/// is not to be held across an await.
pub(crate) struct CardinalityCheck<'n> {
    limits: [usize; DIMENSIONS],
    tenant: &'n TenantNames,
    known: RwLockReadGuard<'n, [HashSet<Box<str>>; DIMENSIONS]>,
    /// New names of the event that is being decided.
    new: Vec<(Dimension, Box<str>)>,
}

impl Names for CardinalityCheck<'_> {
    fn admit(&mut self, dimension: Dimension, name: &str) -> bool {
        let known = &self.known[dimension as usize];
        if known.contains(name) {
            return true;
        }
        let room = known.len() < self.limits[dimension as usize];
        if room {
            self.new.push((dimension, name.into()));
        }
        room
    }
}

impl CardinalityCheck<'_> {
    /// Ends an event: its new names become known if it was taken, and are forgotten if not.
    pub(crate) fn decided(&mut self, taken: bool) {
        if taken && !self.new.is_empty() {
            let Self { tenant, known, new, .. } = self;
            RwLockReadGuard::unlocked(known, || {
                let mut known = tenant.known.write();
                for (dimension, name) in new.drain(..) {
                    known[dimension as usize].insert(name);
                }
            });
        }
        self.new.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> KnownNames {
        KnownNames::new(&Limits { types_max: 2, endpoints_max: 1, ..Limits::default() })
    }

    fn take(names: &KnownNames, tenant: &TenantId, wanted: &[(Dimension, &str)]) -> bool {
        let tenant = names.of(tenant);
        let mut check = names.begin_check(&tenant);
        let taken = wanted.iter().all(|(dimension, name)| check.admit(*dimension, name));
        check.decided(taken);
        taken
    }

    #[test]
    fn i6_a_tenant_uses_as_many_names_as_its_limit_and_no_more() {
        let (names, tenant) = (names(), TenantId::default_tenant());
        for (name, taken) in [("a", true), ("b", true), ("c", false), ("a", true)] {
            assert_eq!(take(&names, &tenant, &[(Dimension::Type, name)]), taken, "{name}");
        }
    }

    #[test]
    fn i4_a_rejected_event_leaves_no_name_behind() {
        let (names, tenant) = (names(), TenantId::default_tenant());
        assert!(take(&names, &tenant, &[(Dimension::Endpoint, "/one")]));
        for name in ["a", "b", "c", "d"] {
            assert!(!take(&names, &tenant, &[(Dimension::Type, name), (Dimension::Endpoint, "/two")]));
        }
        assert!(take(&names, &tenant, &[(Dimension::Type, "e")]));
    }

    #[test]
    fn i5_one_tenants_names_do_not_count_for_another() {
        let names = names();
        for tenant in ["one", "two", "three"] {
            let tenant = TenantId::parse(tenant).unwrap_or_else(|_| TenantId::default_tenant());
            assert!(take(&names, &tenant, &[(Dimension::Endpoint, tenant.as_str())]));
            assert!(!take(&names, &tenant, &[(Dimension::Endpoint, "/more")]));
        }
    }

    #[test]
    fn names_in_use_before_a_restart_stay_usable_over_the_limit() {
        let (names, tenant) = (names(), TenantId::default_tenant());
        names.resume(["a", "b", "c"].map(|name| (tenant.clone(), Dimension::Type, name.to_owned())).to_vec());
        for (name, taken) in [("a", true), ("c", true), ("d", false)] {
            assert_eq!(take(&names, &tenant, &[(Dimension::Type, name)]), taken, "{name}");
        }
    }
}
