//! What the ledger answers without asking the server: as of the last commit of this process.

use std::collections::BTreeSet;

use domain::admit::Dimension;
use domain::calendar::Zone;
use domain::dedup::TenantIdHasher;
use domain::tenant::TenantId;
use hashbrown::HashMap;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
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

/// A name that a tenant uses.
pub(crate) type Name = (TenantId, Dimension, String);

/// What is known.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) progress: Progress,
    pub(crate) tenants: HashMap<TenantId, KnownTenant>,
    pub(crate) names: BTreeSet<Name>,
    /// The zones that tenants have chosen.
    pub(crate) zones: HashMap<TenantId, VersionedZone>,
    /// Why this process can write nothing any more.
    pub(crate) failure: Option<ErrorKind>,
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
