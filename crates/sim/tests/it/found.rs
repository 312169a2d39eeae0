//! Stories that once broke a promise, as short as they can be told.

use std::time::Duration;

use sim::{Action, Ending, EventPlan, Request, Rules, Shape, Simulation, Trouble};
use vfs::testing::{Call, Fault};

use crate::embedded::{Embedded, Setup, runtime};

fn play(what: &str, seeds: u64, story: &[Action]) {
    let runtime = runtime();
    for seed in 0..seeds {
        let rules = Rules { seed, ending: Ending::PowerLoss, troubled_starts: false, retention_days: None };
        let played = runtime.block_on(Simulation::<Embedded>::run(rules, Setup::SMALL, story.to_vec()));
        assert!(played.is_ok(), "{what}, seed {seed}: {}", played.unwrap_err());
    }
}

/// A request of one event that happened `age_sec` ago.
fn request(age_sec: i64) -> Request {
    let event = EventPlan::New(Shape { age_sec: Some(age_sec), customer: Some(0), variety: 0 });
    Request { tenant: 0, events: vec![event], ask_first: false }
}

fn wait(millis: u64) -> Action {
    Action::Wait(Duration::from_millis(millis))
}

/// The journal took back what it had refused without syncing that, and windows close past a refusal.
#[test]
fn i10_a_refused_request_does_not_come_back_into_a_closed_window() {
    let together = vec![request(0), request(0), request(0), request(0)];
    let story = [
        Action::Send(request(0)),
        Action::SendTogether(together, Some(Trouble::Next(Call::Append, Fault::ShortWrite))),
        Action::Heal,
        wait(60_000),
        Action::Work(usize::MAX),
        Action::Close,
        Action::Read,
        Action::PowerLoss,
        Action::Check,
    ];
    play("a refused request came back", 64, &story);
}

/// A late event was journaled before one that was in time, and its window was shown as `revised` between
/// the two, though it was not closed.
#[test]
fn i10_a_late_event_that_is_applied_first_does_not_close_its_window() {
    // The window ends at 30 s and closes at 35: the first request is stamped before, the second, 0.7 s
    // later, is late; and the second is journaled first.
    let together = vec![request(10), request(10)];
    let story = [
        wait(34_500),
        Action::SendTogether(together, None),
        Action::Work(1),
        Action::Read,
        Action::Work(1),
        Action::Read,
        wait(60_000),
        Action::Close,
        Action::Read,
    ];
    play("a window was revised before it was closed", 1, &story);
}
