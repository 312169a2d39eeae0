//! The journal in a folder of this machine: puts recovery, the writer thread and the consumer's side
//! together as the port.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use domain::admit::Admitted;
use domain::position::{RecordId, Seq};
use domain::time::Timestamp;
use parking_lot::Mutex;
use ports::journal::{Backlog, Delivery, Journal, JournalHealth, OrderedJournal};
use ports::{ErrorKind, PortError};
use vfs::Vfs;

use crate::failure::append_error;
use crate::folder::Folder;
use crate::options::JournalOptions;
use crate::queue::{EndGuard, Queue};
use crate::recovery;
use crate::replay::Replay;
use crate::writer::Writer;

/// A journal on local disk. Dropping it closes it: what was appended is written first.
#[derive(Debug)]
pub struct LocalJournal {
    folder: Arc<Folder>,
    queue: Arc<Queue>,
    replay: Mutex<Replay>,
    reserve_bytes: u64,
    last_stamp: Option<Timestamp>,
    writer: Option<JoinHandle<()>>,
}

impl LocalJournal {
    /// Opens the journal in `dir`, creating it if need be, and recovers what is in it. Everything up
    /// to and with `after` is durable elsewhere and may be deleted; if the journal ends before it,
    /// the next record follows on `after`. Blocks while it reads.
    ///
    /// # Errors
    /// `Corrupt` when a durable record is not what was written or is missing, naming file and byte;
    /// `Full` or `Unavailable` when the folder cannot be read or written.
    pub fn open(vfs: Arc<dyn Vfs>, dir: PathBuf, after: Seq, options: JournalOptions) -> Result<Self, PortError> {
        let found = recovery::recover(&vfs, &dir, after)?;
        let reserve_bytes = options.reserve_bytes;
        let put_off_bytes = found.put_off.as_ref().map(|renewal| renewal.bytes);
        let queue = Queue::new(found.last, after, found.sizes, options.backlog_bytes_max);
        let queue = Arc::new(queue.unsettled(put_off_bytes));
        let folder = Arc::new(Folder::new(vfs, dir, found.segments));
        let replay = Mutex::new(Replay::new(Arc::clone(&folder), after, found.last));
        let writer =
            Writer::new(Arc::clone(&folder), Arc::clone(&queue), options, found.active, found.put_off, found.last);
        let end = EndGuard(Arc::clone(&queue));
        let run = move || {
            let _end = end;
            writer.run();
        };
        let started = thread::Builder::new().name("journal-writer".to_owned()).spawn(run);
        let unavailable = |why| PortError::new(ErrorKind::Unavailable, "start the journal's writer").because(why);
        let writer = Some(started.map_err(unavailable)?);
        Ok(Self { folder, queue, replay, reserve_bytes, last_stamp: found.last_stamp, writer })
    }

    /// When the last record that was found on opening was received, as it says; flushed records count as long
    /// as they are there.
    pub fn last_stamp(&self) -> Option<Timestamp> {
        self.last_stamp
    }
}

#[async_trait]
impl Journal for LocalJournal {
    async fn append(&self, admitted: &Admitted) -> Result<RecordId, PortError> {
        let answer = self.queue.push(admitted.payload())?;
        // Without an answer the writer has crashed and the outcome is unknown.
        let durable = answer.await.unwrap_or_else(|_| Err(append_error(ErrorKind::Poisoned)));
        durable.map(RecordId::from)
    }

    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        let replayed = self.replay.lock().next_records()?;
        if !replayed.is_empty() {
            return Ok(replayed);
        }
        loop {
            if let Some(deliveries) = self.queue.take_readable() {
                return Ok(deliveries);
            }
            self.queue.readable().await;
        }
    }

    async fn ack(&self, ids: &[RecordId]) {
        self.queue.ack(ids);
    }

    async fn backlog(&self) -> Backlog {
        self.queue.backlog()
    }

    /// The disk is looked at anew, so that the journal is known to be full, and ready again, even without an append.
    async fn health(&self) -> JournalHealth {
        let (health, bytes) = self.queue.health();
        let needed = self.reserve_bytes.saturating_add(bytes).max(1);
        let free = || self.folder.free_bytes();
        match health {
            JournalHealth::Ready if free().is_ok_and(|free| free < needed) => JournalHealth::Full,
            JournalHealth::Full if free().is_ok_and(|free| free >= needed) => match self.settle().await {
                Ok(()) => JournalHealth::Ready,
                Err(_) => self.queue.health().0,
            },
            health => health,
        }
    }

    /// Has the writer do what was put off at the opening.
    async fn settle(&self) -> Result<(), PortError> {
        let Some(answer) = self.queue.settle()? else { return Ok(()) };
        answer.await.unwrap_or_else(|_| Err(append_error(ErrorKind::Poisoned)))
    }

    async fn close(&self) {
        self.queue.close();
        self.queue.ended().await;
    }
}

#[async_trait]
impl OrderedJournal for LocalJournal {
    fn last_durable(&self) -> Seq {
        self.queue.last_durable()
    }

    fn acked_through(&self) -> Seq {
        self.queue.acked_through()
    }

    /// Removes whole segments, in the calling thread.
    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        self.folder.trim(flushed)
    }

    async fn part_after(&self, through: Seq) -> Result<(), PortError> {
        if self.folder.last_begins_after(through) {
            return Ok(());
        }
        let answer = self.queue.part()?;
        answer.await.unwrap_or_else(|_| Err(append_error(ErrorKind::Poisoned)))
    }

    fn first_kept(&self) -> Seq {
        self.folder.first().unwrap_or(self.queue.last_durable().next())
    }
}

impl Drop for LocalJournal {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A crashed writer has poisoned the queue already.
            let _ = writer.join();
        }
    }
}
