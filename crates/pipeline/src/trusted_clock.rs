//! The clock that everything in a process asks: the machine's, unless that has jumped. What it decides is in
//! [`TrustedTime`]; this reads the machine, and says in the log when belief turns.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use domain::trusted_time::{AcceptedClock, ClockChange, ClockDoubt, MachineTime, TrustedTime};
use parking_lot::Mutex;
use ports::clock::Clock;

/// The machine's clock as far as it can be trusted.
#[derive(Debug)]
pub struct TrustedClock {
    machine: Arc<dyn Clock>,
    time: Mutex<TrustedTime>,
}

impl TrustedClock {
    /// Trusts `machine` within `drift_us_max`; not at all at first, when it shows a time before `last_stamp`,
    /// the last one known to have been.
    pub fn start(machine: Arc<dyn Clock>, last_stamp: Option<Timestamp>, drift_us_max: i64) -> Arc<Self> {
        let time = Mutex::new(TrustedTime::start(read(&*machine), last_stamp, drift_us_max));
        let clock = Arc::new(Self { machine, time });
        // Says at once whether the start is in doubt.
        clock.now();
        clock
    }

    /// Believes what the machine's clock shows, because an operator says so.
    pub fn accept(&self) -> AcceptedClock {
        let accepted = {
            let mut time = self.time.lock();
            time.accept(read(&*self.machine))
        };
        if accepted.was_in_doubt {
            tell(ClockChange::Corrected { from: accepted.before, to: accepted.now, accepted: true });
        }
        accepted
    }

    fn look<T>(&self, look: impl FnOnce(&TrustedTime, MachineTime, Timestamp) -> T) -> T {
        let (looked, change) = {
            let mut time = self.time.lock();
            // Under the lock, so that looks come in the order in which the machine was read.
            let machine = read(&*self.machine);
            let (now, change) = time.observe(machine);
            (look(&time, machine, now), change)
        };
        if let Some(change) = change {
            tell(change);
        }
        looked
    }
}

fn read(machine: &dyn Clock) -> MachineTime {
    MachineTime { wall: machine.now(), uptime: machine.monotonic() }
}

fn tell(change: ClockChange) {
    match change {
        ClockChange::Doubted(ClockDoubt { wall, trusted, corrected_in, .. }) => tracing::error!(
            %wall,
            %trusted,
            corrected_in_sec = corrected_in.as_secs(),
            "the clock has jumped and is not believed: no events are taken, no window closes and nothing is dropped \
             until it is back, has held for the time given, or `nilometer admin accept-clock` is run"
        ),
        ClockChange::Recovered { after } => {
            tracing::warn!(after_sec = after.as_secs(), "the clock is back; events are taken again");
        }
        ClockChange::Corrected { from, to, accepted } => {
            tracing::warn!(%from, %to, accepted, "the time is corrected to what the clock shows; events are taken again");
        }
    }
}

#[async_trait]
impl Clock for TrustedClock {
    fn now(&self) -> Timestamp {
        self.look(|_, _, now| now)
    }

    fn doubt(&self) -> Option<ClockDoubt> {
        self.look(|time, machine, _| time.doubt_of(machine))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.machine.sleep(duration).await;
    }
}
