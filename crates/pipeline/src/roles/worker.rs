//! The role that applies events: the worker, which is the one consumer of the journal, and the closer
//! of windows. One process at most has it. The closer knows the requests under way in its own process
//! alone, so windows close rightly only where events are taken in the same process, or nowhere.

use std::sync::Arc;

use domain::position::Seq;
use parking_lot::Mutex;
use ports::journal::OrderedJournal;
use ports::live::Live;
use ports::{ErrorKind, PortError};
use tokio::task::JoinHandle;

use super::RoleContext;
use crate::closer::Closer;
use crate::failure::error_chain;
use crate::worker::{self, Worker, WorkerHandle};

/// What applying events needs beside the ledger.
#[derive(Debug, Clone)]
pub struct WorkerRole {
    /// Where durable records come from.
    pub journal: Arc<dyn OrderedJournal>,
    /// The live view, which counts what is applied.
    pub live: Arc<dyn Live>,
}

/// The running worker and closer.
#[derive(Debug)]
pub(crate) struct RunningWorker {
    journal: Arc<dyn OrderedJournal>,
    handle: WorkerHandle,
    closer: Mutex<Option<JoinHandle<()>>>,
}

impl WorkerRole {
    pub(crate) fn start(self, context: &RoleContext) -> RunningWorker {
        let Self { journal, live } = self;
        let worker = Worker {
            journal: Arc::clone(&journal),
            ledger: Arc::clone(&context.ledger),
            clock: Arc::clone(&context.clock),
            receipts: Arc::clone(&context.receipts),
            names: Arc::clone(&context.names),
            metrics: Arc::clone(&context.metrics),
            live,
            announcements: Arc::clone(&context.announcements),
            backlog: Arc::clone(&context.backlog),
            quotas: context.quotas.clone(),
            stop: context.stop.signal(),
            replay_until: context.replay_until,
        };
        let closer = Closer {
            journal: Arc::clone(&journal),
            ledger: Arc::clone(&context.ledger),
            clock: Arc::clone(&context.clock),
            in_flight: Arc::clone(&context.in_flight),
            receipts: Arc::clone(&context.receipts),
            rule: context.rule,
            failure: context.failure.clone(),
        };
        RunningWorker {
            journal,
            handle: worker::spawn(worker, context.failure.clone()),
            closer: Mutex::new(Some(tokio::spawn(closer.run(context.stop.signal())))),
        }
    }
}

impl RunningWorker {
    pub(crate) fn is_alive(&self) -> bool {
        self.handle.is_alive()
    }

    /// Waits until windows are no longer closed, which the context's stop asks for.
    pub(crate) async fn end_closing(&self) {
        let closer = self.closer.lock().take();
        if let Some(closer) = closer {
            // An error means that the task panicked, which ends it too.
            let _ = closer.await;
        }
    }

    /// Has the journal, which is not closed yet, end the file that holds what was erased, so that the file can go with
    /// the end. Returns the last record that was erased, if the journal holds any.
    pub(crate) async fn part_erased(&self, context: &RoleContext) -> Option<Seq> {
        worker::part_erased(&*self.journal, &*context.ledger).await
    }

    /// Waits until the rest of the journal, which is closed, is applied, makes it durable in the ledger, and has the
    /// journal forget it. `erased` is the last record that was erased, if the journal holds any.
    pub(crate) async fn finish(&self, context: &RoleContext, erased: Option<Seq>) -> Result<(), PortError> {
        self.handle.join().await;
        if let Some(reason) = context.failure.reason() {
            return Err(PortError::new(ErrorKind::Unavailable, "apply the rest of the journal").because(reason));
        }
        let flushed = context.ledger.flush().await?;
        if let Err(error) = self.journal.trim(flushed).await {
            tracing::warn!(error = error_chain(&error), "the journal was not trimmed; the next start will");
        }
        worker::tell_if_gone(&*self.journal, erased);
        Ok(())
    }
}
