//! Samples how long an acknowledged event takes to be found by its id: one event at a time, beside
//! the load.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::sleep;

use super::progress::Progress;
use super::sender::Sender;
use super::tally::Tally;
use clock::Stopwatch;

/// Pause between two samples.
const SAMPLE_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two requests for the same event; also the error of a sample.
const POLL_PAUSE: Duration = Duration::from_millis(1);
/// Longest wait for an event to become visible.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);

/// Samples until the run ends.
pub(super) async fn sample(mut sender: Sender, progress: Arc<Progress>) -> anyhow::Result<Tally> {
    while !progress.is_stopped() {
        sender.send(1, progress.now()).await?;
        let acknowledged = Stopwatch::start();
        let Some(id) = sender.last_id() else { continue };
        let path = format!("/v1/events/{id}");
        loop {
            let status = sender.get(&path).await?;
            if status == 200 {
                break;
            }
            ensure!(status == 404, "server answered {status} to the search for an event");
            ensure!(acknowledged.elapsed() < VISIBLE_WITHIN, "an accepted event is not visible after a minute");
            sleep(POLL_PAUSE).await;
        }
        sender.record_visible(acknowledged.elapsed_us());
        sleep(SAMPLE_PAUSE).await;
    }
    Ok(sender.into_tally())
}
