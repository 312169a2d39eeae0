//! Reference tables: the attributes of users that the live view groups by.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::audit::Cause;
use domain::limits::REFERENCE_READ_TIME_MAX;
use domain::reference::ReferenceTable;
use domain::tenant::TenantScope;
use futures::stream;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use pipeline::WorkClass;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use utoipa::ToSchema;

use crate::extract::{IfMatch, NoParameters, Parameters, ReadScope, TableBody, TableText, WriteScope};
use crate::problem::Problem;
use crate::routes::docs::{TableRefusals, TenantRefusals};
use crate::shape::{TableChangedBody, TableView};
use crate::state::ApiState;

/// A reference table, or a change to it.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the document; read by extract::table")]
pub(crate) struct TableIn {
    /// User to attributes; a value is a text, a number as it is written, true or false. With PATCH, null
    /// takes away.
    #[schema(example = json!({"u-123": {"plan": "pro", "region": "eu"}}))]
    user_metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// The version time; may be absent with PATCH.
    #[schema(format = DateTime)]
    ts: Option<String>,
}

/// Read the reference table of users
#[utoipa::path(
    get, path = "/reference/users", tag = "live", operation_id = "reference_users",
    responses(
        (status = 200, description = "The table", body = TableView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The table is still the one of `If-None-Match`", headers(("ETag" = String, description = "Its version"))),
        TenantRefusals,
    ),
)]
pub(crate) async fn read(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    _: Parameters<NoParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tables = api.pipeline.reference_tables()?;
    let tag = etag(tables.table(&scope)?.as_ref());
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let permit = api.reads.limiter.admit(WorkClass::TableRead, scope.tenant()).await?;
    let table = tables.table(&scope)?;
    let tag = etag(&table);
    let body = sent_within(REFERENCE_READ_TIME_MAX, (permit, TableView::pieces(table)));
    Ok(([(ETAG, tag), (CONTENT_TYPE, "application/json".to_owned())], body).into_response())
}

/// Replace the reference table of users
///
/// All of it at once: readers see the table before or this one. The body is UTF-8 JSON of at most 64 MiB, not
/// compressed, with at most 1,000,000 users of at most 32 different attributes (names of 64 bytes, values of
/// 256 bytes, 10,000 distinct values of one attribute, 1 MiB of all); what is beyond is answered 413. Refused with 409 when `ts` is older than
/// that of the stored table, or the same with other content. `If-Match` with a generation in quotes lets
/// only a change of that generation through.
#[utoipa::path(
    put, path = "/reference/users", tag = "live", operation_id = "replace_reference_users",
    params(IfMatch), request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody, headers(("ETag" = String, description = "Its version"))), TableRefusals),
)]
pub(crate) async fn replace(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    IfMatch(expected): IfMatch,
    text: TableText,
) -> Result<Response, Problem> {
    change(&api, &scope, text.replacement(&api, &scope).await?, expected, &by.cause).await
}

/// Change users of the reference table
///
/// Merges: attributes that are not named stay, null takes an attribute or a whole user away. The limits of
/// the body are those of a replacement, and those of a table hold after the change.
#[utoipa::path(
    patch, path = "/reference/users", tag = "live", operation_id = "patch_reference_users",
    params(IfMatch), request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody, headers(("ETag" = String, description = "Its version"))), TableRefusals),
)]
pub(crate) async fn patch(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    IfMatch(expected): IfMatch,
    text: TableText,
) -> Result<Response, Problem> {
    change(&api, &scope, text.patch(&api, &scope).await?, expected, &by.cause).await
}

async fn change(
    api: &ApiState,
    scope: &TenantScope,
    TableBody { change, held }: TableBody,
    expected: Option<u64>,
    cause: &Cause,
) -> Result<Response, Problem> {
    let table = api.pipeline.reference_tables()?.change(scope, change, cause, expected, held).await?;
    Ok(([(ETAG, etag(&table))], Json(TableChangedBody::new(&table))).into_response())
}

/// A body whose pieces come from an iterator. The iterator, and the permit held with it, are dropped after
/// the last piece or when the time is over: the answer to a slower reader breaks off.
fn sent_within<P, H>(time_max: Duration, source: (H, P)) -> Body
where
    P: Iterator<Item = serde_json::Result<Vec<u8>>> + Send + 'static,
    H: Send + 'static,
{
    let source = Source(Arc::new(Mutex::new(Some(source))));
    let weak = Arc::downgrade(&source.0);
    let mut timer = JoinSet::new();
    timer.spawn(async move {
        tokio::time::sleep(time_max).await;
        drop(weak.upgrade().map(Source));
    });
    let pieces = std::iter::from_fn(move || {
        let _ends_with_the_body = &timer;
        match source.0.lock().as_mut() {
            Some((_, pieces)) => Some(pieces.next()?.map_err(io::Error::from)),
            None => Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader took too long"))),
        }
    });
    Body::from_stream(stream::iter(pieces))
}

/// Where the pieces of a body come from. It may hold the last reference to a large table, so it is dropped
/// on a thread that may block.
struct Source<T: Send + 'static>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Drop for Source<T> {
    fn drop(&mut self) {
        let held = self.0.lock().take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(held));
        }
    }
}

fn etag(table: &ReferenceTable) -> String {
    format!("\"{}\"", table.generation)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn i6_a_reader_that_is_too_slow_holds_no_table_any_longer() {
        let held = Arc::new(());
        let pieces = (0_u8..10).map(|piece| Ok(vec![piece]));
        let mut body = sent_within(Duration::from_millis(5), (Arc::clone(&held), pieces.clone()));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap()[..], [0]);
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(body.frame().await.unwrap().is_err(), "the answer breaks off instead of looking whole");
        let in_time = sent_within(Duration::from_secs(3_600), (Arc::clone(&held), pieces));
        assert_eq!(in_time.collect().await.unwrap().to_bytes()[..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
