//! The tenants of a bucket by number, as the worker keeps them in memory. New ones are numbered when their first record is
//! applied. What is kept is as the database has it for whoever holds the bucket: nobody else changes it.

use std::collections::BTreeSet;

use domain::calendar::Zone;
use domain::dedup::{IdHasher, TenantIdHasher};
use domain::tenant::TenantId;
use hashbrown::{HashMap, HashSet};
use ports::ErrorKind;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

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
}

/// The tenants that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct Tenants(HashMap<TenantId, Tenant>);

/// What a new tenant gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTenants<'k> {
    pub(crate) bucket: i16,
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
        let missing: BTreeSet<_> = wanted.filter(|tenant| !self.0.contains_key(*tenant)).collect();
        let missing: Vec<_> = missing.into_iter().map(TenantId::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let add = "INSERT INTO tenants (tenant_id, bucket, id_key) SELECT id, $2, $3 FROM unnest($1) id \
                   ON CONFLICT DO NOTHING";
        let key = new.key.as_slice();
        sqlx::query(add).bind(&missing).bind(new.bucket).bind(key).execute(&mut *on).await?;
        let load = "SELECT tenant_id, tenant_no, id_key, users, zone, bucket, \
                    ARRAY(SELECT customer FROM metered_customers m WHERE m.tenant_no = t.tenant_no) \
                    FROM tenants t WHERE tenant_id = ANY($1)";
        for row in sqlx::query(load).bind(&missing).fetch_all(on).await? {
            let (id, tenant) = read(&row, new.bucket)?;
            self.0.insert(id, tenant);
        }
        Ok(())
    }

    /// A tenant that has been resolved.
    pub(crate) fn get(&self, tenant: &TenantId) -> Result<&Tenant, Failure> {
        self.0.get(tenant).ok_or_else(|| gone(tenant))
    }

    pub(crate) fn get_mut(&mut self, tenant: &TenantId) -> Result<&mut Tenant, Failure> {
        self.0.get_mut(tenant).ok_or_else(|| gone(tenant))
    }

    /// The number of a tenant that has been resolved.
    pub(crate) fn no(&self, tenant: &TenantId) -> Result<i32, Failure> {
        Ok(self.get(tenant)?.no)
    }
}

fn gone(tenant: &TenantId) -> Failure {
    Failure::Refused { kind: ErrorKind::Conflict, reason: format!("tenant {tenant} has no number") }
}

fn corrupt(what: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Corrupt, reason: what }
}

fn read(row: &PgRow, bucket: i16) -> Result<(TenantId, Tenant), Failure> {
    let id: String = row.try_get(0)?;
    let tenant = TenantId::parse(&id).map_err(|_| corrupt(format!("a tenant is called {id}")))?;
    let key: Vec<u8> = row.try_get(2)?;
    let key = <[u8; 16]>::try_from(key).map_err(|_| corrupt(format!("the secret of tenant {id} is not 16 bytes")))?;
    let zone: Option<String> = row.try_get(4)?;
    let zone = zone.map(|zone| Zone::parse(&zone).map_err(|_| corrupt(format!("there is no time zone {zone}"))));
    if row.try_get::<i16, _>(5)? != bucket {
        let reason = format!("tenant {id} is in another bucket than {bucket}");
        return Err(Failure::Refused { kind: ErrorKind::Conflict, reason });
    }
    let metered: Vec<String> = row.try_get(6)?;
    let (no, users) = (row.try_get(1)?, row.try_get(3)?);
    let hasher = IdHasher::new(&key).of_tenant(&tenant);
    let metered = metered.into_iter().collect();
    Ok((tenant, Tenant { no, hasher, users, zone: zone.transpose()?, metered }))
}
