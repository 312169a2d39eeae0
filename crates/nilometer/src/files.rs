//! How many files the process may have open. Connections and data files share that number, and
//! many systems begin with one so low that connections alone would use it up.

use domain::limits::PROBE_CONNECTIONS_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files set aside for data files, the manifest and the log.
const RESERVED_FILES: u64 = 512;

/// Raises the limit as far as the system lets a process do that by itself, and returns how many
/// connections it leaves room for.
pub(crate) fn room_for_connections() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    let connections = files.map_or(u64::MAX, |files| files.saturating_sub(RESERVED_FILES).max(files / 2));
    // Those for probes come on top of the rest.
    usize::try_from(connections).unwrap_or(usize::MAX).saturating_sub(PROBE_CONNECTIONS_MAX).max(1)
}
