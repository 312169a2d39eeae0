//! The tenants of the buckets by number, as the worker keeps them in memory. New ones are numbered when their first record is
//! applied. What is kept is as the database has it for whoever holds their buckets: nobody else changes it.

use std::collections::BTreeSet;

use domain::bucket::BucketCount;
use domain::calendar::Zone;
use domain::dedup::{IdHash, IdHasher, TenantIdHasher};
use domain::tenant::TenantId;
use hashbrown::{HashMap, HashSet};
use ports::ErrorKind;
use ports::erasures::RefusedSubjects;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::types::{Uuid, erasure_kind};

/// The number of no tenant: entries of ids have it of which nobody can tell whose they are.
pub(crate) const NOBODY: i32 = 0;

/// A tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) no: i32,
    /// Hashes its ids and the names of its users.
    pub(crate) hasher: TenantIdHasher,
    /// How many users are numbered.
    pub(crate) users: i32,
    /// The zone that its days are counted in; none is UTC.
    pub(crate) zone: Option<Zone>,
    /// The customers that are counted by receive time.
    pub(crate) metered: HashSet<String>,
    pub(crate) bucket: i16,
    /// Whom its erasures refuse.
    refused: RefusedSubjects,
}

impl Tenant {
    /// Whether an erasure refuses events of this customer or user that come later.
    pub(crate) fn refuses(&self, customer: Option<&str>, user: Option<&str>) -> bool {
        let hash = |name| self.hasher.hash(name);
        self.refused != RefusedSubjects::default() && self.refused.refuse(customer.map(hash), user.map(hash))
    }
}

/// The tenants that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_id: HashMap<TenantId, Tenant>,
    /// By number.
    buckets: HashMap<i32, i16>,
}

/// What a new tenant gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTenants<'k> {
    pub(crate) buckets: BucketCount,
    pub(crate) key: &'k [u8; 16],
}

impl Tenants {
    /// Sees to it that these tenants are known, and numbers those that are new.
    pub(crate) async fn resolve(
        &mut self,
        on: &mut PgConnection,
        wanted: impl Iterator<Item = &TenantId>,
        new: NewTenants<'_>,
    ) -> Result<(), Failure> {
        // In one order, since others number tenants of their buckets at the same time.
        let missing: BTreeSet<_> = wanted.filter(|tenant| !self.by_id.contains_key(*tenant)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        add(on, missing.iter().copied(), new).await?;
        let missing: Vec<_> = missing.into_iter().map(TenantId::as_str).collect();
        let load = "SELECT tenant_id, tenant_no, id_key, users, zone, bucket, \
                    ARRAY(SELECT customer FROM metered_customers m WHERE m.tenant_no = t.tenant_no), \
                    ARRAY(SELECT kind FROM erasures e WHERE e.tenant_no = t.tenant_no AND (blocks OR kind = 2) ORDER BY number), \
                    ARRAY(SELECT subject_hash FROM erasures e WHERE e.tenant_no = t.tenant_no AND (blocks OR kind = 2) \
                    ORDER BY number) \
                    FROM tenants t WHERE tenant_id = ANY($1)";
        for row in sqlx::query(load).bind(&missing).fetch_all(on).await? {
            let (id, tenant) = read(&row, new.buckets)?;
            self.buckets.insert(tenant.no, tenant.bucket);
            self.by_id.insert(id, tenant);
        }
        Ok(())
    }

    /// A tenant that has been resolved.
    pub(crate) fn get(&self, tenant: &TenantId) -> Result<&Tenant, Failure> {
        self.by_id.get(tenant).ok_or_else(|| gone(tenant))
    }

    pub(crate) fn get_mut(&mut self, tenant: &TenantId) -> Result<&mut Tenant, Failure> {
        self.by_id.get_mut(tenant).ok_or_else(|| gone(tenant))
    }

    /// The bucket of a tenant that has been resolved, by its number.
    pub(crate) fn bucket(&self, no: i32) -> Result<i16, Failure> {
        let bucket = self.buckets.get(&no).copied();
        bucket.ok_or_else(|| corrupt(format!("no tenant has the number {no}")))
    }

    /// The number of a tenant that has been resolved.
    pub(crate) fn no(&self, tenant: &TenantId) -> Result<i32, Failure> {
        Ok(self.get(tenant)?.no)
    }
}

/// Numbers those of these tenants that have no number yet, in their order.
pub(crate) async fn add(
    on: &mut PgConnection,
    tenants: impl Iterator<Item = &TenantId>,
    new: NewTenants<'_>,
) -> Result<(), Failure> {
    let place = |tenant: &TenantId| (tenant.as_str().to_owned(), new.buckets.bucket_of(tenant).cast_signed());
    let (ids, buckets): (Vec<_>, Vec<_>) = tenants.map(place).unzip();
    let add = "INSERT INTO tenants (tenant_id, bucket, id_key, raw_floor) SELECT k.tenant_id, k.bucket, $3, l.raw_floor \
               FROM unnest($1::text[], $2::int2[]) AS k(tenant_id, bucket), ledger l ON CONFLICT DO NOTHING";
    sqlx::query(add).bind(&ids).bind(buckets).bind(new.key.as_slice()).execute(on).await?;
    Ok(())
}

fn gone(tenant: &TenantId) -> Failure {
    Failure::Refused { kind: ErrorKind::Conflict, reason: format!("tenant {tenant} has no number") }
}

fn corrupt(what: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Corrupt, reason: what }
}

fn read(row: &PgRow, buckets: BucketCount) -> Result<(TenantId, Tenant), Failure> {
    let id: String = row.try_get(0)?;
    let tenant = TenantId::parse(&id).map_err(|_| corrupt(format!("a tenant is called {id}")))?;
    let key: Vec<u8> = row.try_get(2)?;
    let key = <[u8; 16]>::try_from(key).map_err(|_| corrupt(format!("the secret of tenant {id} is not 16 bytes")))?;
    let zone: Option<String> = row.try_get(4)?;
    let zone = zone.map(|zone| Zone::parse(&zone).map_err(|_| corrupt(format!("there is no time zone {zone}"))));
    let bucket = buckets.bucket_of(&tenant).cast_signed();
    if row.try_get::<i16, _>(5)? != bucket {
        return Err(corrupt(format!("tenant {id} is in another bucket than {bucket}")));
    }
    let metered: Vec<String> = row.try_get(6)?;
    let (no, users) = (row.try_get(1)?, row.try_get(3)?);
    let hasher = IdHasher::new(&key).of_tenant(&tenant);
    let metered = metered.into_iter().collect();
    let mut refused = RefusedSubjects::default();
    for (kind, hash) in row.try_get::<Vec<i16>, _>(7)?.into_iter().zip(row.try_get::<Vec<Uuid>, _>(8)?) {
        refused.add(erasure_kind(kind)?, IdHash(hash.0));
    }
    Ok((tenant, Tenant { no, hasher, users, zone: zone.transpose()?, metered, bucket, refused }))
}
