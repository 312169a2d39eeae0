//! How the running parts learn that they are to end: gently, after draining what is there, or at
//! once, when the pipeline is dropped (as a crash would).

use tokio::sync::watch;

/// Tells the parts to end; dropping it ends them at once.
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

/// One part's sight of [`Stop`].
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
