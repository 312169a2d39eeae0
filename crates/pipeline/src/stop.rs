//! The signal that ends the running parts: gently, after draining what is there, or at
//! once, when the pipeline is dropped (as a crash would).

use tokio::sync::watch;

/// The sender of the stop signal; dropping it ends the parts at once.
#[derive(Debug)]
pub(crate) struct Stop {
    draining: watch::Sender<bool>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self { draining: watch::Sender::new(false) }
    }

    /// Asks the parts to finish what is there and end.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub(crate) fn signal(&self) -> StopSignal {
        StopSignal { draining: self.draining.subscribe() }
    }
}

/// A receiver of the stop signal.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal {
    draining: watch::Receiver<bool>,
}

impl StopSignal {
    /// Resolves when the part is to end, gently or at once.
    pub(crate) async fn ended(&mut self) {
        // An error means that the sender is gone, which ends the part too.
        let _ = self.draining.wait_for(|draining| *draining).await;
    }

    /// Resolves when the part is to end at once.
    pub(crate) async fn abandoned(&mut self) {
        while self.draining.changed().await.is_ok() {}
    }
}
