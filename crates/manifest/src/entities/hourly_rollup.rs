//! Tenant-level hourly rollups.

use domain::aggregate::Totals;
use domain::rollup::{Rollup, RollupKey};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hourly_rollup")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) project: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) hour_us: i64,
    pub(crate) calls: i64,
    pub(crate) tokens: i64,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
    pub(crate) latency_us: i64,
    pub(crate) latency_calls: i64,
    pub(crate) late: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The largest sum, as `domain::aggregate` has it.
pub(crate) const SUM_MAX: u64 = i64::MAX.unsigned_abs();

/// The columns that are sums, in the order of [`Totals`].
pub(crate) const SUMS: [Column; 7] = [
    Column::Calls,
    Column::Tokens,
    Column::InputTokens,
    Column::OutputTokens,
    Column::LatencyUs,
    Column::LatencyCalls,
    Column::Late,
];

impl Model {
    /// The row of a rollup. Sums saturate at `i64::MAX`, as `domain::aggregate` has it.
    pub(crate) fn new(key: &RollupKey, totals: &Totals) -> Self {
        let sum = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            tenant: key.tenant.as_str().to_owned(),
            project: key.project.clone(),
            kind: key.kind.clone(),
            hour_us: key.hour.micros(),
            calls: sum(totals.calls),
            tokens: sum(totals.tokens),
            input_tokens: sum(totals.input_tokens),
            output_tokens: sum(totals.output_tokens),
            latency_us: sum(totals.latency_us),
            latency_calls: sum(totals.latency_calls),
            late: sum(totals.late),
        }
    }

    pub(crate) fn into_rollup(self) -> Result<Rollup, Failure> {
        let key = RollupKey {
            tenant: tenant_id(&self.tenant)?,
            project: self.project,
            kind: self.kind,
            hour: Timestamp::from_micros(self.hour_us),
        };
        let totals = Totals {
            calls: unsigned("calls", self.calls)?,
            tokens: unsigned("tokens", self.tokens)?,
            input_tokens: unsigned("input_tokens", self.input_tokens)?,
            output_tokens: unsigned("output_tokens", self.output_tokens)?,
            latency_us: unsigned("latency_us", self.latency_us)?,
            latency_calls: unsigned("latency_calls", self.latency_calls)?,
            late: unsigned("late", self.late)?,
        };
        Ok(Rollup { key, totals })
    }
}
