//! The live view as it is asked: when it is whole, what its windows are, and streams of them. Fed by
//! the worker with every event it applies, and at the start with what was applied before.

mod announce;
mod rebuild;
mod status;
mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::position::Seq;
use domain::tenant::TenantScope;
use ports::PortError;
use ports::clock::Clock;
use ports::live::{Live, LiveWindow};

pub(crate) use announce::{Announcements, Announcer};
pub(crate) use rebuild::Rebuild;
pub(crate) use status::LiveStatus;
use stream::Tickers;
pub use stream::{LiveMessage, LiveStream, StreamEnd, StreamRefusal};

use crate::receipts::Receipts;
use crate::stop::StopSignal;

/// The live view of one process.
#[derive(Debug)]
pub struct LiveView {
    live: Arc<dyn Live>,
    clock: Arc<dyn Clock>,
    receipts: Arc<Receipts>,
    replay_until: Seq,
    status: Arc<LiveStatus>,
    announcements: Arc<Announcements>,
    tickers: Arc<Tickers>,
}

/// What a live view is made of.
pub(crate) struct LiveParts {
    pub(crate) live: Arc<dyn Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) replay_until: Seq,
    pub(crate) status: Arc<LiveStatus>,
    pub(crate) announcements: Arc<Announcements>,
    pub(crate) stop: StopSignal,
}

impl LiveView {
    pub(crate) fn new(parts: LiveParts) -> Self {
        let LiveParts { live, clock, receipts, replay_until, status, announcements, stop } = parts;
        let tickers = Arc::new(Tickers::new(Arc::clone(&live), Arc::clone(&clock), stop));
        Self { live, clock, receipts, replay_until, status, announcements, tickers }
    }

    /// The longest window, in seconds.
    pub fn retention_sec(&self) -> u32 {
        self.live.retention_sec()
    }

    /// Why windows cannot be answered yet, if that is so: until what was applied before the start has
    /// been counted, they would show less than was shown before it.
    pub fn problem(&self) -> Option<String> {
        let (applied, all) = (self.receipts.applied(), self.replay_until);
        if applied < all {
            return Some(format!("replaying the journal: record {applied} of {all}"));
        }
        let rebuilt = self.status.rebuilt.load(Ordering::Acquire);
        (!rebuilt).then(|| "recent events are being read".to_owned())
    }

    /// The window of the `seconds` seconds that end with this one.
    ///
    /// # Errors
    /// As [`Live::window`].
    pub async fn window(&self, scope: &TenantScope, seconds: u32) -> Result<LiveWindow, PortError> {
        self.live.window(scope, self.clock.now(), seconds).await
    }

    /// Opens a stream of that window, every second, and of windows that close or are revised.
    ///
    /// # Errors
    /// [`StreamRefusal`] when too many are open.
    pub fn stream(&self, scope: &TenantScope, seconds: u32) -> Result<LiveStream, StreamRefusal> {
        let slot = stream::StreamSlot::take(&self.status)?;
        let windows = self.announcements.subscribe(scope).ok_or(StreamRefusal)?;
        let ticks = self.tickers.subscribe(scope, seconds).ok_or(StreamRefusal)?;
        Ok(LiveStream::new(ticks, windows, slot))
    }
}
