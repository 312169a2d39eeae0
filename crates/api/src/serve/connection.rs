//! What a handler that goes on after its answer needs of its connection: to keep it from being thought
//! idle, and to learn that the server stops.

use std::sync::Arc;

use hyper::Version;
use tokio::sync::{mpsc, watch};

use super::timed_stream::{ActiveRequests, Underway};

/// The connection of a request, among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle {
    pub(super) requests: Arc<ActiveRequests>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) open: mpsc::Sender<()>,
}

/// ConnectionGuard while something goes on after the answer: the server waits for it when it stops.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    _underway: Underway,
    _open: mpsc::Sender<()>,
}

impl ConnectionHandle {
    /// Keeps the connection.
    pub(crate) fn hold(&self) -> ConnectionGuard {
        ConnectionGuard { _underway: self.requests.begin(Version::HTTP_11), _open: self.open.clone() }
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopped(&mut self) {
        // An error means that the server is gone, which is a stop too.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }
}
