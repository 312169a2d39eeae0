//! What the ledger answers without asking the server: as of the last commit of this process.

use std::collections::BTreeSet;

use domain::admit::Dimension;
use domain::calendar::Zone;
use domain::dedup::{IdHasher, TenantIdHasher};
use domain::position::Seq;
use domain::tenant::TenantId;
use hashbrown::HashMap;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
use ports::erasures::{KnownErasures, StoredErasure};
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::bucket::Progress;
use crate::types::unsigned;
use crate::users::code;

/// How a tenant's rows are found.
#[derive(Debug, Clone)]
pub(crate) struct KnownTenant {
    pub(crate) no: i32,
    pub(crate) hasher: TenantIdHasher,
}

impl KnownTenant {
    /// A tenant with this number and this secret.
    pub(crate) fn new(tenant: &TenantId, no: i32, key: Vec<u8>) -> Result<Self, Failure> {
        let key = <[u8; 16]>::try_from(key).map_err(|_| {
            let reason = format!("the secret of tenant {tenant} is not 16 bytes");
            Failure::Refused { kind: ErrorKind::Corrupt, reason }
        })?;
        Ok(Self { no, hasher: IdHasher::new(&key).of_tenant(tenant) })
    }
}

/// A name that a tenant uses.
pub(crate) type Name = (TenantId, Dimension, String);

/// What is known.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) progress: Progress,
    /// The last record whose effects are visible.
    pub(crate) applied: Seq,
    pub(crate) tenants: HashMap<TenantId, KnownTenant>,
    pub(crate) names: BTreeSet<Name>,
    /// The zones that tenants have chosen.
    pub(crate) zones: HashMap<TenantId, VersionedZone>,
    pub(crate) erasures: KnownErasures,
    /// Where texts of finished erasures may stand still.
    pub(crate) remains: Vec<String>,
    /// Why this process can write nothing any more.
    pub(crate) failure: Option<ErrorKind>,
    /// Why the server could not be reached the last time that the lease was to be renewed, if it could not.
    pub(crate) outage: Option<String>,
}

impl State {
    /// Takes erasures as they are stored, with their tenants.
    pub(crate) fn follow_erasures(&mut self, stored: Vec<(StoredErasure, KnownTenant)>) {
        let (erasures, tenants): (Vec<_>, Vec<_>) = stored.into_iter().unzip();
        self.erasures.follow(&erasures);
        self.tenants.extend(erasures.into_iter().map(|erasure| erasure.tenant).zip(tenants));
    }

    /// Whether an erasure refuses later events of a customer or a user.
    pub(crate) fn refuses(&self, tenant: &TenantId, customer: Option<&str>, user: Option<&str>) -> bool {
        let known = self.erasures.refused_of(tenant).zip(self.tenants.get(tenant));
        known.is_some_and(|(refused, KnownTenant { hasher, .. })| {
            refused.refuse(customer.map(|name| hasher.hash(name)), user.map(|name| hasher.hash(name)))
        })
    }

    /// Whether nothing of a customer may be counted apart, because it is being erased or all of the tenant is.
    pub(crate) fn is_being_erased(&self, tenant: &TenantId, customer: &str) -> bool {
        let known = self.tenants.get(tenant);
        known.is_some_and(|known| self.erasures.keep_from_metering(tenant, known.hasher.hash(customer)))
    }
}

/// All names of all tenants.
pub(crate) async fn load_names(on: &mut PgConnection) -> Result<BTreeSet<Name>, Failure> {
    let sql = "SELECT t.tenant_id, n.dimension, n.name FROM names n JOIN tenants t ON t.tenant_no = n.tenant_no";
    let mut names = BTreeSet::new();
    for row in sqlx::query(sql).fetch_all(on).await? {
        let (tenant, dimension): (String, i16) = (row.try_get(0)?, row.try_get(1)?);
        let dimension = Dimension::ALL.into_iter().find(|known| code(*known) == dimension);
        // A dimension of a newer program limits nothing here.
        if let (Ok(tenant), Some(dimension)) = (TenantId::parse(&tenant), dimension) {
            names.insert((tenant, dimension, row.try_get(2)?));
        }
    }
    Ok(names)
}

/// The zones of all tenants that have chosen one.
pub(crate) async fn load_zones(on: &mut PgConnection) -> Result<HashMap<TenantId, VersionedZone>, Failure> {
    let sql = "SELECT zone, zone_version, tenant_id FROM tenants WHERE zone_version > 0";
    let mut zones = HashMap::new();
    for row in sqlx::query(sql).fetch_all(on).await? {
        if let Ok(tenant) = TenantId::parse(row.try_get(2)?) {
            zones.insert(tenant, zone(&row, 0)?);
        }
    }
    Ok(zones)
}

/// The zone in the column `at`, with its version in the one behind it.
pub(crate) fn zone(row: &PgRow, at: usize) -> Result<VersionedZone, sqlx::Error> {
    let (name, version): (Option<&str>, i64) = (row.try_get(at)?, row.try_get(at + 1)?);
    let zone = name.map_or_else(|| Ok(Zone::utc()), Zone::parse);
    Ok(VersionedZone { zone: zone.map_err(|why| sqlx::Error::Decode(why.into()))?, version: unsigned(version) })
}
