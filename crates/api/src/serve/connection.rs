//! The connection of a request, for handlers whose work goes on after the answer, such as a stream: they
//! keep the connection from counting as idle, and learn that the server stops. And who is at its other end.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hyper::Version;
use tokio::sync::{mpsc, watch};

use super::timed_stream::{ActiveRequest, ActiveRequests};

/// The connection of a request, among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle {
    requests: Arc<ActiveRequests>,
    stopped: watch::Receiver<bool>,
    open: mpsc::Sender<()>,
}

/// The other end of a request's connection, among the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) is_tls: bool,
}

/// The path of a request that does not lie below the path of all routes, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct OutsideBasePath(pub(crate) String);

/// Nobody, in whose place a request without a connection comes.
impl Default for Peer {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), is_tls: false }
    }
}

/// Held while work goes on after the answer: the connection is not idle, and a server that stops waits.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    _active: ActiveRequest,
    _open: mpsc::Sender<()>,
}

impl ConnectionHandle {
    pub(super) fn new(requests: Arc<ActiveRequests>, stopped: watch::Receiver<bool>, open: mpsc::Sender<()>) -> Self {
        Self { requests, stopped, open }
    }

    /// Keeps the connection open until the guard is dropped.
    pub(crate) fn guard(&self) -> ConnectionGuard {
        ConnectionGuard { _active: self.requests.begin(Version::HTTP_11), _open: self.open.clone() }
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopped(&mut self) {
        // An error means that the server is gone, which is a stop too.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }
}
