//! The live view pushed: server-sent events and WebSocket, one pump for both. A reader that does not
//! receive what it is sent is dropped; nothing else waits for it.

mod pump;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::mpsc;

use crate::extract::{Parameters, StreamScope};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::ListRefusals;
use crate::routes::live::StreamParameters;
use crate::serve::ConnectionHandle;
use crate::state::ApiState;

use pump::{EventSink, Pump, SocketSink};

/// Most messages that wait in a response for its reader.
const WAITING_MAX: usize = 8;
/// Largest message taken from a reader, who has nothing to say, in bytes.
const READER_BYTES_MAX: usize = 4 << 10;

/// Stream the live view as server-sent events
///
/// Event `live` every second with the body of `/v1/live`; event `window` for each window that closes or is
/// revised, as in `/v1/windows`; event `lost` when more windows have changed than are announced, which
/// `/v1/windows` then shows; event `error` before the stream ends from this side, as it does when its credential ends.
#[utoipa::path(
    get, path = "/v1/live/stream", tag = "live", operation_id = "live_stream", params(StreamParameters),
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"), ListRefusals),
)]
pub(crate) async fn sse(
    State(api): State<Arc<ApiState>>,
    StreamScope { scope, standing }: StreamScope,
    Parameters(parameters): Parameters<StreamParameters>,
    connection: Option<Extension<ConnectionHandle>>,
) -> Result<Response, Problem> {
    let seconds = parameters.seconds(&api)?;
    let stream = api.pipeline.live()?.stream(&scope, seconds)?;
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING_MAX);
    let sink = EventSink { sender, budget: api.response_budget.clone(), tenant: scope.tenant().clone() };
    let pump = Pump::new(stream, scope, standing, seconds, connection.map(|Extension(connection)| connection));
    tokio::spawn(pump.run(sink));
    let events = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(bytes), receiver))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// Stream the live view over a WebSocket
///
/// The messages of `/v1/live/stream` as texts: `{"type":"live","data":{…}}`, `{"type":"window","data":{…}}`,
/// `{"type":"lost","data":{}}`. Texts from the reader are ignored; binary data, a message over 4 KiB or a
/// broken frame ends the stream with the close code 1003, 1009 or 1002.
#[utoipa::path(
    get, path = "/v1/live/ws", tag = "live", operation_id = "live_ws", params(StreamParameters),
    responses((status = 101, description = "The protocol changes"), ListRefusals),
)]
pub(crate) async fn ws(
    State(api): State<Arc<ApiState>>,
    StreamScope { scope, standing }: StreamScope,
    Parameters(parameters): Parameters<StreamParameters>,
    connection: Option<Extension<ConnectionHandle>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let refused = |why: WebSocketUpgradeRejection| {
        Problem::new(ProblemKind::Malformed, format!("no WebSocket: {why}")).at("Upgrade")
    };
    let upgrade = upgrade.map_err(refused)?;
    let seconds = parameters.seconds(&api)?;
    let stream = api.pipeline.live()?.stream(&scope, seconds)?;
    let (budget, tenant) = (api.response_budget.clone(), scope.tenant().clone());
    let pump = Pump::new(stream, scope, standing, seconds, connection.map(|Extension(connection)| connection));
    let upgrade = upgrade.max_message_size(READER_BYTES_MAX).max_frame_size(READER_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| pump.run(SocketSink::new(socket, budget, tenant))))
}
