//! x

use std::time::Duration;

use sim::{Action, Ending, EventPlan, Request, Rules, Shape, Simulation, Trouble};
use vfs::testing::{Call, EIO, ENOSPC, Fault};

use crate::embedded::{Embedded, Setup, runtime};

fn new(customer: u8, age_sec: i64) -> EventPlan {
    EventPlan::New(Shape { age_sec: Some(age_sec), customer: Some(customer), variety: 7_777 * u64::from(customer) })
}

fn request(tenant: usize, events: Vec<EventPlan>) -> Request {
    Request { tenant, events, ask_first: false }
}

#[test]
fn refused_is_refused() {
    let runtime = runtime();
    let mut broken_runs = 0;
    for fault in [Fault::ShortWrite, Fault::Error(ENOSPC), Fault::Error(EIO)] {
        for before in [false, true] {
            for seed in 0..40 {
                let r = || request(0, vec![new(0, 0)]);
                let mut story = vec![];
                if before {
                    story.push(Action::Send(r()));
                }
                story.extend([
                    Action::SendTogether(vec![r(), r(), r(), r()], Some(Trouble::Next(Call::Append, fault))),
                    Action::Heal,
                    Action::Wait(Duration::from_secs(60)),
                    Action::Work(100),
                    Action::Close,
                    Action::Read,
                    Action::PowerLoss,
                    Action::Check,
                ]);
                let rules = Rules { seed, ending: Ending::Either, troubled_starts: false };
                if let Err(broken) = runtime.block_on(Simulation::<Embedded>::run(rules, Setup::SMALL, story)) {
                    if broken_runs < 3 {
                        eprintln!("{fault:?} {before} seed {seed}: {broken}");
                    }
                    broken_runs += 1;
                }
            }
        }
    }
    assert_eq!(broken_runs, 0);
}
