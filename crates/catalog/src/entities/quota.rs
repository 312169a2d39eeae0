//! How much workspaces and their customers may use.

use domain::quota::{Measure, QUOTA_LIMIT_MAX, QuotaKey, QuotaPeriod, QuotaTerms, VersionedQuota};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    /// Empty: the workspace as a whole.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) customer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) measure: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) period: String,
    /// `None` once it has been removed.
    pub(crate) limit_max: Option<i64>,
    pub(crate) is_hard: bool,
    pub(crate) version: i64,
    pub(crate) updated_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a quota.
    pub(crate) fn new(tenant: &TenantId, quota: &VersionedQuota, now: Timestamp) -> Result<Self, Failure> {
        let QuotaKey { customer, measure, period } = &quota.key;
        let row = Self {
            tenant: tenant.as_str().to_owned(),
            customer: customer.clone().unwrap_or_default(),
            measure: measure.as_str().to_owned(),
            period: period.as_str().to_owned(),
            limit_max: quota.terms.map(|terms| signed("limit_max", terms.limit)).transpose()?,
            is_hard: quota.terms.is_some_and(|terms| terms.is_hard),
            version: signed("version", quota.version)?,
            updated_us: now.micros(),
            seal: 0,
        };
        Ok(Self { seal: row.expected_seal(), ..row })
    }

    /// The quota, if it is what was written.
    pub(crate) fn into_quota(self) -> Result<(TenantId, VersionedQuota), Failure> {
        let broken = || Failure::corrupt(format!("a quota of tenant {:?} is damaged", self.tenant));
        let (measure, period) = (Measure::parse(&self.measure), QuotaPeriod::parse(&self.period));
        let (true, Some(measure), Some(period)) = (self.seal == self.expected_seal(), measure, period) else {
            return Err(broken());
        };
        let limit = self.limit_max.map(|limit| unsigned("limit_max", limit)).transpose()?;
        if limit.is_some_and(|limit| limit > QUOTA_LIMIT_MAX) {
            return Err(broken());
        }
        let terms = limit.map(|limit| QuotaTerms { limit, is_hard: self.is_hard });
        let (tenant, version) = (tenant_id(&self.tenant)?, unsigned("version", self.version)?);
        let customer = Some(self.customer).filter(|customer| !customer.is_empty());
        Ok((tenant, VersionedQuota { key: QuotaKey { customer, measure, period }, terms, version }))
    }

    fn expected_seal(&self) -> i64 {
        let texts = [&self.tenant, &self.customer, &self.measure, &self.period];
        let texts = texts.into_iter().fold(Seal::default(), |seal, text| seal.bytes(text.as_bytes()));
        let terms = texts.int(self.limit_max.unwrap_or(-1)).int(i64::from(self.is_hard));
        terms.int(self.version).int(self.updated_us).value()
    }
}
