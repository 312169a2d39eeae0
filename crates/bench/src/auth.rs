//! `nilometer bench auth`: what it costs to know who asks. A register of many keys against an empty one: throughput
//! of taking events, memory, start. Then the check of an access token against the bare verification of its
//! signature, and taking events while many log in. What is compared takes turns, so that what the machine does
//! meanwhile meets both alike. A bound is broken when the whole interval of what was measured lies beyond it.

pub(crate) mod size;
mod servers;
pub(crate) mod pairs;
mod tokens;
mod held;
pub(crate) mod key_load;
mod storm;
mod login_storm;
mod report;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::AuthArgs;
use super::folder::Folder;
use super::inside::{Inside, RegisterPlan};
use super::machine::Machine;
use super::measure::Measure;
use super::output::Output;
use super::server::{Server, verify};
pub(super) use key_load::{KeyLoad, Kind};
pub(super) use pairs::Compared;
pub(super) use report::AuthReport;
pub(super) use servers::Servers;
use size::AuthSize;

/// Lets a request say from which address it is; profile `dev` takes nothing from a proxy. Without the limits of profile
/// `prod`, which would refuse most logins before the throttle of logins sees them.
const BEHIND_PROXY: [(&str, &str); 5] = [
    ("NILOMETER_TRUSTED_PROXIES", "127.0.0.1"),
    ("NILOMETER_PROFILE", "prod"),
    ("NILOMETER_ADDRESS_REQUESTS_PER_MIN", "none"),
    ("NILOMETER_KEY_REQUESTS_PER_SEC", "none"),
    ("NILOMETER_WORKSPACE_EVENTS_PER_SEC", "none"),
];

/// What was found, what it was found on, and the bounds.
#[derive(Debug, Serialize)]
struct Judged<'r> {
    machine: Machine,
    measures: Vec<Measure>,
    #[serde(flatten)]
    report: &'r AuthReport,
}

/// Runs the command.
///
/// # Errors
/// When a run fails or counts wrongly, and when a bound is broken.
pub(super) async fn run(args: AuthArgs, inside: &impl Inside) -> anyhow::Result<()> {
    let parent = args.data.clone().unwrap_or_else(|| PathBuf::from("."));
    let output = Output::new(args.json);
    let machine = Machine::inspect(&parent);
    output.line(format_args!("{machine}\n"))?;
    let report = measure(&parent, args.size(), inside, output).await?;
    let judged = Judged { machine, measures: report.measures(), report: &report };
    output.result(&report, &judged)?;
    report.conclude()
}

/// Measures everything, in folders of its own in `parent`.
pub(super) async fn measure(
    parent: &Path,
    size: AuthSize,
    inside: &impl Inside,
    output: Output,
) -> anyhow::Result<AuthReport> {
    let tokens = tokens::measure(inside)?;
    let password = inside.time_passwords().await?;
    output.line("tokens and passwords: done")?;
    let (empty, full) = (Folder::temporary(parent)?, Folder::temporary(parent)?);
    inside.make_register(empty.path(), RegisterPlan { keys: 0, workspaces: 0, of_first: 0 }).await?;
    let keys = inside.make_register(full.path(), size.register()).await?;
    output.line(format_args!("register: {} keys in {} workspaces", size.keys, size.workspaces))?;
    let (of_empty, empty_ready) = Server::start(empty.path(), &[]).await?;
    let (of_full, full_ready) = Server::start(full.path(), &[]).await?;
    let servers = Servers { empty: of_empty, full: of_full.presenting(keys.clone())? };
    let held = held::measure(&servers, size.settle, keys.len()).await?;
    output.line("memory: done")?;
    let batches = KeyLoad::measure(&servers, Kind::Batches, size.pairs, size.run, output).await?;
    let singles = KeyLoad::measure(&servers, Kind::Singles, size.pairs, size.singles_run, output).await?;
    let Servers { empty: of_empty, full: of_full } = servers;
    of_empty.stop().await?;
    of_full.stop().await?;
    let (server, _) = Server::start(full.path(), &BEHIND_PROXY).await?;
    let server = server.presenting(keys)?;
    let storm = login_storm::measure(&server, size, output).await?;
    server.stop().await?;
    for folder in [&empty, &full] {
        output.line(format_args!("verify: {}", verify(folder.path().to_owned()).await?))?;
    }
    let ready_s = [empty_ready, full_ready].map(|ready| ready.as_secs_f64());
    let RegisterPlan { keys, workspaces, of_first } = size.register();
    Ok(AuthReport { keys, workspaces, presented: of_first, tokens, password, held, ready_s, batches, singles, storm })
}
