//! The commands on quotas.

use clap::{Args, Subcommand};

use super::register_args::RegisterArgs;

/// Commands on the quotas of a workspace.
#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// Set how much a workspace, or one of its customers, may use in a day or a month
    SetQuota {
        #[command(flatten)]
        which: QuotaArgs,
        /// How much may be used; 0: nothing
        #[arg(long, value_name = "NUMBER")]
        limit: u64,
        /// Tell when the limit is passed, and refuse nothing
        #[arg(long)]
        soft: bool,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Remove a quota
    RemoveQuota {
        #[command(flatten)]
        which: QuotaArgs,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// List the quotas of a workspace
    ListQuotas {
        /// The workspace's id
        workspace: String,
        #[command(flatten)]
        at: RegisterArgs,
    },
}

/// Which quota.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// The workspace's id
    pub(crate) workspace: String,
    /// The customer whose events count [default: the whole workspace]
    #[arg(long, value_name = "ID")]
    pub(crate) customer: Option<String>,
    /// What is counted: events, tokens or calls
    #[arg(long, value_name = "WORD", default_value = "events")]
    pub(crate) measure: String,
    /// day or month
    #[arg(long, value_name = "WORD", default_value = "month")]
    pub(crate) period: String,
}
