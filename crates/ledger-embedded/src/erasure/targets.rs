//! What is to go from one segment: looked up by tenant, then by customer and user. A customer comes before a user,
//! since of an event that both cover neither name may stay.

use arrow::record_batch::RecordBatch;
use domain::erasure::SubjectKind;
use domain::position::Seq;
use domain::time::TimeRange;
use hashbrown::HashMap;
use parquet::errors::Result as ParquetResult;
use ports::PortError;
use ports::manifest::StoredErasure;

use crate::segment::columns::{Columns, text_at};
use crate::segment::grain::Grain;
use crate::segment::{KeyRange, ParquetFile, Segment, corrupt};

/// What goes of one tenant, each with its place among the erasures.
#[derive(Debug, Default)]
pub(super) struct TenantTargets<'e> {
    pub(super) whole: Option<usize>,
    pub(super) customers: HashMap<&'e str, usize>,
    pub(super) users: HashMap<&'e str, usize>,
}

/// What goes, by tenant.
#[derive(Debug, Default)]
pub(super) struct Targets<'e> {
    by_tenant: HashMap<&'e str, TenantTargets<'e>>,
    pub(super) erasures: usize,
}

impl TenantTargets<'_> {
    /// The erasure that removes what is kept of a customer.
    pub(super) fn of_customer(&self, customer: &str) -> Option<usize> {
        self.whole.or_else(|| self.customers.get(customer).copied())
    }

    /// The erasure that removes an event.
    pub(super) fn removing(&self, customer: &str, user: Option<&str>) -> Option<usize> {
        self.of_customer(customer).or_else(|| self.users.get(user?).copied())
    }
}

impl TenantTargets<'_> {
    /// Whether `may_hold` anything of the customers that go, or of the whole tenant if that goes.
    fn takes_customer_of(&self, tenant: &str, may_hold: impl Fn(&KeyRange<'_>) -> bool) -> bool {
        let all = all_of(tenant);
        let of_customer = |customer: &&str| may_hold(&KeyRange { customer: Some(*customer), ..all });
        if self.whole.is_some() { may_hold(&all) } else { self.customers.keys().any(of_customer) }
    }

    /// Whether a batch of events with tenant and user has any of the users that go.
    fn has_user_in(&self, tenant: &str, batch: &RecordBatch) -> ParquetResult<bool> {
        let columns = Columns(batch);
        let (tenants, users) = (columns.texts("tenant")?, columns.texts("user")?);
        let is_user = |row: usize| {
            text_at(users, row).is_some_and(|user| self.users.contains_key(user)) && tenants.value(row) == tenant
        };
        Ok((0..batch.num_rows()).any(is_user))
    }
}

/// All rows of a tenant.
const fn all_of(tenant: &str) -> KeyRange<'_> {
    KeyRange { tenant, grain: None, customer: None, from_customer: None, range: TimeRange::ALL }
}

impl<'e> Targets<'e> {
    /// What erasures cover of the records up to `last`.
    pub(super) fn covering(erasures: &'e [StoredErasure], last: Seq) -> Self {
        let mut targets = Self { erasures: erasures.len(), ..Self::default() };
        for (at, stored) in erasures.iter().enumerate() {
            let Some(subject) = stored.subject.as_deref().filter(|_| last <= stored.erasure.through) else { continue };
            let tenant = targets.by_tenant.entry(stored.tenant.as_str()).or_default();
            match stored.erasure.kind {
                SubjectKind::Workspace => {
                    tenant.whole.get_or_insert(at);
                }
                SubjectKind::Customer => {
                    tenant.customers.entry(subject).or_insert(at);
                }
                SubjectKind::User => {
                    tenant.users.entry(subject).or_insert(at);
                }
            }
        }
        targets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_tenant.is_empty()
    }

    /// The tenants that go whole.
    pub(super) fn whole(&self) -> impl Iterator<Item = &'e str> {
        self.by_tenant.iter().filter(|(_, targets)| targets.whole.is_some()).map(|(tenant, _)| *tenant)
    }

    pub(super) fn of(&self, tenant: &str) -> Option<&TenantTargets<'e>> {
        self.by_tenant.get(tenant)
    }

    /// Whether any of it takes away more than events of users: sums of customers too.
    pub(super) fn take_customers(&self) -> bool {
        self.by_tenant.values().any(|tenant| tenant.whole.is_some() || !tenant.customers.is_empty())
    }

    /// Whether a row group of events holds any of it, or may.
    pub(super) fn touch_events(&self, file: &ParquetFile, group: usize) -> ParquetResult<bool> {
        for (tenant, targets) in &self.by_tenant {
            if targets.takes_customer_of(tenant, |range| file.may_hold(group, range)) {
                return Ok(true);
            }
            if targets.users.is_empty() || !file.may_hold(group, &all_of(tenant)) {
                continue;
            }
            for batch in file.scan_group(group, &["tenant", "user"])? {
                if targets.has_user_in(tenant, &batch?)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a row group of sums may hold any of it.
    pub(super) fn touch_sums(&self, file: &ParquetFile, group: usize) -> bool {
        let may_hold = |range: &KeyRange<'_>| file.may_hold(group, range);
        self.by_tenant.iter().any(|(tenant, targets)| targets.takes_customer_of(tenant, may_hold))
    }

    /// Whether a segment holds any of it.
    pub(super) fn touch(&self, segment: &Segment) -> Result<bool, PortError> {
        self.found_in(segment).map_err(|why| corrupt(&segment.meta().id, why))
    }

    fn found_in(&self, segment: &Segment) -> ParquetResult<bool> {
        for (tenant, targets) in &self.by_tenant {
            let keys = all_of(tenant);
            let totals = KeyRange { grain: Some(Grain::Total), ..keys };
            let columns = ["tenant", "customer"];
            let is_customer =
                |row_tenant: &str, customer: &str| row_tenant == *tenant && targets.of_customer(customer).is_some();
            // A segment has sums of every customer that has, or had, events in it.
            let takes_customers = targets.whole.is_some() || !targets.customers.is_empty();
            let of_customers = [
                takes_customers.then(|| segment.sums().select(&totals, &columns)),
                segment.residuals().filter(|_| takes_customers).map(|file| file.select(&keys, &columns)),
            ];
            for batches in of_customers.into_iter().flatten() {
                for batch in batches? {
                    let batch = batch?;
                    let columns = Columns(&batch);
                    let (tenants, customers) = (columns.texts("tenant")?, columns.texts("customer")?);
                    if (0..batch.num_rows()).any(|row| is_customer(tenants.value(row), customers.value(row))) {
                        return Ok(true);
                    }
                }
            }
            let Some(file) = segment.events().filter(|_| !targets.users.is_empty()) else { continue };
            for batch in file.select(&keys, &["tenant", "user"])? {
                if targets.has_user_in(tenant, &batch?)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
