//! How a tenant's users are counted: how many are numbered, and in which zone their days are.

use domain::calendar::Zone;
use domain::tenant::TenantId;
use ports::active_users::VersionedZone;
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect};
use sqlite::{Failure, Seal, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_users")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) users: i64,
    pub(crate) zone: Option<String>,
    pub(crate) seal: i64,
    pub(crate) zone_version: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a tenant without users and without a zone of its own; sealed when it is stored.
    pub(crate) fn new(tenant: &TenantId) -> Self {
        Self { tenant: tenant.as_str().to_owned(), users: 0, zone: None, seal: 0, zone_version: 0 }
    }

    /// This row with a seal that fits it.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        self.seal = self.expected_seal();
        self
    }

    /// This row, if it is what was written.
    pub(crate) fn verified(self) -> Result<Self, Failure> {
        if self.seal != self.expected_seal() {
            return Err(broken(&self.tenant));
        }
        Ok(self)
    }

    pub(crate) fn tenant(&self) -> Result<TenantId, Failure> {
        tenant_id(&self.tenant)
    }

    /// How many users are numbered, from 0 on.
    pub(crate) fn count(&self) -> Result<u32, Failure> {
        u32::try_from(self.users).map_err(|_| Failure::corrupt(format!("a tenant has {} users", self.users)))
    }

    /// The zone that the tenant's days are counted in, if one was ever applied.
    pub(crate) fn zone(&self) -> Result<Option<VersionedZone>, Failure> {
        let Some(zone) = self.zone.as_deref().map(parse_zone).transpose()? else { return Ok(None) };
        Ok(Some(VersionedZone { zone, version: unsigned("zone_version", self.zone_version)? }))
    }

    /// Counts the tenant's days in this zone.
    pub(crate) fn set_zone(&mut self, applied: &VersionedZone) -> Result<(), Failure> {
        self.zone = Some(applied.zone.name().to_owned());
        self.zone_version = signed("zone_version", applied.version)?;
        Ok(())
    }

    fn expected_seal(&self) -> i64 {
        seal_of_format_2(&self.tenant, self.users, self.zone.as_deref()).int(self.zone_version).value()
    }
}

fn seal_of_format_2(tenant: &str, users: i64, zone: Option<&str>) -> Seal {
    let own = Seal::default().bytes(tenant.as_bytes()).int(users).int(i64::from(zone.is_some()));
    own.bytes(zone.unwrap_or_default().as_bytes())
}

fn parse_zone(name: &str) -> Result<Zone, Failure> {
    Zone::parse(name).map_err(|_| Failure::unacceptable(format!("this program knows no time zone {name:?}")))
}

/// Takes the version of the zone into the seals of rows of format 2, whose seals have to be whole.
pub(crate) async fn seal_versions(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    for row in Entity::find().all(connection).await? {
        if row.seal != seal_of_format_2(&row.tenant, row.users, row.zone.as_deref()).value() {
            return Err(DbErr::Migration(broken(&row.tenant).to_string()));
        }
        row.sealed().into_active_model().reset_all().update(connection).await?;
    }
    Ok(())
}

/// The zones in a file of format 2.
pub(crate) async fn zones_of_format_2(connection: &impl ConnectionTrait) -> Result<Vec<(TenantId, Zone)>, Failure> {
    let columns = [Column::Tenant, Column::Users, Column::Zone, Column::Seal];
    let rows = Entity::find().select_only().columns(columns).order_by_asc(Column::Tenant);
    let mut zones = Vec::new();
    for (tenant, users, zone, seal) in rows.into_tuple::<(String, i64, Option<String>, i64)>().all(connection).await? {
        if seal != seal_of_format_2(&tenant, users, zone.as_deref()).value() {
            return Err(broken(&tenant));
        }
        if let Some(zone) = zone {
            zones.push((tenant_id(&tenant)?, parse_zone(&zone)?));
        }
    }
    Ok(zones)
}

fn broken(tenant: &str) -> Failure {
    Failure::corrupt(format!("the seal of the users of tenant {tenant:?} is broken"))
}
