//! Streams of the live view. A window is added up once a second for all streams of its tenant and
//! length, each time with a permit of class `Live`. A reader that lags behind is dropped; no other waits
//! for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::limits::{LIVE_STREAM_LENGTHS_MAX, LIVE_STREAMS_MAX};
use domain::tenant::{TenantId, TenantScope};
use parking_lot::Mutex;
use ports::clock::Clock;
use ports::live::{Live, LiveWindow};
use ports::reports::Window;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::announce::Announcement;
use super::status::LiveStatus;
use crate::failure::error_chain;
use crate::stop::StopSignal;

/// Time between two live windows.
const TICK: Duration = Duration::from_secs(1);
/// Live windows that a reader may lag behind.
const TICKS_MAX: usize = 4;

/// What a stream brings.
#[derive(Debug, Clone)]
pub enum LiveMessage {
    /// The live window, once a second.
    Live(Arc<LiveWindow>),
    /// Windows that have closed or been revised.
    Windows(Arc<[Window]>),
    /// More windows than can be announced have closed or been revised: read the listing.
    Lost,
}

/// Why a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The reader was too slow.
    Lagged,
    /// The server stops.
    Stopped,
}

/// Too many streams are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRefusal;

/// One reader's stream.
#[derive(Debug)]
pub struct LiveStream {
    ticks: Receiver<Arc<LiveWindow>>,
    windows: Receiver<Announcement>,
    _slot: StreamSlot,
}

impl LiveStream {
    pub(super) fn new(ticks: Receiver<Arc<LiveWindow>>, windows: Receiver<Announcement>, slot: StreamSlot) -> Self {
        Self { ticks, windows, _slot: slot }
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// [`StreamEnd`] when there will be none.
    pub async fn next(&mut self) -> Result<LiveMessage, StreamEnd> {
        let ended = |error| match error {
            RecvError::Lagged(_) => StreamEnd::Lagged,
            RecvError::Closed => StreamEnd::Stopped,
        };
        tokio::select! {
            biased;
            announced = self.windows.recv() => match announced.map_err(ended)? {
                Announcement::Windows(windows) => Ok(LiveMessage::Windows(windows)),
                Announcement::Lost => Ok(LiveMessage::Lost),
            },
            live = self.ticks.recv() => live.map(LiveMessage::Live).map_err(ended),
        }
    }
}

/// One of the streams that may be open at once, given back on drop.
#[derive(Debug)]
pub(super) struct StreamSlot(Arc<LiveStatus>);

impl StreamSlot {
    pub(super) fn take(status: &Arc<LiveStatus>) -> Result<Self, StreamRefusal> {
        let slot = Self(Arc::clone(status));
        if status.streams.fetch_add(1, Ordering::Relaxed) < LIVE_STREAMS_MAX { Ok(slot) } else { Err(StreamRefusal) }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One task per tenant and window length with a subscriber.
#[derive(Debug)]
pub(super) struct Tickers {
    live: Arc<dyn Live>,
    clock: Arc<dyn Clock>,
    stop: StopSignal,
    running: Mutex<HashMap<(TenantId, u32), Ticks>>,
}

type Ticks = Sender<Arc<LiveWindow>>;

impl Tickers {
    pub(super) fn new(live: Arc<dyn Live>, clock: Arc<dyn Clock>, stop: StopSignal) -> Self {
        Self { live, clock, stop, running: Mutex::default() }
    }

    /// `None` when the tenant reads too many different lengths.
    pub(super) fn subscribe(self: &Arc<Self>, scope: &TenantScope, seconds: u32) -> Option<Receiver<Arc<LiveWindow>>> {
        let key = (scope.tenant().clone(), seconds);
        let mut running = self.running.lock();
        if let Some(sender) = running.get(&key) {
            return Some(sender.subscribe());
        }
        if running.keys().filter(|(tenant, _)| tenant == scope.tenant()).count() >= LIVE_STREAM_LENGTHS_MAX {
            return None;
        }
        let (sender, receiver) = channel(TICKS_MAX);
        running.insert(key, sender.clone());
        let (tickers, scope) = (Arc::clone(self), scope.clone());
        tokio::spawn(async move {
            let mut stop = tickers.stop.clone();
            tokio::select! {
                biased;
                () = stop.ended() => drop(tickers.running.lock().remove(&(scope.tenant().clone(), seconds))),
                // Removes itself, under the lock under which it sees that no reader is left.
                () = tickers.run(&scope, seconds, sender) => {}
            }
        });
        Some(receiver)
    }

    async fn run(&self, scope: &TenantScope, seconds: u32, sender: Ticks) {
        loop {
            match self.live.window(scope, self.clock.now(), seconds).await {
                // Fails when no reader listens at this moment.
                Ok(window) => drop(sender.send(Arc::new(window))),
                Err(error) => tracing::warn!(error = error_chain(&error), "a live window was not read; trying again"),
            }
            self.clock.sleep(TICK).await;
            let mut running = self.running.lock();
            if sender.receiver_count() == 0 {
                running.remove(&(scope.tenant().clone(), seconds));
                return;
            }
        }
    }
}
