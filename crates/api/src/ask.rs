//! How handlers ask the read ports: within a time limit, only when the journal has been replayed, and off
//! the threads that serve requests when an answer takes long to compute.

use std::future::Future;
use std::time::Duration;

use domain::calendar::{Calendar, Zone};
use domain::limits::QUERY_TIME_MAX;
use domain::tenant::TenantScope;
use ports::PortError;
use ports::reports::Reports;
use tokio_util::sync::CancellationToken;

use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;

/// Asks the reports and waits for the answer as [`within_time`] does.
pub(crate) async fn answer<'a, T, Q>(api: &'a ApiState, ask: impl FnOnce(&'a dyn Reports) -> Q) -> Result<T, Problem>
where
    Q: Future<Output = Result<T, PortError>>,
{
    within_time(api, ask(&api.reads.reports)).await
}

/// Waits for an answer for at most [`QUERY_TIME_MAX`] (I6). Refuses while the journal is being replayed.
pub(crate) async fn within_time<T, E>(
    api: &ApiState,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    ready(api)?;
    answer_within(QUERY_TIME_MAX, question).await
}

/// Refuses while the journal is being replayed: an answer would lack the rest of it.
pub(crate) fn ready(api: &ApiState) -> Result<(), Problem> {
    if api.pipeline.is_replaying() {
        let detail = "the journal is being replayed; ask again when /readyz says ready";
        return Err(Problem::new(ProblemKind::Unavailable, detail));
    }
    Ok(())
}

/// Waits for an answer for at most `time_max`.
pub(crate) async fn answer_within<T, E>(
    time_max: Duration,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    match tokio::time::timeout(time_max, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let detail = format!("no answer within {} s; ask for less at once", time_max.as_secs());
            Err(Problem::new(ProblemKind::QueryTimeout, detail))
        }
    }
}

/// Runs work that takes a processor for long on the blocking thread pool. The work can ask whether its
/// answer is still waited for, and may end without an answer when it is not.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Option<T> + Send + 'static,
) -> Result<T, Problem> {
    let cancelled = CancellationToken::new();
    let _cancel_on_drop = cancelled.clone().drop_guard();
    let done = tokio::task::spawn_blocking(move || work(&cancelled)).await;
    let done = done.map_err(|why| Problem::internal(why.to_string()))?;
    done.ok_or_else(|| Problem::internal("an answer that is waited for was given up"))
}

/// The tenant's calendar, in `zone` instead of its own if one is given.
pub(crate) fn calendar(api: &ApiState, scope: &TenantScope, zone: Option<Zone>) -> Calendar {
    let own = api.settings.calendar(scope);
    Calendar { zone: zone.unwrap_or(own.zone), ..own }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn i6_a_question_that_takes_too_long_is_given_up() {
        let never = answer_within::<(), Problem>(Duration::from_millis(1), std::future::pending()).await;
        assert_eq!(never.unwrap_err().into_response().status(), 504);
        assert_eq!(answer_within(QUERY_TIME_MAX, async { Ok::<_, Problem>(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn i6_work_can_tell_that_its_request_was_given_up() {
        let (end, ended) = std::sync::mpsc::channel();
        let work = blocking(move |cancelled| {
            while !cancelled.is_cancelled() {
                std::thread::yield_now();
            }
            end.send(()).unwrap();
            None::<()>
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        ended.recv().unwrap();
    }
}
