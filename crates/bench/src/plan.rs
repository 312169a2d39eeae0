//! Which load is put on a server, before a server is known.

use std::sync::Arc;
use std::time::Duration;

use clock::SystemClock;
use ports::clock::Clock;

use super::load::LoadPlan;
use super::schedule::{Pace, Schedule};
use super::server::Server;
use super::workload::{Mix, Workload};

/// A load and its end; it ends at whichever limit it reaches first.
#[derive(Debug, Clone, Copy)]
pub(super) struct IngestPlan {
    /// How the events are spread.
    pub(super) mix: Mix,
    /// Events in one request.
    pub(super) batch: u64,
    /// Connections.
    pub(super) connections: u16,
    /// Most events.
    pub(super) events_max: Option<u64>,
    /// Longest time.
    pub(super) duration_max: Option<Duration>,
    /// Events per second of an open loop; `None` for a closed loop.
    pub(super) rate: Option<u64>,
    /// Whether to sample the time to visibility.
    pub(super) visibility: bool,
}

impl IngestPlan {
    /// A closed loop without an end.
    pub(super) const fn of(mix: Mix, batch: u64, connections: u16) -> Self {
        Self { mix, batch, connections, events_max: None, duration_max: None, rate: None, visibility: false }
    }

    /// The plan of a run on `server` that begins now.
    pub(super) fn begin(&self, server: &Server) -> LoadPlan {
        let now = SystemClock.now();
        LoadPlan {
            target: Arc::clone(server.target()),
            workload: Arc::new(Workload::new(rand::random(), self.mix, now)),
            connections: self.connections,
            schedule: Schedule {
                batch: self.batch,
                events_max: self.events_max,
                duration_max: self.duration_max,
                pace: self.rate.map(|rate| Pace::new(rate, self.batch)),
            },
            now,
            visibility: self.visibility,
        }
    }
}
