//! What a handler that goes on after its answer needs of its connection: to keep it from being thought
//! idle, and to learn that the server stops.

use std::sync::Arc;

use hyper::Version;
use tokio::sync::{mpsc, watch};

use super::patience::{Exchange, Underway};

/// The connection of a request, among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub(super) exchange: Arc<Exchange>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) open: mpsc::Sender<()>,
}

/// Held while something goes on after the answer: the server waits for it when it stops.
#[derive(Debug)]
pub(crate) struct Held {
    _underway: Underway,
    _open: mpsc::Sender<()>,
}

impl Stay {
    /// Keeps the connection.
    pub(crate) fn hold(&self) -> Held {
        Held { _underway: self.exchange.begin(Version::HTTP_11), _open: self.open.clone() }
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopped(&mut self) {
        // An error means that the server is gone, which is a stop too.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }
}
