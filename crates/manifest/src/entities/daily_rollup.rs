//! The hourly rollups summed to days of UTC, so that a sum over months reads few rows.

use domain::aggregate::Totals;
use domain::rollup::RollupKey;
use domain::time::MICROS_PER_DAY;
use sea_orm::entity::prelude::*;

use super::hourly_rollup;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "daily_rollup")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) project: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) day_us: i64,
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

/// The columns that are sums.
pub(crate) const SUMS: [Column; 7] = [
    Column::Calls,
    Column::Tokens,
    Column::InputTokens,
    Column::OutputTokens,
    Column::LatencyUs,
    Column::LatencyCalls,
    Column::Late,
];

/// The key of the day that an hour lies in.
pub(crate) fn day_of(key: &RollupKey) -> RollupKey {
    RollupKey { hour: key.hour.floor_to(MICROS_PER_DAY), ..key.clone() }
}

impl Model {
    /// The row of a day, whose key is made by [`day_of`].
    pub(crate) fn new(day: &RollupKey, totals: &Totals) -> Self {
        let hourly_rollup::Model {
            tenant,
            project,
            kind,
            hour_us: day_us,
            calls,
            tokens,
            input_tokens,
            output_tokens,
            latency_us,
            latency_calls,
            late,
        } = hourly_rollup::Model::new(day, totals);
        Self {
            tenant,
            project,
            kind,
            day_us,
            calls,
            tokens,
            input_tokens,
            output_tokens,
            latency_us,
            latency_calls,
            late,
        }
    }
}
