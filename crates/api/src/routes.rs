//! The routes, one file per subject. Each handler reads the request, asks the pipeline once and
//! shapes the answer.

#![expect(unused_qualifications, reason = "the expansion of utoipa::path repeats paths")]

mod customers;
pub(crate) mod docs;
mod events;
mod health;
mod ingest;
mod live;
mod metrics;
mod receipts;
mod reference;
mod stream;
mod windows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::limits::QUERY_TIME_MAX;
use ports::PortError;
use ports::reports::Reports;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Kind, Problem};
use crate::router::ApiState;

/// All documented routes.
pub(crate) fn all() -> OpenApiRouter<Arc<ApiState>> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(events::list, ingest::events))
        .routes(routes!(ingest::ingest))
        .routes(routes!(ingest::documented))
        .routes(routes!(receipts::one))
        .routes(routes!(events::one))
        .routes(routes!(windows::list))
        .routes(routes!(customers::list))
        .routes(routes!(customers::one))
        .routes(routes!(customers::usage))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(live::live))
        .routes(routes!(stream::sse))
        .routes(routes!(stream::ws))
        .routes(routes!(reference::read, reference::replace, reference::patch))
        .routes(routes!(reference::read_documented, reference::replace_documented, reference::patch_documented))
}

/// The answer to a question, which may take only so long (I6), and is not given from half a journal.
async fn answer<'a, T, Q>(api: &'a ApiState, ask: impl FnOnce(&'a dyn Reports) -> Q) -> Result<T, Problem>
where
    Q: Future<Output = Result<T, PortError>>,
{
    if api.pipeline.is_replaying() {
        return Err(Problem::new(
            Kind::Unavailable,
            "the journal is being replayed; ask again when /readyz says ready",
        ));
    }
    answer_within(QUERY_TIME_MAX, ask(api.pipeline.reports())).await
}

async fn answer_within<T>(
    time_max: Duration,
    question: impl Future<Output = Result<T, PortError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(time_max, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let detail = format!("no answer within {} s; ask for less at once", time_max.as_secs());
            Err(Problem::new(Kind::QueryTimeout, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn i6_a_question_that_takes_too_long_is_given_up() {
        let never = answer_within::<()>(Duration::from_millis(1), std::future::pending()).await;
        assert_eq!(never.unwrap_err().into_response().status(), 504);
        assert_eq!(answer_within(QUERY_TIME_MAX, async { Ok(7) }).await.unwrap(), 7);
    }
}
