//! The options of `nilometer bench ledger` and `bench dedup`.

use clap::Args;

use super::events::EventPlan;
use crate::inside::DatabaseUrls;

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// Address of a database with an empty ledger, with the login of its owner, as `nilometer migrate logins` prints it
    #[arg(long, env = "NILOMETER_POSTGRES_OWNER_URL", hide_env_values = true, value_name = "URL")]
    postgres: String,
    /// Address of that database with the login of the application
    #[arg(long, env = "NILOMETER_POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    app_url: String,
    /// Address of that database with the login of the worker
    #[arg(long, env = "NILOMETER_POSTGRES_WORKER_URL", hide_env_values = true, value_name = "URL")]
    worker_url: String,
}

impl DatabaseArgs {
    /// The addresses.
    pub(super) fn urls(&self) -> DatabaseUrls {
        DatabaseUrls { owner: self.postgres.clone(), app: self.app_url.clone(), worker: self.worker_url.clone() }
    }
}

/// Measure the transaction of the ledger in PostgreSQL.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Spread event times evenly over this many past days; 0 means now
    #[arg(long, value_name = "DAYS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    history: u32,
    /// Workspaces that send in turn
    #[arg(long, value_name = "N", default_value_t = EventPlan::LIVE.tenants, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tenants: u32,
    /// Customers of each
    #[arg(long, value_name = "N", default_value_t = EventPlan::LIVE.customers, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    customers: u32,
    /// Users of each
    #[arg(long, value_name = "N", default_value_t = EventPlan::LIVE.users, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// Events of a request
    #[arg(long, value_name = "N", default_value_t = EventPlan::LIVE.record, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    record: u32,
    /// Every second request is of one more workspace, with 20 times as many customers and users
    #[arg(long)]
    whale: bool,
    /// Batches of 10,000 events that are not timed, before the others
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) warm_up: u64,
    /// Batches that are timed
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) batches: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl LedgerArgs {
    /// Which events are made.
    pub(super) fn plan(&self) -> EventPlan {
        let Self { history: history_days, tenants, customers, users, record, whale, .. } = *self;
        EventPlan { history_days, tenants, customers, users, record, has_whale: whale }
    }
}

/// Measure the ledger in PostgreSQL with many ids in place.
#[derive(Debug, Args)]
pub(crate) struct DedupArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Ids of other events that are there before
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(super) ids: u64,
    /// Batches of 10,000 events that are not timed, before the others
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) warm_up: u64,
    /// Batches that are timed
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) batches: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
