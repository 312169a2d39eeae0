//! Sends the messages of a live stream to one reader, until either side ends.

use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use domain::tenant::{TenantId, TenantScope};
use pipeline::{LiveMessage, LiveStream, StreamEnd};
use ports::reports::Window;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use crate::extract::Standing;
use crate::response_budget::ResponseBudget;
use crate::serve::{ConnectionGuard, ConnectionHandle};
use crate::shape::{LiveBody, WindowBody};

/// How long a reader may take to make room for a message.
const READER_TIME_MAX: Duration = Duration::from_secs(10);
/// Windows whose texts are in memory at once.
const WINDOWS_AT_ONCE: usize = 64;
/// Time between two keep-alive messages.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Where messages go. A method that sends is false when the reader is gone or receives nothing.
pub(super) trait Sink: Send {
    /// Sends messages of one kind; each is the text of a JSON document.
    fn send(&mut self, kind: &'static str, data: &[String]) -> impl Future<Output = bool> + Send;
    /// Sends a keep-alive message.
    fn keep_alive(&mut self) -> impl Future<Output = bool> + Send;
    /// Resolves when the reader has gone, or has sent what ends the stream. Cancel-safe.
    fn gone(&mut self) -> impl Future<Output = Option<Ending>> + Send;
    /// Ends the stream from this side.
    fn end(self, why: Ending) -> impl Future<Output = ()> + Send;
}

/// Why a stream ends from this side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// The credential that it was opened with is not taken any more.
    NoRight,
    Stream(StreamEnd),
    /// The reader sent what is no WebSocket protocol.
    BadFrame,
    /// The reader sent bytes.
    Binary,
    /// The reader sent a text that is no UTF-8.
    BadText,
    /// The reader sent more than is taken at once.
    TooLarge,
}

impl Ending {
    fn reason(self) -> &'static str {
        match self {
            Self::Stream(StreamEnd::Lagged) => "the reader is too slow",
            Self::Stream(StreamEnd::Stopped) => "the server stops",
            Self::BadFrame => "the reader broke the WebSocket protocol",
            Self::Binary => "binary messages are not taken",
            Self::NoRight => "the credential has ended, or may not read this any more",
            Self::BadText => "the text is not UTF-8",
            Self::TooLarge => "the message is too large",
        }
    }

    /// The close code of RFC 6455.
    fn close_code(self) -> u16 {
        match self {
            Self::Stream(StreamEnd::Lagged) => close_code::POLICY,
            Self::Stream(StreamEnd::Stopped) => close_code::AWAY,
            Self::NoRight => close_code::POLICY,
            Self::BadFrame => close_code::PROTOCOL,
            Self::Binary => close_code::UNSUPPORTED,
            Self::BadText => close_code::INVALID,
            Self::TooLarge => close_code::SIZE,
        }
    }

    /// The ending that a failed read means; none when the connection itself is gone.
    fn of(why: axum::Error) -> Option<Self> {
        match why.into_inner().downcast_ref::<tungstenite::Error>()? {
            tungstenite::Error::Capacity(_) => Some(Self::TooLarge),
            tungstenite::Error::Utf8(_) => Some(Self::BadText),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            tungstenite::Error::Protocol(_) => Some(Self::BadFrame),
            _ => None,
        }
    }
}

/// One reader's stream.
#[derive(Debug)]
pub(super) struct Pump {
    stream: LiveStream,
    scope: TenantScope,
    standing: Standing,
    seconds: u32,
    connection: Option<ConnectionHandle>,
    /// Taken before the answer, so that the connection never counts as idle in between.
    guard: Option<ConnectionGuard>,
}

impl Pump {
    pub(super) fn new(
        stream: LiveStream,
        scope: TenantScope,
        standing: Standing,
        seconds: u32,
        connection: Option<ConnectionHandle>,
    ) -> Self {
        let guard = connection.as_ref().map(ConnectionHandle::guard);
        Self { stream, scope, standing, seconds, connection, guard }
    }

    pub(super) async fn run(self, mut sink: impl Sink) {
        let Self { mut stream, scope, standing, seconds, mut connection, guard } = self;
        let mut keep_alives = tokio::time::interval(KEEP_ALIVE_INTERVAL);
        let ending = loop {
            let next = tokio::select! {
                biased;
                () = stopped(&mut connection) => break Ending::Stream(StreamEnd::Stopped),
                gone = sink.gone() => match gone {
                    Some(why) => break why,
                    None => return,
                },
                _ = keep_alives.tick() => None,
                next = stream.next() => match next {
                    Ok(message) => Some(message),
                    Err(why) => break Ending::Stream(why),
                },
            };
            if !standing.lasts() {
                break Ending::NoRight;
            }
            let delivering = async {
                match next {
                    None => sink.keep_alive().await,
                    Some(LiveMessage::Live(window)) => {
                        sink.send("live", &[json(&LiveBody::new(seconds, &window))]).await
                    }
                    Some(LiveMessage::Windows(windows)) => send_windows(&mut sink, &scope, &windows).await,
                    Some(LiveMessage::Lost) => sink.send("lost", &["{}".to_owned()]).await,
                }
            };
            let delivered = tokio::time::timeout(READER_TIME_MAX, delivering).await;
            if !matches!(delivered, Ok(true)) {
                break Ending::Stream(StreamEnd::Lagged);
            }
        };
        // A reader that receives nothing does not receive the reason either.
        let _ = tokio::time::timeout(Duration::from_secs(1), sink.end(ending)).await;
        drop(guard);
    }
}

/// Sends windows in batches, so that the texts of very many are never in memory together.
async fn send_windows(sink: &mut impl Sink, scope: &TenantScope, windows: &[Window]) -> bool {
    for batch in windows.chunks(WINDOWS_AT_ONCE) {
        let bodies: Vec<_> = batch.iter().map(|window| json(&WindowBody::new(scope, window.clone()))).collect();
        if !sink.send("window", &bodies).await {
            return false;
        }
    }
    true
}

async fn stopped(connection: &mut Option<ConnectionHandle>) {
    match connection {
        Some(connection) => connection.stopped().await,
        None => std::future::pending().await,
    }
}

fn json(body: &impl Serialize) -> String {
    // Bodies are plain data, whose writing cannot fail.
    serde_json::to_string(body).unwrap_or_default()
}

/// Server-sent events in the body of a response. What waits there takes from the response budget; without
/// room for it the reader is too slow.
pub(super) struct EventSink {
    pub(super) sender: mpsc::Sender<Bytes>,
    pub(super) budget: ResponseBudget,
    pub(super) tenant: TenantId,
}

impl Sink for EventSink {
    async fn send(&mut self, kind: &'static str, data: &[String]) -> bool {
        let bytes = data.iter().map(|data| data.len() + 32).sum();
        let reservation = tokio::select! {
            reservation = self.budget.reserve_within(READER_TIME_MAX, &self.tenant, bytes) => reservation,
            () = self.sender.closed() => None,
        };
        let Some(reservation) = reservation else { return false };
        let mut text = String::with_capacity(bytes);
        for data in data {
            let _ = write!(text, "event: {kind}\ndata: {data}\n\n");
        }
        self.sender.send(reservation.attach_to(text.into())).await.is_ok()
    }

    async fn keep_alive(&mut self) -> bool {
        self.sender.send(Bytes::from_static(b": keep-alive\n\n")).await.is_ok()
    }

    async fn gone(&mut self) -> Option<Ending> {
        self.sender.closed().await;
        None
    }

    async fn end(self, why: Ending) {
        let text = format!("event: error\ndata: {{\"reason\":\"{}\"}}\n\n", why.reason());
        let _ = self.sender.send(text.into()).await;
    }
}

/// Texts over a WebSocket. A text that is being sent takes from the response budget twice: as the text and
/// as its frame.
pub(super) struct SocketSink {
    socket: WebSocket,
    budget: ResponseBudget,
    tenant: TenantId,
    /// Pings since the reader was last heard from.
    unanswered: u32,
}

/// Pings in a row that may stay without an answer.
const UNANSWERED_PINGS_MAX: u32 = 3;

impl SocketSink {
    pub(super) fn new(socket: WebSocket, budget: ResponseBudget, tenant: TenantId) -> Self {
        Self { socket, budget, tenant, unanswered: 0 }
    }
}

impl Sink for SocketSink {
    async fn send(&mut self, kind: &'static str, data: &[String]) -> bool {
        for data in data {
            let text = format!("{{\"type\":\"{kind}\",\"data\":{data}}}");
            // Reserved until the text has been sent: the frame is a copy of it.
            let reservation = self.budget.reserve_within(READER_TIME_MAX, &self.tenant, 2 * text.len()).await;
            if reservation.is_none() || self.socket.send(Message::Text(text.into())).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn keep_alive(&mut self) -> bool {
        self.unanswered += 1;
        self.unanswered <= UNANSWERED_PINGS_MAX && self.socket.send(Message::Ping(Bytes::new())).await.is_ok()
    }

    async fn gone(&mut self) -> Option<Ending> {
        loop {
            match self.socket.recv().await? {
                Ok(Message::Binary(_)) => return Some(Ending::Binary),
                Ok(_) => self.unanswered = 0,
                Err(why) => return Ending::of(why),
            }
        }
    }

    async fn end(mut self, why: Ending) {
        let frame = CloseFrame { code: why.close_code(), reason: why.reason().into() };
        if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = self.socket.recv().await {}
        }
    }
}
