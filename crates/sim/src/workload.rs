//! Random actions from a seed, weighted so that requests and work prevail, trouble is frequent, and the
//! same ids, windows and customers are met again and again.

use std::time::Duration;

use ports::testing::manifest::FaultPoint;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use vfs::testing::{Call, EIO, EMFILE, ENOSPC, Fault};

use crate::action::{Action, EventPlan, Request, Shape};
use crate::client::TENANTS;
use crate::world::Trouble;

/// Most events in one request.
const EVENTS_MAX: usize = 4;
/// Calls within which a planned fault strikes, about those of a flush.
const STEPS_AHEAD: u64 = 50;

/// An endless stream of random actions.
#[derive(Debug)]
pub struct Workload {
    dice: StdRng,
}

impl Workload {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: StdRng::seed_from_u64(seed) }
    }

    fn request(&mut self) -> Request {
        let count = self.dice.random_range(1..=EVENTS_MAX);
        Request {
            tenant: self.dice.random_range(0..TENANTS.len()),
            events: (0..count).map(|_| self.event()).collect(),
            ask_first: self.dice.random_bool(0.4),
        }
    }

    fn event(&mut self) -> EventPlan {
        match self.dice.random_range(0..10) {
            0..7 => EventPlan::New(self.shape()),
            7..9 => EventPlan::Again(self.dice.random_range(0..1_000)),
            _ => EventPlan::Changed(self.dice.random_range(0..1_000)),
        }
    }

    fn shape(&mut self) -> Shape {
        let age_sec = match self.dice.random_range(0..12) {
            0 => None,
            1 => Some(-60),
            2 => Some(7_200),
            3 => Some(self.dice.random_range(0..400_000)),
            4..7 => Some(self.dice.random_range(25..90)),
            _ => Some(self.dice.random_range(0..20)),
        };
        let customer = self.dice.random_bool(0.8).then(|| self.dice.random_range(0..3));
        Shape { age_sec, customer, variety: self.dice.random() }
    }

    fn together(&mut self) -> Action {
        let count = self.dice.random_range(2..=4);
        let requests = (0..count).map(|_| self.request()).collect();
        let trouble = match self.dice.random_range(0..6) {
            0 => Some(Trouble::Next(Call::Append, Fault::ShortWrite)),
            1 => Some(Trouble::Next(Call::Append, Fault::Error(ENOSPC))),
            2 => Some(Trouble::Next(Call::Sync, Fault::Error(EIO))),
            3 => Some(Trouble::Step { after: self.dice.random_range(0..4), fault: Fault::Crash }),
            _ => None,
        };
        Action::SendTogether(requests, trouble)
    }

    fn wait(&mut self) -> Duration {
        let millis = match self.dice.random_range(0..10) {
            0..5 => self.dice.random_range(0..5_000),
            5..9 => self.dice.random_range(5_000..40_000),
            _ => self.dice.random_range(600_000..5_000_000),
        };
        Duration::from_millis(millis)
    }

    fn fault(&mut self) -> Fault {
        let errors = [Fault::Error(EIO), Fault::Error(ENOSPC), Fault::Error(EMFILE), Fault::ShortWrite];
        let crash = self.dice.random_bool(0.6);
        let error = errors.choose(&mut self.dice).copied();
        error.filter(|_| !crash).unwrap_or(Fault::Crash)
    }

    fn trouble(&mut self) -> Trouble {
        const CALLS: [Call; 9] = [
            Call::Create,
            Call::OpenAppend,
            Call::OpenRead,
            Call::Rename,
            Call::Remove,
            Call::SyncDir,
            Call::Append,
            Call::Sync,
            Call::Read,
        ];
        let call = CALLS.choose(&mut self.dice).copied().unwrap_or(Call::Sync);
        match self.dice.random_range(0..12) {
            0..6 => Trouble::Step { after: self.dice.random_range(0..STEPS_AHEAD), fault: self.fault() },
            6..8 => Trouble::Next(call, self.fault()),
            8 => Trouble::Always(call, Fault::Error(EIO)),
            9 => Trouble::Full { room: self.dice.random_range(0..4_000) },
            _ => {
                let points = [FaultPoint::BeforeCommit, FaultPoint::AfterCommit, FaultPoint::DiskFull];
                Trouble::Commit(points.choose(&mut self.dice).copied().unwrap_or(FaultPoint::BeforeCommit))
            }
        }
    }
}

impl Iterator for Workload {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        Some(match self.dice.random_range(0..100) {
            0..28 => Action::Send(self.request()),
            28..34 => self.together(),
            34 => Action::SendOverFailingSync(self.request()),
            35..39 => Action::Retry,
            39..60 => Action::Work(self.dice.random_range(1..20)),
            60..66 => Action::Maintain,
            66..68 => Action::Flush,
            68..73 => Action::Close,
            73..81 => Action::Wait(self.wait()),
            81 => Action::SetBack(Duration::from_millis(self.dice.random_range(0..20_000))),
            82..87 => Action::Read,
            87..92 => Action::Cause(self.trouble()),
            92..95 => Action::Heal,
            95 => Action::Restart,
            96 => Action::Kill,
            97 => Action::PowerLoss,
            _ => Action::Check,
        })
    }
}
