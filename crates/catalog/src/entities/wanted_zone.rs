//! The zones that tenants want their days to be counted in.

use domain::calendar::Zone;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::active_users::VersionedZone;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wanted_zone")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) zone: String,
    pub(crate) version: i64,
    pub(crate) updated_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of the zone that a tenant wants.
    pub(crate) fn new(tenant: &TenantId, wanted: &VersionedZone, now: Timestamp) -> Result<Self, Failure> {
        let mut row = Self {
            tenant: tenant.as_str().to_owned(),
            zone: wanted.zone.name().to_owned(),
            version: signed("version", wanted.version)?,
            updated_us: now.micros(),
            seal: 0,
        };
        row.seal = row.expected_seal();
        Ok(row)
    }

    /// The zone, if it is what was written.
    pub(crate) fn into_zone(self) -> Result<(TenantId, VersionedZone), Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt(format!("the zone of tenant {:?} is damaged", self.tenant)));
        }
        let unknown = |_| Failure::unacceptable(format!("this program knows no time zone {:?}", self.zone));
        let zone = Zone::parse(&self.zone).map_err(unknown)?;
        Ok((tenant_id(&self.tenant)?, VersionedZone { zone, version: unsigned("version", self.version)? }))
    }

    fn expected_seal(&self) -> i64 {
        let texts = Seal::default().bytes(self.tenant.as_bytes()).bytes(self.zone.as_bytes());
        texts.int(self.version).int(self.updated_us).value()
    }
}
