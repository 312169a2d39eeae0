//! `nilometer events`.

use clap::{Args, Subcommand, ValueEnum};

use super::folder::FolderArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Print the newest events as one JSON object per line
    List {
        #[command(flatten)]
        filter: EventsArgs,
        /// Most events to print
        #[arg(long, value_name = "EVENTS", default_value_t = 20)]
        limit: usize,
        /// Which end to begin at
        #[arg(long, value_enum, default_value_t = FirstArg::Newest)]
        first: FirstArg,
    },
}

/// Which end of time comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirstArg {
    /// The latest time.
    Newest,
    /// The earliest time.
    Oldest,
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Whose events
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) tenant: String,
    /// By customer; empty for events without one
    #[arg(long, value_name = "ID")]
    pub(crate) customer: Option<String>,
    /// By user
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// By type
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) kind: Option<String>,
    /// By endpoint
    #[arg(long, value_name = "PATH")]
    pub(crate) endpoint: Option<String>,
    /// By project
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Events of this day or time, or later; of the tenant's zone unless the time has an offset
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Events before this time, or to the end of this day
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}
