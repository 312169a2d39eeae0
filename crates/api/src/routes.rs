//! The routes, one file per subject. Each handler reads the request, asks the pipeline once and
//! shapes the answer.

#![expect(unused_qualifications, reason = "the expansion of utoipa::path repeats paths")]

mod accounts;
mod analytics;
mod customers;
pub(crate) mod docs;
mod events;
mod health;
mod ingest;
mod live;
mod metrics;
mod query;
mod receipts;
mod settings;
mod stats;
mod reference;
mod stream;
mod windows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::calendar::{Calendar, Zone};
use domain::limits::QUERY_TIME_MAX;
use domain::tenant::TenantScope;
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
        .routes(routes!(ingest::unversioned))
        .routes(routes!(receipts::one))
        .routes(routes!(events::one))
        .routes(routes!(windows::list))
        .routes(routes!(customers::list))
        .routes(routes!(customers::one))
        .routes(routes!(customers::usage))
        .routes(routes!(query::run))
        .routes(routes!(settings::read, settings::change))
        .merge(unversioned("_unversioned"))
        .nest("/v1", unversioned(""))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(live::live))
        .routes(routes!(stream::sse))
        .routes(routes!(stream::ws))
}

/// The routes that other documents know without a version; the same under `/v1`. In the API's
/// document, where an operation has one path, their names end in `suffix`.
fn unversioned(suffix: &str) -> OpenApiRouter<Arc<ApiState>> {
    let mut routes = OpenApiRouter::new()
        .routes(routes!(stats::dau))
        .routes(routes!(stats::wau))
        .routes(routes!(stats::mau))
        .routes(routes!(stats::top_events))
        .routes(routes!(stats::retention))
        .routes(routes!(accounts::sample))
        .routes(routes!(accounts::summary))
        .routes(routes!(analytics::analytics))
        .routes(routes!(reference::read, reference::replace, reference::patch));
    let paths = routes.get_openapi_mut().paths.paths.values_mut();
    let operations = paths.flat_map(|path| [&mut path.get, &mut path.put, &mut path.patch]).flatten();
    for name in operations.filter_map(|operation| operation.operation_id.as_mut()) {
        name.push_str(suffix);
    }
    routes
}

/// The answer to a question about what is applied; see [`within_time`].
async fn answer<'a, T, Q>(api: &'a ApiState, ask: impl FnOnce(&'a dyn Reports) -> Q) -> Result<T, Problem>
where
    Q: Future<Output = Result<T, PortError>>,
{
    within_time(api, ask(&api.questions.reports)).await
}

/// The answer to a question, which may take only so long (I6), and is not given from half a journal.
async fn within_time<T, E>(api: &ApiState, question: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    ready(api)?;
    answer_within(QUERY_TIME_MAX, question).await
}

/// Refuses while only half a journal could answer.
fn ready(api: &ApiState) -> Result<(), Problem> {
    if api.pipeline.is_replaying() {
        let detail = "the journal is being replayed; ask again when /readyz says ready";
        return Err(Problem::new(Kind::Unavailable, detail));
    }
    Ok(())
}

async fn answer_within<T, E>(time_max: Duration, question: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    match tokio::time::timeout(time_max, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let detail = format!("no answer within {} s; ask for less at once", time_max.as_secs());
            Err(Problem::new(Kind::QueryTimeout, detail))
        }
    }
}

/// Runs what may take a processor for long where it holds up no other request. It can ask whether
/// anybody waits for it still; without that it may end without an answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> Option<T> + Send + 'static,
) -> Result<T, Problem> {
    let waiting = Arc::new(());
    let waited_for = Arc::downgrade(&waiting);
    let done = tokio::task::spawn_blocking(move || work(&|| waited_for.strong_count() > 0)).await;
    drop(waiting);
    let done = done.map_err(|why| Problem::internal(why.to_string()))?;
    done.ok_or_else(|| Problem::internal("an answer that is waited for was given up"))
}

/// The tenant's calendar, in another zone if one is given.
fn calendar(api: &ApiState, scope: &TenantScope, zone: Option<Zone>) -> Calendar {
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
    async fn i6_what_nobody_waits_for_any_more_is_told_so() {
        let (end, ended) = std::sync::mpsc::channel();
        let work = blocking(move |is_wanted| {
            while is_wanted() {
                std::thread::yield_now();
            }
            end.send(()).unwrap();
            None::<()>
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        ended.recv().unwrap();
    }
}
