//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::bench::BenchArgs;
use crate::config::SettingFlags;

/// Measures streams of events for many tenants: usage windows, live counters and raw events from
/// one durable stream, in one process and one folder.
#[derive(Debug, Parser)]
#[command(name = "nilometer", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Recompute every aggregate from the raw events and print each difference
    ///
    /// The server must be stopped. Exits with 1 when there is a difference.
    Verify(FolderArgs),
    /// Print raw events of a stopped server as one JSON document per line
    #[command(subcommand)]
    Events(EventsCommand),
    /// Measure ingest or queries over HTTP
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Every setting may also stand in the file, by its name in lower case with underscores, or in the
/// environment, as shown. A flag goes before the environment, the environment before the file.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// File of settings, in TOML
    #[arg(long, env = crate::config::CONFIG_VARIABLE, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Which data folder.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// Folder that holds all state
    #[arg(long, env = "NILOMETER_DATA", value_name = "DIR", default_value = crate::config::DATA_DEFAULT)]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Print the newest events
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
    /// Print all events, oldest first
    Export {
        #[command(flatten)]
        filter: EventsArgs,
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
    /// Events of this instant or later
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Events before this instant
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}
