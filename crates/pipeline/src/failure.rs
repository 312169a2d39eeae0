//! What ends the process: the first reason reported stands, and everything that waits for one gets it.

use std::future::Future;
use std::sync::Arc;

use ports::ErrorKind;
pub(crate) use ports::error_chain;
use tokio::sync::watch;

/// Where any part of the pipeline reports that it cannot go on without a restart.
#[derive(Debug, Clone)]
pub(crate) struct FatalError {
    reason: Arc<watch::Sender<Option<String>>>,
}

impl FatalError {
    pub(crate) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Reports a failure; later ones are only logged.
    pub(crate) fn report(&self, reason: String) {
        tracing::error!(%reason, "the process has to restart");
        self.reason.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert(reason);
            new
        });
    }

    /// The first reason reported.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Resolves with the first reason reported; never when nothing fails.
    pub(crate) fn wait(&self) -> impl Future<Output = String> + Send + use<> {
        let mut reason = self.reason.subscribe();
        async move {
            match reason.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
                Ok(Some(reason)) => reason,
                _ => std::future::pending().await,
            }
        }
    }
}

/// Whether only a new process can go on after such an error: it recovers from what is durable.
pub(crate) const fn needs_restart(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Poisoned | ErrorKind::Conflict)
}
