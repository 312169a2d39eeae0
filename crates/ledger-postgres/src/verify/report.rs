//! Whose rows are compared, how many were, and what differs.

use std::collections::BTreeMap;
use std::fmt::Debug;

use domain::calendar::Calendar;
use domain::dedup::{IdHasher, TenantIdHasher};
use domain::invariant::Invariant;
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use hashbrown::HashSet;
use ports::ErrorKind;
use ports::verification::{Difference, VerifySummary};
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::state::zone;
use crate::types::{Instant, unsigned};

/// A tenant as it is stored.
#[derive(Debug)]
pub(super) struct VerifiedTenant {
    pub(super) name: String,
    pub(super) bucket: i16,
    pub(super) hasher: TenantIdHasher,
    /// Raw events before it may be gone.
    pub(super) floor: Timestamp,
    /// How its days are counted.
    pub(super) calendar: Calendar,
    pub(super) users: i32,
    /// What was received is counted of records after this one.
    pub(super) received_after: Seq,
    /// How many events were erased.
    pub(super) erased: u64,
    /// The customers that are counted by receive time.
    pub(super) metered: HashSet<String>,
}

impl VerifiedTenant {
    /// Whether raw events still give what begins at `start`.
    pub(super) fn is_whole_from(&self, start: Timestamp) -> bool {
        self.has_all() || start >= self.floor
    }

    /// Whether it has all of its raw events, but for those that residuals count.
    pub(super) fn has_all(&self) -> bool {
        self.floor == Timestamp::MIN
    }

    /// Whether it has every raw event that was ever counted.
    pub(super) fn has_every(&self) -> bool {
        self.has_all() && self.erased == 0
    }
}

/// The tenants by number.
pub(super) type VerifiedTenants = BTreeMap<i32, VerifiedTenant>;

/// Reads all tenants.
pub(super) async fn tenants(on: &mut PgConnection) -> Result<VerifiedTenants, Failure> {
    let sql = "SELECT tenant_no, tenant_id, bucket, id_key, raw_floor, users, zone, zone_version, \
               ARRAY(SELECT customer FROM metered_customers m WHERE m.tenant_no = t.tenant_no), \
               received_after, coalesce((SELECT sum(events)::int8 FROM erasures e WHERE e.tenant_no = t.tenant_no), 0) \
               FROM tenants t";
    let mut tenants = BTreeMap::new();
    for row in sqlx::query(sql).fetch_all(on).await? {
        let (id, key, Instant(floor)): (String, Vec<u8>, _) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
        let corrupt = |reason| Failure::Refused { kind: ErrorKind::Corrupt, reason };
        let key = <[u8; 16]>::try_from(key);
        let key = key.map_err(|_| corrupt(format!("the secret of tenant {id} is not 16 bytes")))?;
        let parsed = TenantId::parse(&id).map_err(|_| corrupt(format!("a tenant is called {id:?}")))?;
        let metered: Vec<String> = row.try_get(8)?;
        let tenant = VerifiedTenant {
            hasher: IdHasher::new(&key).of_tenant(&parsed),
            name: id,
            bucket: row.try_get(2)?,
            floor,
            calendar: Calendar { zone: zone(&row, 6)?.zone, ..Calendar::utc() },
            users: row.try_get(5)?,
            received_after: Seq(unsigned(row.try_get(9)?)),
            erased: unsigned(row.try_get(10)?),
            metered: metered.into_iter().collect(),
        };
        tenants.insert(row.try_get(0)?, tenant);
    }
    Ok(tenants)
}

/// What a row is the sum of.
pub(super) trait Subject: Ord {
    /// Whose it is.
    fn tenant_no(&self) -> i32;

    /// Whether raw events still give it.
    fn is_whole(&self, tenant: &VerifiedTenant) -> bool;

    /// What it is called behind its tenant.
    fn name(&self) -> String;

    /// The number of those that were compared; none where they are not told apart.
    fn count(_summary: &mut VerifySummary) -> Option<&mut u64> {
        None
    }
}

/// Counts what is compared and hands out differences.
pub(super) struct Report<'r> {
    pub(super) tenants: VerifiedTenants,
    pub(super) summary: VerifySummary,
    on_difference: &'r mut (dyn FnMut(&Difference) + Send),
}

impl<'r> Report<'r> {
    pub(super) fn new(tenants: VerifiedTenants, on_difference: &'r mut (dyn FnMut(&Difference) + Send)) -> Self {
        Self { tenants, summary: VerifySummary::default(), on_difference }
    }

    /// Tells one difference.
    pub(super) fn differs(&mut self, invariant: Invariant, subject: String, expected: String, found: String) {
        self.summary.differences += 1;
        (self.on_difference)(&Difference { invariant, subject, expected, found });
    }

    /// What a row of a tenant is called.
    pub(super) fn name(&self, tenant_no: i32, what: &str) -> String {
        match self.tenants.get(&tenant_no) {
            Some(tenant) => format!("tenant {} {what}", tenant.name),
            None => format!("tenant number {tenant_no}, which is nobody's, {what}"),
        }
    }

    /// Compares what raw events give under a key with what is stored there.
    pub(super) fn compare<K: Subject, V: PartialEq + Debug>(
        &mut self,
        key: &K,
        expected: Option<&V>,
        found: Option<&V>,
    ) {
        if self.tenants.get(&key.tenant_no()).is_some_and(|tenant| !key.is_whole(tenant)) {
            return;
        }
        if let Some(count) = K::count(&mut self.summary) {
            *count += u64::from(expected.is_some());
        }
        if expected == found {
            return;
        }
        let invariant = if expected.is_some() { Invariant::OneTruth } else { Invariant::NoPhantom };
        let show = |sum: Option<&V>| sum.map_or_else(|| "nothing".to_owned(), |sum| format!("{sum:?}"));
        self.differs(invariant, self.name(key.tenant_no(), &key.name()), show(expected), show(found));
    }
}
