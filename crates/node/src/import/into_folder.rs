//! Takes rows into a data folder in this process: the reading thread admits and encodes them, this
//! task makes one batch after the other durable, the pipeline's worker applies them.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, bail};
use domain::event::Candidate;
use domain::rejection::Rejection;
use domain::tenant::TenantScope;
use pipeline::{LoadBatch, LoadedBatch, LoadedDurably, Loader, Pipeline};
use tokio::sync::mpsc;

use super::content_id::content_id;
use super::desk::Desk;
use super::files::Produce;
use super::packing::{Packer, Packing, Parcel, Stopped};

/// Events of one record, and the bytes of their rows after which it is closed all the same.
const BATCH_EVENTS: usize = 10_000;
const BATCH_BYTES: usize = 4 << 20;
/// Batches that wait to be journaled, and that wait to be applied (I6).
const WAITING_MAX: usize = 2;
const PENDING_MAX: usize = 8;

/// Loads everything that `source` gives; returns when it is applied.
pub(crate) async fn load(
    pipeline: &Arc<Pipeline>,
    scope: &TenantScope,
    source: impl Produce,
    desk: &mut Desk,
) -> anyhow::Result<()> {
    let (out, parcels) = mpsc::channel(WAITING_MAX);
    let (on_thread, its_scope) = (Arc::clone(pipeline), scope.clone());
    let read = move || {
        let loader = on_thread.ingest().loader(&its_scope);
        let mut packer = FolderPacker { loader: &loader, batch: None, bytes: 0 };
        source.produce(&mut Packing::new(&mut packer, out))
    };
    let reader = std::thread::Builder::new().name("reader".to_owned()).spawn(read);
    let reader = reader.context("failed to start the reader")?;
    tokio::select! {
        taken = take(pipeline, parcels, desk) => taken?,
        reason = pipeline.failed() => bail!("the data folder takes nothing more: {reason}"),
    }
    let read = reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))?;
    read.or_else(|why| if why.is::<Stopped>() { Ok(()) } else { Err(why) })
}

async fn take(
    pipeline: &Pipeline,
    mut parcels: mpsc::Receiver<Parcel<LoadedBatch>>,
    desk: &mut Desk,
) -> anyhow::Result<()> {
    let mut pending = VecDeque::new();
    while let Some(mut parcel) = parcels.recv().await {
        let packed = parcel.packed.take();
        if let Some(batch) = packed {
            pending.push_back(pipeline.ingest().append_loaded(batch).await?);
        }
        desk.durable(&parcel)?;
        while pending.len() > PENDING_MAX {
            settle(pipeline, &mut pending, desk).await?;
        }
    }
    while !pending.is_empty() {
        settle(pipeline, &mut pending, desk).await?;
    }
    Ok(())
}

async fn settle(pipeline: &Pipeline, pending: &mut VecDeque<LoadedDurably>, desk: &mut Desk) -> anyhow::Result<()> {
    let Some(first) = pending.pop_front() else { return Ok(()) };
    let counts = pipeline.ingest().applied_loaded(first).await?;
    desk.counted(counts.accepted, counts.duplicates);
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

    fn take(&mut self, candidate: &Candidate<'_>, _line: u64, raw: &[u8]) -> Result<(), Rejection> {
        let loader = self.loader;
        let batch = self.batch.get_or_insert_with(|| loader.batch(BATCH_BYTES / 2));
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
