//! One run of one build, on a fresh folder: a load over HTTP, or an import of a file.

use std::path::Path;
use std::time::Duration;

use super::comparison::{Quantity, Value};
use crate::folder::Folder;
use crate::ingest::{self, IngestReport};
use crate::plan::IngestPlan;
use crate::process::run_measured;
use crate::server::Server;
use crate::workload::Mix;

/// Events in one request.
const BATCH_EVENTS: u64 = 100;
/// Connections of the load.
const CONNECTIONS: u16 = 8;

/// Loads a server of `build` in a closed loop for `duration`, and checks what it counted.
pub(super) async fn ingest(build: &Path, parent: &Path, duration: Duration) -> anyhow::Result<Vec<Value>> {
    let folder = Folder::temporary(parent)?;
    let (server, _) = Server::start_build(build, folder.path(), &[]).await?;
    let plan = IngestPlan { duration_max: Some(duration), ..IngestPlan::of(Mix::STANDARD, BATCH_EVENTS, CONNECTIONS) };
    let report = ingest::measure(&server, &plan).await?;
    server.stop().await?;
    report.check.ensure_exact()?;
    let IngestReport { events, applied_per_s, latency, server_before, server_after, .. } = report;
    let used = server_before.zip(server_after).map(|(before, after)| after.cpu_s - before.cpu_s);
    Ok(vec![
        Value::new("ingest, durable and applied", Quantity::PerSecond, Some(number(applied_per_s))),
        Value::new("ingest, processor time per event", Quantity::ProcessorUs, used.map(|used| each_us(used, events))),
        Value::new("ingest, p50", Quantity::P50Us, Some(number(latency.p50_us))),
        Value::new("ingest, p99", Quantity::P99Us, Some(number(latency.p99_us))),
        Value::new("ingest, peak memory", Quantity::PeakKib, server_after.map(|after| number(after.peak_kib))),
    ])
}

/// Imports `file`, which has so many rows, into a fresh folder.
pub(super) async fn import(build: &Path, parent: &Path, file: &Path, rows: u64) -> anyhow::Result<Vec<Value>> {
    let folder = Folder::temporary(parent)?;
    let used = run_measured(build, &["import".as_ref(), file, "--data".as_ref(), folder.path()]).await?;
    let per_second = number(rows) / used.elapsed.as_secs_f64().max(1e-6);
    Ok(vec![
        Value::new("import, rows", Quantity::PerSecond, Some(per_second)),
        Value::new("import, processor time per row", Quantity::ProcessorUs, used.cpu_s.map(|cpu| each_us(cpu, rows))),
        Value::new("import, peak memory", Quantity::PeakKib, used.peak_kib.map(number)),
    ])
}

/// Microseconds for each of `count` when `seconds` are spent on all of them.
fn each_us(seconds: f64, count: u64) -> f64 {
    seconds * 1e6 / number(count.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is taken of it, and is shown with few digits")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
