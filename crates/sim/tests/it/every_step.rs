//! One story that comes by everything the product does to its files, and every disk call of it failing in
//! turn, in every way: the power goes, the process is killed, the call fails, the disk is full.

use std::time::Duration;

use sim::{Action, Ending, EventPlan, Report, Request, Rules, Shape, Simulation, Trouble};
use vfs::testing::{EIO, ENOSPC, Fault};

use crate::embedded::{Embedded, Setup, runtime};

/// A new event of the customer with this number, `age_sec` old.
fn new(customer: u8, age_sec: i64) -> EventPlan {
    EventPlan::New(Shape { age_sec: Some(age_sec), customer: Some(customer), variety: 7_777 * u64::from(customer) })
}

fn request(tenant: usize, events: Vec<EventPlan>) -> Request {
    Request { tenant, events, ask_first: false }
}

fn send(tenant: usize, events: Vec<EventPlan>) -> Action {
    Action::Send(request(tenant, events))
}

/// Requests, groups, duplicates, late events, closings, flushes, merges, trimming, and an orderly restart.
fn story() -> Vec<Action> {
    let minute = Action::Wait(Duration::from_secs(60));
    let everything = usize::MAX;
    vec![
        send(0, vec![new(0, 1), new(1, 2), new(2, 3), new(0, 4), new(1, 40)]),
        send(1, vec![new(0, 1), EventPlan::Again(0), new(1, -20), new(0, 8)]),
        Action::Work(everything),
        Action::SendTogether(
            vec![request(0, vec![new(0, 0)]), request(1, vec![new(2, 0)]), request(0, vec![EventPlan::Changed(1)])],
            None,
        ),
        minute.clone(),
        Action::Work(everything),
        Action::Close,
        Action::Read,
        send(0, vec![new(0, 61), EventPlan::Again(2), new(1, 5), new(2, 7)]),
        Action::Work(everything),
        Action::Read,
        Action::Flush,
        Action::Maintain,
        send(1, vec![new(0, 3), new(0, 4_000)]),
        Action::Restart,
        send(0, vec![new(0, 62), EventPlan::Again(1)]),
        Action::Work(everything),
        minute,
        Action::Close,
        Action::Read,
    ]
}

fn play(runtime: &tokio::runtime::Runtime, ending: Ending, seed: u64, trouble: Option<Trouble>) -> Report {
    let rules = Rules { seed, ending, troubled_starts: false, retention_days: None };
    let story = trouble.map(Action::Cause).into_iter().chain(story());
    match runtime.block_on(Simulation::<Embedded>::run(rules, Setup::SMALL, story)) {
        Ok(report) => report,
        Err(broken) => panic!("{trouble:?}, then {ending:?} by seed {seed}: {broken}"),
    }
}

/// Fails every disk call of the story in turn.
fn fail_every_step(fault: Fault, endings: &[(Ending, u64)]) {
    let runtime = runtime();
    let undisturbed = play(&runtime, Ending::Kill, 0, None);
    for thing in ["acknowledged request", "flush", "merge", "closing", "read", "orderly restart"] {
        assert!(undisturbed.tally.of(thing) > 0, "the story has no {thing}");
    }
    for after in 0..undisturbed.steps {
        for (ending, seed) in endings {
            play(&runtime, *ending, seed + after, Some(Trouble::Step { after, fault }));
        }
    }
}

#[test]
fn the_power_goes_at_every_step() {
    fail_every_step(Fault::Crash, &[(Ending::PowerLoss, 0), (Ending::PowerLoss, 1_000)]);
}

#[test]
fn the_process_is_killed_at_every_step() {
    fail_every_step(Fault::Crash, &[(Ending::Kill, 0)]);
}

#[test]
fn every_step_fails_with_an_io_error() {
    fail_every_step(Fault::Error(EIO), &[(Ending::Kill, 0), (Ending::PowerLoss, 0)]);
}

#[test]
fn the_disk_is_full_at_every_step() {
    fail_every_step(Fault::Error(ENOSPC), &[(Ending::PowerLoss, 0)]);
}

#[test]
fn every_write_is_cut_short() {
    fail_every_step(Fault::ShortWrite, &[(Ending::PowerLoss, 0)]);
}
