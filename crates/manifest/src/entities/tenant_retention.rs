//! How far retention reaches for tenants that have had their own.

use std::time::Duration;

use domain::retention::RetentionWait;
use domain::time::Timestamp;
use ports::manifest::TenantRetention;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_retention")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) floor_us: i64,
    pub(crate) wait_floor_us: i64,
    pub(crate) waited_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a tenant.
    pub(crate) fn new(one: &TenantRetention) -> Self {
        let row = Self {
            tenant: one.tenant.as_str().to_owned(),
            floor_us: one.floor.micros(),
            wait_floor_us: one.wait.floor.micros(),
            waited_us: i64::try_from(one.wait.waited.as_micros()).unwrap_or(i64::MAX),
            seal: 0,
        };
        Self { seal: row.expected_seal(), ..row }
    }

    /// What it says, if it is what was written.
    pub(crate) fn into_retention(self) -> Result<TenantRetention, Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt(format!("the retention of tenant {:?} is damaged", self.tenant)));
        }
        let waited = Duration::from_micros(unsigned("waited_us", self.waited_us)?);
        let wait = RetentionWait { floor: Timestamp::from_micros(self.wait_floor_us), waited };
        Ok(TenantRetention { tenant: tenant_id(&self.tenant)?, floor: Timestamp::from_micros(self.floor_us), wait })
    }

    fn expected_seal(&self) -> i64 {
        let tenant = Seal::default().bytes(self.tenant.as_bytes());
        [self.floor_us, self.wait_floor_us, self.waited_us].into_iter().fold(tenant, Seal::int).value()
    }
}
