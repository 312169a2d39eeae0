//! Releases the requests of an open loop when they are due. Runs on a thread of its own because
//! the runtime's timer wakes a millisecond late, which would be measured as the server's latency.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::progress::Progress;

/// Longest sleep, so that the end of a run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Starts releasing; a closed loop needs none, and ends at once.
pub(super) fn start(progress: Arc<Progress>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("bench-pacer".to_owned()).spawn(move || release(&progress))
}

fn release(progress: &Progress) {
    let Some(pace) = progress.schedule.pace else { return };
    let mut released = 0;
    while !progress.is_stopped() {
        let due = pace.released(progress.watch.elapsed());
        let more = usize::try_from(due - released).unwrap_or(usize::MAX);
        progress.released.add_permits(more);
        released = due;
        let wait = pace.due(released).saturating_sub(progress.watch.elapsed());
        thread::sleep(wait.min(SLEEP_MAX));
    }
}
