//! The command line.

mod folder;
mod events;
mod register_args;
mod migrate;
mod moving;
mod quotas;

use std::path::PathBuf;

use bench::{BenchArgs, share};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::client::delivery::RETRY_TIMEOUT;
use crate::config::SettingFlags;
use crate::exit::EXIT_CODES_HELP;
use crate::import::files::Format;

pub(crate) use events::{EventsArgs, EventsCommand, FirstArg};
pub(crate) use folder::FolderArgs;
#[cfg(feature = "cluster")]
pub(crate) use migrate::OwnerArgs;
pub(crate) use migrate::{MaintainArgs, MigrateCommand};
pub(crate) use moving::MoveArgs;
pub(crate) use quotas::{QuotaArgs, QuotaCommand};
pub(crate) use register_args::RegisterArgs;

/// Measures streams of events for many tenants: usage windows, live counters and raw events from
/// one durable stream, in one process and one folder.
#[derive(Debug, Parser)]
#[command(name = "nilometer", version, propagate_version = true, after_help = EXIT_CODES_HELP)]
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
    /// The server must be stopped, unless it keeps its events in PostgreSQL. Exits with 3 when there is a difference.
    Verify(VerifyArgs),
    /// Take events from files into a data folder or a running server
    ///
    /// CSV with a header, one JSON object per line, or Parquet; gzip and zstd are undone; `-` reads standard input.
    /// Importing a file again counts nothing twice, and goes on where an interrupted import ended. At the end, what
    /// was refused and warned about is summed by code and field. Exits with 3 when no row was taken.
    Import(ImportArgs),
    /// Make events that look real and take them into a data folder or a running server
    Seed(SeedArgs),
    /// Write events of a stopped server as CSV, one JSON object per line, or Parquet
    Export(ExportArgs),
    /// Look at raw events of a stopped server
    #[command(subcommand)]
    Events(EventsCommand),
    /// Manage workspaces, people, keys and quotas, and tell a running server something
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Look at a data folder: who else can read it, whether its master key fits, whether its disk is encrypted
    ///
    /// Changes nothing. Exits with 1 when a server would not start like this.
    Doctor(FolderArgs),
    /// Make the schema in PostgreSQL that servers share, or bring it up to date
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Take the data folder of a stopped server into PostgreSQL
    ///
    /// Whole, and into a database that has none of its workspaces: nothing is merged. Both sides are verified at the end.
    /// Killed at any moment, the same command goes on with it. Exits with 3 when there is a difference.
    Move(MoveArgs),
    /// Make partitions ahead, drop those that are too old, and write tables anew behind erasures
    ///
    /// With the login of the owner, as often as every few days; a server that has this login does so itself. Of several
    /// at once one works.
    Maintain(MaintainArgs),
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
    /// Drop what a new or a shorter retention drops at once, instead of after `retention_delay_sec`
    #[arg(long)]
    pub(crate) retention_now: bool,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// If the folder is a copy of one that was open: recover and verify it, and serve it if there is no difference
    #[arg(long)]
    pub(crate) recover_copy: bool,
    /// Go on with the database of `postgres_url` although the folder with its journal is lost, and with it what that had
    /// accepted and the database not applied
    #[arg(long)]
    pub(crate) new_journal: bool,
}

/// Verify a folder, or a database.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Address of a database instead of a folder, with the login of the application
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Address of the database with the login of the worker
    #[arg(long, env = "NILOMETER_POSTGRES_WORKER_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) worker_url: Option<String>,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// If it is a copy of a folder that was open: recover it, and take it for a folder if there is no difference
    #[arg(long, conflicts_with = "postgres")]
    pub(crate) recover_copy: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Believe the machine's clock, which has jumped
    ///
    /// Prints what the server believed and what it believes now. Exits with 1 when no server runs on the folder.
    AcceptClock(FolderArgs),
    #[command(flatten)]
    Register(Box<RegisterCommand>),
}

/// Commands on the register of workspaces, people and keys.
#[derive(Debug, Subcommand)]
pub(crate) enum RegisterCommand {
    /// Make a workspace, and its first owner if one is named
    ///
    /// As all that follow: on the folder of a stopped server, or with --url and a key of the operator on a running one.
    /// Prints JSON. What is secret in it is shown this once.
    CreateWorkspace {
        /// Its id: a-z, 0-9, `-`, `_` and `.`
        id: String,
        /// What people call it [default: the id]
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// E-mail address of its first owner, who gets an account
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Make a person a member of a workspace, and an account first when there is none
    CreateUser {
        /// E-mail address of the account
        email: String,
        /// Which workspace
        #[arg(long, value_name = "ID")]
        workspace: String,
        /// viewer, member, admin or owner
        #[arg(long, value_name = "ROLE", default_value = "member")]
        role: String,
        /// What the person is called
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Make an API key of a workspace, or one of the operator
    CreateKey(CreateKeyArgs),
    /// Revoke an API key of the operator
    RevokeOperatorKey {
        /// Its id
        id: String,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Make a token with which a person sets a new password
    ResetPassword {
        /// E-mail address of the account
        email: String,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Make a new key that access tokens are signed with
    RotateSigningKey {
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Change to a new master key
    ///
    /// On the folder of a stopped server. What the old key has encrypted, signing secrets and the data keys of encrypted
    /// properties, is encrypted anew; all keys that were made elsewhere are revoked, and everyone is logged out who holds
    /// tokens. Refused when the old key does not open all that it should, unless --old-is-lost: then signing secrets are
    /// revoked too, and encrypted properties are never readable again. Keys that begin with nm_, passwords, other events
    /// and sums stay.
    ReplaceMasterKey {
        /// Do it
        #[arg(long, required = true)]
        yes: bool,
        /// File with the old key [default: master.key in the folder, if no other file is set]
        #[arg(long, value_name = "FILE")]
        old: Option<PathBuf>,
        /// Give up what the old key does not open: encrypted properties are never readable again
        #[arg(long)]
        old_is_lost: bool,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Serve a workspace no longer; nothing of it is lost
    Suspend {
        /// Its id
        id: String,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Serve a suspended workspace again
    Resume {
        /// Its id
        id: String,
        #[command(flatten)]
        at: RegisterArgs,
    },
    /// Limit how much may come of a workspace, or with one of its keys
    ///
    /// What is not named stays. A limit is a whole number, each second: 0 lets nothing pass, `server` takes the server's.
    Limit {
        /// Which workspace
        workspace: String,
        /// Id of the key that is meant, instead of the workspace as a whole
        #[arg(long, value_name = "ID", conflicts_with = "events_per_sec")]
        key: Option<String>,
        /// Most requests a second
        #[arg(long, value_name = "N|server", required_unless_present = "events_per_sec", value_parser = limit)]
        requests_per_sec: Option<LimitArg>,
        /// Most events a second
        #[arg(long, value_name = "N|server", value_parser = limit)]
        events_per_sec: Option<LimitArg>,
        #[command(flatten)]
        at: RegisterArgs,
    },
    #[command(flatten)]
    Quota(QuotaCommand),
    /// List workspaces, people, keys of a workspace, or keys of the operator
    List {
        /// What to list
        #[arg(value_enum)]
        what: ListArg,
        /// Whose keys
        #[arg(long, value_name = "ID", required_if_eq("what", "keys"))]
        workspace: Option<String>,
        #[command(flatten)]
        at: RegisterArgs,
    },
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitArg {
    /// The server's.
    Server,
    /// So many a second.
    EachSecond(u64),
}

fn limit(text: &str) -> Result<LimitArg, String> {
    match text {
        "server" => Ok(LimitArg::Server),
        number => number.parse().map(LimitArg::EachSecond).map_err(|_| "must be a whole number, or server".to_owned()),
    }
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListArg {
    /// All workspaces.
    Workspaces,
    /// All people.
    Users,
    /// The keys of one workspace, with their limits and without their texts.
    Keys,
    /// The keys of the operator.
    OperatorKeys,
}

/// A key to be made.
#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// Which workspace the key is for
    #[arg(long, value_name = "ID", required_unless_present = "operator", conflicts_with = "operator")]
    pub(crate) workspace: Option<String>,
    /// Make a key of the operator, which manages workspaces and people
    #[arg(long)]
    pub(crate) operator: bool,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// What it may be used for: ingest, read or admin (may be repeated)
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', conflicts_with = "operator")]
    pub(crate) scopes: Vec<String>,
    /// The one project that it is for
    #[arg(long, value_name = "ID", conflicts_with = "operator")]
    pub(crate) project: Option<String>,
    /// When it ends, in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Range of addresses that it may be used from (may be repeated)
    #[arg(long = "address", value_name = "RANGE", value_delimiter = ',')]
    pub(crate) addresses: Vec<String>,
    /// Put the word `test` into the key instead of `live`
    #[arg(long)]
    pub(crate) test: bool,
    /// Register the key in this file, which was made elsewhere, instead of making one; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "operator")]
    pub(crate) register: Option<PathBuf>,
    /// Allow a registered key of less than 20 bytes; its only scope is then ingest
    #[arg(long, requires = "register")]
    pub(crate) allow_weak: bool,
    #[command(flatten)]
    pub(crate) at: RegisterArgs,
}

/// The flags that mean something for a running server alone. That each requires the address is not looked at
/// beside a flag that the address contradicts.
const OF_SERVER: [&str; 5] = ["url", "ca", "key", "connections", "retry_sec"];

/// Where events go.
#[derive(Debug, Args)]
pub(crate) struct DestinationArgs {
    /// Folder that holds all state; its server must be stopped [env: NILOMETER_DATA] [default: ./nilometer-data]
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_SERVER)]
    pub(crate) data: Option<PathBuf>,
    /// A running server instead of a folder, by http:// or https://
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Certificates of the authorities that the running server's own may come from, in PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
    /// API key for the running server, which names the tenant
    #[arg(long, value_name = "KEY", requires = "url")]
    pub(crate) key: Option<String>,
    /// Whose events they are [default: default]
    #[arg(long, value_name = "NAME", conflicts_with_all = OF_SERVER)]
    pub(crate) tenant: Option<String>,
    /// Connections to the running server
    #[arg(long, value_name = "N", requires = "url", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,
    /// How long a batch is sent again when the running server does not take it
    #[arg(long, value_name = "SECONDS", requires = "url", default_value_t = RETRY_TIMEOUT.as_secs(), value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(crate) retry_sec: u64,
    /// File of settings whose limits hold for the folder, in TOML [env: NILOMETER_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_SERVER)]
    pub(crate) config: Option<PathBuf>,
}

/// Take events from files.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) into: DestinationArgs,
    /// Format of the files [default: by name and content]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Read a field from the column of this name, and from no other
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',', value_parser = pair)]
    pub(crate) map: Vec<(String, String)>,
    /// Give rows without a time the moment of the import; a table of which no column is the time is refused without it
    #[arg(long)]
    pub(crate) now: bool,
    /// Take cells of tables that hold this text for empty, as `NULL` or `\N` (may be repeated)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) null: Vec<String>,
    /// Separator of CSV: one character, or `tab` [default: comma, semicolon, tab or pipe, by the header]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<u8>,
    /// Write refused rows to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
    /// Begin at the front of every file, whatever an earlier import has done
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// Refuse rows that look like a mistake, and exit with 1 when a row is refused
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Make events.
#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    #[command(flatten)]
    pub(crate) into: DestinationArgs,
    /// Distinct users
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(crate) users: u32,
    /// Distinct customers; the first has a tenth of all events
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) customers: u32,
    /// Days over which they are spread
    #[arg(long, value_name = "DAYS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub(crate) days: u32,
    /// Share of the events that comes up to six hours after its time (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    pub(crate) late: f64,
    /// Share of the events that repeats an earlier one (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub(crate) duplicates: f64,
    /// Makes the same choices again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// When they end [default: the beginning of this hour]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Write events.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) filter: EventsArgs,
    /// Format [default: by the ending of the output (.csv, .ndjson, .jsonl, .json, .parquet), else ndjson]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// File to write, whole or not at all [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write encrypted properties in plain text, as an import needs them; otherwise "<encrypted>" stands in their place
    #[arg(long)]
    pub(crate) decrypt: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (field, column) = text.split_once('=').ok_or("must read FIELD=COLUMN")?;
    Ok((field.trim().to_owned(), column.to_owned()))
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if !matches!(byte, b'"' | b'\n' | b'\r') && byte.is_ascii() => Ok(*byte),
        _ => Err("must be one ASCII character other than a quote or an end of line, or `tab`".to_owned()),
    }
}
