//! The options of `nilometer bench`, each with its unit and default.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::auth::size::AuthSize;
use super::fairness::size::FairnessSize;
use super::ledger::args::{DedupArgs, LedgerArgs};
use super::pair::comparison::Bounds;
use super::pair::interval::PAIRS_MAX;
use super::plan::IngestPlan;
use super::workload::Mix;

/// Share of the whale when only its presence is asked for.
const WHALE_SHARE_DEFAULT: f64 = 0.5;
/// Length of a load without another end, in seconds.
const DURATION_S_DEFAULT: f64 = 60.0;

/// Measure a server over HTTP.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Post events, wait until they are applied, check the counts
    Ingest(IngestArgs),
    /// Time the reading routes
    Query(QueryArgs),
    /// Time the analytical questions on generated events
    Analytics(AnalyticsArgs),
    /// Time the live view while events arrive
    Live(LiveArgs),
    /// Time the restart after a crash with events that were never flushed
    Restart(RestartArgs),
    /// Time the erasure of a customer, and what it does to the events that arrive meanwhile
    Erase(EraseArgs),
    /// Measure what it costs to know who asks: keys, tokens, logins, memory; exits with 1 when a bound is broken
    Auth(AuthArgs),
    /// Measure what limits and quotas cost, and how a quiet workspace fares beside one that floods
    Fairness(FairnessArgs),
    /// Measure what it costs to encrypt two properties of each event
    Encryption(EncryptionArgs),
    /// Measure the transaction of the ledger in PostgreSQL against COPY of the same events into a bare table
    Ledger(LedgerArgs),
    /// Measure the same with many ids in place
    Dedup(DedupArgs),
    /// Compare two builds in alternation; exits with 1 when B is worse than its bounds allow
    Pair(PairArgs),
    /// Take every number of docs/benchmarks.md, each on a fresh server, and verify each folder
    All(AllArgs),
}

/// Which server.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// A running server; without it the benchmark starts one of its own and stops it at the end
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// API key for the running server
    #[arg(long, value_name = "KEY", requires = "url")]
    pub(super) key: Option<String>,
    /// Data folder of the benchmark's own server; without it a new folder in the current one, removed at the end
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(super) data: Option<PathBuf>,
}

/// How the events are spread.
#[derive(Debug, Clone, Args)]
pub(super) struct MixArgs {
    /// Distinct customers
    #[arg(long, value_name = "N", default_value_t = Mix::STANDARD.customers, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    customers: u32,
    /// How events are spread over customers
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// Share of the events that belongs to one customer (0 to 1); implies the distribution `whale` [default there: 0.5]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    whale: Option<f64>,
    /// Distinct users
    #[arg(long, value_name = "N", default_value_t = Mix::STANDARD.users, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Distinct API endpoints
    #[arg(long, value_name = "N", default_value_t = Mix::STANDARD.endpoints, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    endpoints: u32,
    /// Distinct models
    #[arg(long, value_name = "N", default_value_t = Mix::STANDARD.models, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    models: u32,
    /// Spread event times evenly over this many past days; 0 means now
    #[arg(long, value_name = "DAYS", default_value_t = Mix::STANDARD.history_days, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    history: u32,
    /// Share of the events that repeats an earlier event (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = Mix::STANDARD.duplicates, value_parser = share)]
    duplicates: f64,
    /// Makes the same choices again
    #[arg(long, value_name = "N", default_value_t = Mix::STANDARD.seed)]
    seed: u64,
}

/// How events are spread over customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Distribution {
    /// Evenly
    Uniform,
    /// One customer has a large share, the others share the rest evenly
    Whale,
}

impl MixArgs {
    /// The mix they describe.
    pub(super) fn mix(&self) -> Mix {
        let by_default = (self.distribution == Distribution::Whale).then_some(WHALE_SHARE_DEFAULT);
        Mix {
            customers: self.customers,
            whale: self.whale.or(by_default),
            users: self.users,
            endpoints: self.endpoints,
            models: self.models,
            history_days: self.history,
            duplicates: self.duplicates,
            personal: false,
            seed: self.seed,
        }
    }
}

/// Post events, wait until they are applied, check the counts.
#[derive(Debug, Args)]
pub(super) struct IngestArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    mix: MixArgs,
    /// Events in one request
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Length of the load in seconds; an open loop faster than the server takes longer, because it sends everything
    /// that was due [default: 60, or without end when --events is given]
    #[arg(long, value_name = "SEC", value_parser = seconds)]
    duration: Option<Duration>,
    /// End after this many events
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Offer this many events per second whatever the answers (open loop); without it every connection sends when its
    /// last request is answered (closed loop)
    #[arg(long, value_name = "EVENTS_PER_SEC", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Also sample how long an accepted event takes to be visible
    #[arg(long)]
    visibility: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl IngestArgs {
    /// The load they describe.
    pub(super) fn plan(&self) -> IngestPlan {
        let default = self.events.is_none().then(|| Duration::from_secs_f64(DURATION_S_DEFAULT));
        IngestPlan {
            mix: self.mix.mix(),
            batch: self.batch,
            connections: self.connections,
            events_max: self.events,
            duration_max: self.duration.or(default),
            rate: self.rate,
            visibility: self.visibility,
        }
    }
}

/// Time an erasure.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// Data folder; without it a new folder in the current one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Events stored before
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub(super) events: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Time the reading routes.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Fill the server with this many events first: 1,000 customers of whom one has half, over seven days
    #[arg(long, value_name = "N")]
    pub(super) events: Option<u64>,
    /// Requests per route
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests: u32,
    /// Offer this many events per second meanwhile, in batches of 100
    #[arg(long, value_name = "EVENTS_PER_SEC", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) under_load: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Time the analytical questions on generated events.
#[derive(Debug, Args)]
pub(super) struct AnalyticsArgs {
    /// Data folder; without it a new folder in the current one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Fill the folder with this many generated events first
    #[arg(long, value_name = "N")]
    pub(super) events: Option<u64>,
    /// Requests per question
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Time the live view while events arrive.
#[derive(Debug, Args)]
pub(super) struct LiveArgs {
    /// Data folder; without it a new folder in the current one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Events per second offered meanwhile, in batches of 100
    #[arg(long, value_name = "EVENTS_PER_SEC", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rate: u64,
    /// Seconds of load before the first question, which fill the window
    #[arg(long, value_name = "SEC", default_value_t = 300)]
    pub(super) warm_up: u64,
    /// Requests per question
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Time the restart after a crash.
#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    /// Data folder; without it a new folder in the current one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Events applied but not flushed at the crash
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(super) events: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Measure what it costs to know who asks.
#[derive(Debug, Args)]
pub(super) struct AuthArgs {
    /// Keys in the register
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    keys: u32,
    /// Workspaces that have them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    workspaces: u32,
    /// Pairs of runs of each kind of load
    #[arg(long, value_name = "N", default_value_t = AuthSize::FULL.pairs, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    pairs: u32,
    /// Length of each run, in seconds
    #[arg(long, value_name = "SEC", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Length of each run of single events, in seconds
    #[arg(long, value_name = "SEC", default_value = "10", value_parser = seconds)]
    single_seconds: Duration,
    /// Clients that log in without pause
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    clients: u16,
    /// Rest before memory is read, in seconds
    #[arg(long, value_name = "SEC", default_value_t = 12)]
    settle: u64,
    /// Where the data folders are made [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl AuthArgs {
    /// How much is measured.
    pub(super) fn size(&self) -> AuthSize {
        AuthSize {
            keys: self.keys,
            workspaces: self.workspaces,
            pairs: self.pairs,
            run: self.seconds,
            singles_run: self.single_seconds,
            clients: self.clients,
            settle: Duration::from_secs(self.settle),
        }
    }
}

/// Measure what limits cost, and what they are good for.
#[derive(Debug, Args)]
pub(super) struct FairnessArgs {
    /// Pairs of runs without limits and quotas and with them, of each kind of load
    #[arg(long, value_name = "N", default_value_t = FairnessSize::FULL.pairs, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    pairs: u32,
    /// Length of each of these, in seconds
    #[arg(long, value_name = "SEC", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Runs of the quiet workspace alone, and beside the flood
    #[arg(long, value_name = "N", default_value_t = FairnessSize::FULL.quiet_runs, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    runs: u32,
    /// Length of each of these, in seconds
    #[arg(long, value_name = "SEC", default_value = "10", value_parser = seconds)]
    quiet_seconds: Duration,
    /// Where the data folders are made [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl FairnessArgs {
    /// How much is measured.
    pub(super) fn size(&self) -> FairnessSize {
        FairnessSize { pairs: self.pairs, run: self.seconds, quiet_runs: self.runs, quiet_run: self.quiet_seconds }
    }
}

/// Measure what it costs to encrypt.
#[derive(Debug, Args)]
pub(super) struct EncryptionArgs {
    /// Pairs of runs
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    pub(super) pairs: u32,
    /// Length of each run, in seconds
    #[arg(long, value_name = "SEC", default_value = "2", value_parser = seconds)]
    pub(super) seconds: Duration,
    /// Where the data folders are made [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Take every number.
#[derive(Debug, Args)]
pub(super) struct AllArgs {
    /// A short run, to see that everything works; its numbers mean little
    #[arg(long)]
    pub(super) quick: bool,
    /// Where the data folders are made [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Compare two builds.
#[derive(Debug, Args)]
pub(super) struct PairArgs {
    /// Executable of the build that is compared with
    #[arg(value_name = "A")]
    pub(super) a: PathBuf,
    /// Executable of the build that must not be worse
    #[arg(value_name = "B")]
    pub(super) b: PathBuf,
    /// Pairs of runs; fewer than 5 decide nothing
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    pub(super) pairs: u32,
    /// Length of each run of ingest, in seconds
    #[arg(long, value_name = "SEC", default_value = "20", value_parser = seconds)]
    pub(super) seconds: Duration,
    /// Compare only these
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Events that are imported and asked about
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) events: u64,
    /// Requests per question in each pair
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests: u32,
    /// Where the data folders are made [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// By how much throughput may be lower, in percent
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = percent)]
    throughput_pct: f64,
    /// By how much processor time per event or row may be higher, in percent
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = percent)]
    processor_pct: f64,
    /// By how much median latencies may be higher, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent)]
    p50_pct: f64,
    /// By how much the latencies of the slowest hundredth may be higher, in percent
    #[arg(long, value_name = "PERCENT", default_value = "25", value_parser = percent)]
    p99_pct: f64,
    /// By how much peak memory may be higher, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent)]
    memory_pct: f64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A part of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Batches of 100 over HTTP
    Ingest,
    /// A file of events into an empty folder
    Import,
    /// Analytical questions
    Questions,
}

impl PairArgs {
    /// Whether `part` is compared.
    pub(super) fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// The bounds they set.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            throughput_pct: self.throughput_pct,
            processor_pct: self.processor_pct,
            p50_pct: self.p50_pct,
            p99_pct: self.p99_pct,
            memory_pct: self.memory_pct,
        }
    }
}

/// Reads a share of a whole.
///
/// # Errors
/// When `text` is no number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=1_000.0).contains(percent));
    percent.ok_or_else(|| "must be a number from 0 to 1000".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "must be a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn ingest(line: &str) -> IngestArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().bench.command {
            BenchCommand::Ingest(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_load_ends_after_a_minute_unless_told_otherwise() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!((ingest("b ingest").plan().duration_max, ingest("b ingest").plan().events_max), (minute, None));
        let by_events = ingest("b ingest --events 5").plan();
        assert_eq!((by_events.duration_max, by_events.events_max), (None, Some(5)));
        let both = ingest("b ingest --events 5 --duration 0.5").plan();
        assert_eq!((both.duration_max, both.events_max), (Some(Duration::from_millis(500)), Some(5)));
    }

    #[test]
    fn a_whale_is_asked_for_by_share_or_by_name() {
        assert_eq!(ingest("b ingest").plan().mix.whale, None);
        assert_eq!(ingest("b ingest --distribution whale").plan().mix.whale, Some(0.5));
        assert_eq!(ingest("b ingest --whale 0.9").plan().mix.whale, Some(0.9));
    }

    #[test]
    fn impossible_values_are_refused() {
        for line in [
            "b pair a",
            "b pair a b --pairs 0",
            "b pair a b --pairs 101",
            "b pair a b --only verify",
            "b pair a b --p99-pct=-1",
            "b ingest --whale 1.5",
            "b ingest --duplicates -0.1",
            "b ingest --duration 0",
            "b ingest --duration nan",
            "b ingest --batch 0",
            "b ingest --batch 10001",
            "b ingest --connections 0",
            "b ingest --rate 0",
            "b ingest --customers 0",
            "b ingest --key k",
            "b ingest --url http://h --data d",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
