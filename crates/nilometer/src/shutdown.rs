//! Why a server ends.

use std::io;

use pipeline::Pipeline;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why a server ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It was asked to, by this signal.
    Asked(&'static str),
    /// It cannot keep its promises any more.
    Failed(String),
}

/// The signals that ask a server to end.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over from the system, which would end the process at once.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks to end. A terminal that closes, or one who wants settings read again, does not.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP changes nothing: settings are read when the server starts");
                }
            }
        }
    }

    /// The first reason to end.
    pub(crate) async fn ending(&mut self, pipeline: &Pipeline) -> Ending {
        tokio::select! {
            signal = self.next() => Ending::Asked(signal),
            reason = pipeline.failed() => Ending::Failed(reason),
        }
    }
}
