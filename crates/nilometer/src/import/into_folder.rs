//! Takes rows into a data folder in this process: the reading thread admits and encodes them, this
//! task makes one batch after the other durable, the pipeline's worker applies them.

use std::sync::Arc;

use anyhow::{Context, bail};
use domain::event::Candidate;
use domain::rejection::Rejection;
use domain::tenant::TenantScope;
use domain::warning::Warning;
use pipeline::{LoadBatch, LoadedBatch, LoadedDurably, LoadedOutcome, Loader, Pipeline};
use tokio::sync::mpsc;

use super::batcher::{Batcher, ImportBatch, Packer, Stopped};
use super::content_id::content_id;
use super::files::RowSource;
use super::session::ImportSession;

/// Events of one record, and the bytes of their rows after which it is closed all the same.
const BATCH_EVENTS: usize = 10_000;
const BATCH_BYTES: usize = 4 << 20;
/// Room for a record: most need half of it or more, and are neither moved to more room nor to less.
const RECORD_BYTES: usize = 3 << 20;
/// Batches that wait to be journaled, and that wait to be applied (I6).
const WAITING_MAX: usize = 2;
const PENDING_MAX: usize = 8;

/// Loads everything that `source` gives; returns when it is applied.
pub(crate) async fn load(
    pipeline: &Arc<Pipeline>,
    scope: &TenantScope,
    source: impl RowSource,
    strict: bool,
    session: &mut ImportSession,
) -> anyhow::Result<()> {
    let (out, batches) = mpsc::channel(WAITING_MAX);
    let (on_thread, its_scope) = (Arc::clone(pipeline), scope.clone());
    let read = move || {
        let loader = on_thread.ingest()?.loader(&its_scope, strict);
        let mut packer = FolderPacker { loader: &loader, batch: None, bytes: 0 };
        source.read_into(&mut Batcher::new(&mut packer, out))
    };
    let reader = std::thread::Builder::new().name("reader".to_owned()).spawn(read);
    let reader = reader.context("failed to start the reader")?;
    tokio::select! {
        taken = take(pipeline, batches, session) => taken?,
        reason = pipeline.failed() => bail!("the data folder takes nothing more: {reason}"),
    }
    let read = reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))?;
    read.or_else(|why| if why.is::<Stopped>() { Ok(()) } else { Err(why) })
}

/// A batch whose rows are durable, as far as they can be taken.
type Written = (Option<LoadedDurably>, ImportBatch<LoadedBatch>);

async fn take(
    pipeline: &Pipeline,
    batches: mpsc::Receiver<ImportBatch<LoadedBatch>>,
    session: &mut ImportSession,
) -> anyhow::Result<()> {
    let (out, written) = mpsc::channel(PENDING_MAX);
    tokio::try_join!(write(pipeline, batches, out), settle(pipeline, written, session))?;
    Ok(())
}

async fn write(
    pipeline: &Pipeline,
    mut batches: mpsc::Receiver<ImportBatch<LoadedBatch>>,
    out: mpsc::Sender<Written>,
) -> anyhow::Result<()> {
    while let Some(mut batch) = batches.recv().await {
        let durable = match batch.packed.take() {
            Some(batch) => Some(pipeline.ingest()?.append_loaded(batch).await?),
            None => None,
        };
        if out.send((durable, batch)).await.is_err() {
            // Settling has failed, and says why.
            break;
        }
    }
    Ok(())
}

async fn settle(
    pipeline: &Pipeline,
    mut written: mpsc::Receiver<Written>,
    session: &mut ImportSession,
) -> anyhow::Result<()> {
    while let Some((durable, batch)) = written.recv().await {
        if let Some(durable) = durable {
            match pipeline.ingest()?.outcome_of_loaded(durable).await? {
                LoadedOutcome::Applied { accepted, duplicates } => session.counted(accepted, duplicates),
                LoadedOutcome::DeadLettered { reason } => {
                    session.dead_lettered(&batch, batch.rows - batch.rejects.len() as u64, &reason);
                }
            }
        }
        session.settled(&batch)?;
    }
    Ok(())
}

/// Makes records.
struct FolderPacker<'l> {
    loader: &'l Loader<'l>,
    batch: Option<LoadBatch<'l>>,
    bytes: usize,
}

impl Packer for FolderPacker<'_> {
    type Packed = LoadedBatch;

    fn take<'c>(
        &mut self,
        candidate: &'c Candidate<'c>,
        _line: u64,
        raw: &[u8],
    ) -> Result<Vec<Warning<'c>>, Rejection> {
        let loader = self.loader;
        let batch = self.batch.get_or_insert_with(|| loader.batch(RECORD_BYTES));
        // A row of a table has no text of its own; its properties are what makes it large.
        self.bytes += raw.len().max(candidate.properties.as_ref().map_or(0, |properties| properties.len()));
        batch.take(candidate, || content_id(candidate))
    }

    fn is_due(&self) -> bool {
        let events = self.batch.as_ref().map_or(0, LoadBatch::events);
        events >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }

    fn pack(&mut self) -> Option<LoadedBatch> {
        self.bytes = 0;
        self.batch.take().and_then(LoadBatch::finish)
    }
}
