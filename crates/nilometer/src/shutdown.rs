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
}

impl Signals {
    /// Takes the signals over from the system, which would end the process at once.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
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
