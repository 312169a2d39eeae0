//! Releases the requests of an open loop when they are due. Runs on a thread of its own because
//! the runtime's timer wakes a millisecond late, which would be measured as the server's latency.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Course;

/// Longest sleep, so that the end of a run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Starts releasing; a closed loop needs none, and ends at once.
pub(super) fn start(course: Arc<Course>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("bench-pacer".to_owned()).spawn(move || release(&course))
}

fn release(course: &Course) {
    let Some(pace) = course.schedule.pace else { return };
    let mut released = 0;
    while !course.is_stopped() {
        let due = pace.released(course.watch.elapsed());
        let more = usize::try_from(due - released).unwrap_or(usize::MAX);
        course.released.add_permits(more);
        released = due;
        let wait = pace.due(released).saturating_sub(course.watch.elapsed());
        thread::sleep(wait.min(SLEEP_MAX));
    }
}
