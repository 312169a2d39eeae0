//! What tenants have decided for themselves.

use domain::calendar::WeekStart;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::catalog::TenantSettings;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, tenant_id};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_settings")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) week_start: String,
    pub(crate) max_lateness_sec: Option<i64>,
    pub(crate) updated_us: i64,
    pub(crate) seal: i64,
    pub(crate) min_time_us: Option<i64>,
    pub(crate) retention_days: Option<i64>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a tenant's settings.
    pub(crate) fn new(tenant: &TenantId, settings: &TenantSettings, now: Timestamp) -> Self {
        let week_start = match settings.week_start {
            WeekStart::Monday => "monday",
            WeekStart::Sunday => "sunday",
            WeekStart::Saturday => "saturday",
        };
        let mut row = Self {
            tenant: tenant.as_str().to_owned(),
            week_start: week_start.to_owned(),
            max_lateness_sec: settings.max_lateness_sec.map(i64::from),
            updated_us: now.micros(),
            seal: 0,
            min_time_us: settings.min_time.map(Timestamp::micros),
            retention_days: settings.retention_days.map(i64::from),
        };
        row.seal = row.expected_seal();
        row
    }

    /// The settings, if they are what was written.
    pub(crate) fn into_settings(self) -> Result<(TenantId, TenantSettings), Failure> {
        let broken = || Failure::corrupt(format!("the settings of tenant {:?} are damaged", self.tenant));
        if self.seal != self.expected_seal() {
            return Err(broken());
        }
        let week_start = match self.week_start.as_str() {
            "monday" => WeekStart::Monday,
            "sunday" => WeekStart::Sunday,
            "saturday" => WeekStart::Saturday,
            _ => return Err(broken()),
        };
        let max_lateness_sec = self.max_lateness_sec.map(u32::try_from).transpose().map_err(|_| broken())?;
        let min_time = self.min_time_us.map(Timestamp::from_micros);
        let retention_days = self.retention_days.map(u32::try_from).transpose().map_err(|_| broken())?;
        let settings = TenantSettings { week_start, max_lateness_sec, min_time, retention_days };
        Ok((tenant_id(&self.tenant)?, settings))
    }

    fn expected_seal(&self) -> i64 {
        let texts = Seal::default().bytes(self.tenant.as_bytes()).bytes(self.week_start.as_bytes());
        let seal = texts.int(self.max_lateness_sec.unwrap_or(-1)).int(self.updated_us);
        // What older formats have sealed has none of these, and stays sealed.
        let seal = self.min_time_us.map_or(seal, |min_time_us| seal.int(min_time_us));
        self.retention_days.map_or(seal, |days| seal.bytes(b"retention_days").int(days)).value()
    }
}
