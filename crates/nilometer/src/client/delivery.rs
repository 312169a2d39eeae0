//! Sends one request until it is answered. That is safe for a write because its events have ids: what
//! was taken before the answer was lost is a duplicate. Gives up after a while without an answer.

use std::time::Duration;

use clock::Stopwatch;
use tokio::time::sleep;

use super::{HttpAnswer, HttpClient, HttpRequest};

/// How long one request is sent again and again unless `--retry-sec` says otherwise.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// Wait before the first repetition; it doubles with each further one.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait before a repetition, whatever the server asks for.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Shortest time that a server is given to answer, however little is left.
const ANSWER_MIN: Duration = Duration::from_secs(1);
/// Characters of an unexpected answer that are shown.
const EXCERPT_CHARS: usize = 500;

/// Sends `request` until there is an answer other than "try again" (429, 503, 507).
///
/// # Errors
/// When there is none within `retry_timeout`.
pub(crate) async fn deliver(
    client: &HttpClient,
    request: &HttpRequest,
    retry_timeout: Duration,
) -> anyhow::Result<HttpAnswer> {
    let since = Stopwatch::start();
    let mut wait = WAIT_MIN;
    loop {
        let left = retry_timeout.saturating_sub(since.elapsed()).max(ANSWER_MIN);
        let (retry_after, why) = match client.send(request, left).await {
            Ok(answer) if matches!(answer.status, 429 | 503 | 507) => {
                let why = anyhow::anyhow!("server refuses with status {}", answer.status);
                (answer.retry_after, why.context(excerpt(&answer.body)))
            }
            Ok(answer) => return Ok(answer),
            Err(why) => (None, why),
        };
        let left = retry_timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(why.context(format!("no acknowledgement within {} s", retry_timeout.as_secs())));
        }
        sleep(retry_after.unwrap_or(wait).min(WAIT_MAX).min(left)).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// The beginning of an answer, for a message.
pub(crate) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS).collect()
}
