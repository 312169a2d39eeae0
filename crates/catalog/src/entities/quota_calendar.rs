//! The periods of quotas that the last change of the zone found under way.

use domain::quota::CarriedPeriods;
use domain::tenant::TenantId;
use domain::time::{TimeRange, Timestamp};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, tenant_id};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota_calendar")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) day_from_us: i64,
    pub(crate) day_to_us: i64,
    pub(crate) month_from_us: i64,
    pub(crate) month_to_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a tenant.
    pub(crate) fn new(tenant: &TenantId, carried: &CarriedPeriods) -> Self {
        let CarriedPeriods { day, month } = carried;
        let row = Self {
            tenant: tenant.as_str().to_owned(),
            day_from_us: day.from().micros(),
            day_to_us: day.to().micros(),
            month_from_us: month.from().micros(),
            month_to_us: month.to().micros(),
            seal: 0,
        };
        Self { seal: row.expected_seal(), ..row }
    }

    /// The periods, if they are what was written.
    pub(crate) fn into_periods(self) -> Result<(TenantId, CarriedPeriods), Failure> {
        let range = |from, to| TimeRange::new(Timestamp::from_micros(from), Timestamp::from_micros(to));
        let (day, month) = (range(self.day_from_us, self.day_to_us), range(self.month_from_us, self.month_to_us));
        match (self.seal == self.expected_seal(), day, month) {
            (true, Some(day), Some(month)) => Ok((tenant_id(&self.tenant)?, CarriedPeriods { day, month })),
            _ => Err(Failure::corrupt(format!("the periods of tenant {:?} are damaged", self.tenant))),
        }
    }

    fn expected_seal(&self) -> i64 {
        let tenant = Seal::default().bytes(self.tenant.as_bytes());
        let ends = [self.day_from_us, self.day_to_us, self.month_from_us, self.month_to_us];
        ends.into_iter().fold(tenant, Seal::int).value()
    }
}
