//! Gauges that are read from the ports and the gate whenever the metrics are read, so that they are never stale and
//! cost nothing in between.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use domain::time::Timestamp;
use parking_lot::Mutex;
use ports::clock::Clock;
use ports::journal::{Backlog, OrderedJournal};
use ports::ledger::Ledger;
use ports::live::Live;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::gate::{FairLimiter, WorkClass};
use crate::live::LiveStatus;

/// The state of the journal, the ledger, the live view and the gate. Keeps no port open.
#[derive(Debug)]
pub(crate) struct PortGauges {
    pub(crate) clock: Weak<dyn Clock>,
    pub(crate) journal: Option<Weak<dyn OrderedJournal>>,
    /// What waits in the journal, as of the last [`PortGauges::refresh`].
    pub(crate) backlog: Mutex<Backlog>,
    pub(crate) ledger: Weak<dyn Ledger>,
    pub(crate) live: Option<(Weak<dyn Live>, Weak<LiveStatus>)>,
    pub(crate) limiter: FairLimiter,
}

impl PortGauges {
    /// Reads what a port tells only asynchronously.
    pub(crate) async fn refresh(&self) {
        if let Some(journal) = self.journal.as_ref().and_then(Weak::upgrade) {
            let backlog = journal.backlog().await;
            *self.backlog.lock() = backlog;
        }
    }

    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(clock) = self.clock.upgrade() {
            let doubt = clock.doubt();
            let help = "Whether the machine's clock has jumped and is not believed";
            gauge(&mut encoder, "clock_unsure", help, u64::from(doubt.is_some()))?;
            let offset = ConstGauge::new(doubt.map_or(0, |doubt| doubt.offset_sec()));
            let help = "By how much the machine's clock is ahead of the trusted time while it is not believed";
            let name = "clock_offset_seconds";
            offset.encode(encoder.encode_descriptor(name, help, None, offset.metric_type())?)?;
        }
        if let Some(journal) = self.journal.as_ref().and_then(Weak::upgrade) {
            let (durable, backlog) = (journal.last_durable(), *self.backlog.lock());
            gauge(&mut encoder, "journal_durable_seq", "Number of the last durable record", durable.0)?;
            gauge(&mut encoder, "backlog_records", "Records that are durable but not applied", backlog.records)?;
            gauge(&mut encoder, "backlog_bytes", "Bytes of those records", backlog.bytes)?;
        }
        if let Some(ledger) = self.ledger.upgrade() {
            let stats = ledger.stats();
            let closed = closed_seconds(ledger.closed_through());
            gauge(&mut encoder, "ledger_unflushed_events", "Events applied but not flushed", stats.unflushed_events)?;
            gauge(&mut encoder, "ledger_segments", "Segments on disk", stats.segments)?;
            gauge(&mut encoder, "ledger_flushed_events", "Events on disk", stats.flushed_events)?;
            gauge(&mut encoder, "ledger_flushed_bytes", "Bytes of segments on disk", stats.flushed_bytes)?;
            gauge(&mut encoder, "ledger_dead_letters", "Records among the dead letters", stats.dead_letters)?;
            let help = "Up to when windows are closed, in seconds since 1970";
            gauge(&mut encoder, "windows_closed_through_timestamp_seconds", help, closed)?;
        }
        let live = self.live.as_ref().and_then(|(live, state)| live.upgrade().zip(state.upgrade()));
        if let Some((live, state)) = live {
            let streams = state.streams.load(Ordering::Relaxed) as u64;
            gauge(&mut encoder, "live_bytes", "Memory of the live view, reference tables not included", live.bytes())?;
            gauge(&mut encoder, "live_streams", "Live streams that are open", streams)?;
        }
        gate(&mut encoder, &self.limiter)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

/// What runs and what waits at the gate, by class of work.
fn gate(encoder: &mut DescriptorEncoder<'_>, limiter: &FairLimiter) -> Result<(), fmt::Error> {
    let loads = WorkClass::ALL.map(|class| (ClassLabel { class: class.as_str() }, limiter.load(class)));
    let mut running = encoder.encode_descriptor("gate_running", "Work that has a permit", None, MetricType::Gauge)?;
    for (class, load) in &loads {
        ConstGauge::new(i64::try_from(load.running).unwrap_or(i64::MAX)).encode(running.encode_family(class)?)?;
    }
    let mut waiting = encoder.encode_descriptor("gate_waiting", "Work that waits for one", None, MetricType::Gauge)?;
    for (class, load) in &loads {
        ConstGauge::new(i64::try_from(load.waiting).unwrap_or(i64::MAX)).encode(waiting.encode_family(class)?)?;
    }
    let mut admitted = encoder.encode_descriptor("gate_admitted", "Permits given", None, MetricType::Counter)?;
    for (class, load) in &loads {
        ConstCounter::new(load.admitted).encode(admitted.encode_family(class)?)?;
    }
    Ok(())
}

/// The gauges as the registry of metrics holds them.
#[derive(Debug)]
pub(crate) struct PortCollector(pub(crate) Arc<PortGauges>);

impl Collector for PortCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Whole seconds since 1970, 0 before it: before the first closing there is nothing to show.
fn closed_seconds(through: Timestamp) -> u64 {
    u64::try_from(through.micros()).unwrap_or(0) / 1_000_000
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}
