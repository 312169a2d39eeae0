//! Sends one request until it is answered. That is safe for a write because its events have ids: what
//! was taken before the answer was lost is a duplicate. Gives up after a while without an answer.

use std::time::Duration;

use tokio::time::sleep;

use super::connection::Connection;
use super::reader::Response;
use clock::Stopwatch;

/// How much of an unwelcome answer is shown.
const EXCERPT_CHARS: usize = 500;
/// How long one request is sent again and again.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// Wait before the first repetition; it doubles with each further one.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Shortest time that a server is given to answer, however little is left.
const ANSWER_MIN: Duration = Duration::from_secs(1);
/// Longest wait, whatever the server asks for.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What went wrong before a request was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryCounts {
    /// Answers that asked to try again.
    pub(crate) refused: u64,
    /// Connections that were lost or could not be made.
    pub(crate) reconnects: u64,
}

/// Sends `request` until there is an answer other than "try again" (429, 503, 507).
///
/// # Errors
/// When there is none within `retry_timeout`.
pub(crate) async fn deliver(
    connection: &mut Connection,
    request: &[u8],
    retry_timeout: Duration,
    counts: &mut RetryCounts,
) -> anyhow::Result<Response> {
    let since = Stopwatch::start();
    let mut wait = WAIT_MIN;
    loop {
        let left = retry_timeout.saturating_sub(since.elapsed()).max(ANSWER_MIN);
        let (asked, why) = match connection.exchange_within(request, left).await {
            Ok(response) if matches!(response.status, 429 | 503 | 507) => {
                counts.refused += 1;
                let why = anyhow::anyhow!("server refuses with status {}", response.status);
                (response.retry_after, why.context(excerpt(connection.body(&response))))
            }
            Ok(response) => return Ok(response),
            Err(why) => {
                counts.reconnects += 1;
                (None, why)
            }
        };
        let left = retry_timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(why.context(format!("no acknowledgement within {} s", retry_timeout.as_secs())));
        }
        sleep(asked.unwrap_or(wait).min(WAIT_MAX).min(left)).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// The beginning of an answer, for a message.
pub(crate) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS).collect()
}
