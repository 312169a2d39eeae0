//! Random stories: whatever clients send and whatever goes wrong, all promises hold.

use sim::{Ending, Report, Rules, Seeds, Simulation, Tally, Workload};
use tokio::runtime::Runtime;

use crate::embedded::{Embedded, Setup, runtime};

/// Actions of one story.
const ACTIONS: usize = 150;
/// Seeds that a run of all tests affords.
const SEEDS: u64 = 200;

/// What has to happen again and again for these tests to mean anything.
const THINGS: [&str; 13] = [
    "acknowledged request",
    "refused request",
    "poisoned request",
    "overload",
    "applied record",
    "flush",
    "merge",
    "closing",
    "read",
    "kill",
    "power loss",
    "failed start",
    "orderly restart",
];

fn play(runtime: &Runtime, seed: u64) -> Report {
    let setup = Setup::of(seed);
    let retention_days = setup.retention_days;
    let rules = Rules { seed, ending: Ending::Either, troubled_starts: true, retention_days };
    let story = Workload::new(seed).take(ACTIONS);
    match runtime.block_on(Simulation::<Embedded>::run(rules, setup, story)) {
        Ok(report) => report,
        Err(broken) => panic!("{}: {broken}", Seeds::rerun(seed)),
    }
}

#[test]
fn every_promise_holds_in_200_random_worlds() {
    let (runtime, seeds) = (runtime(), Seeds::from_environment(SEEDS));
    let enough = seeds.clone().count() >= 20;
    let mut tally = Tally::default();
    for seed in seeds {
        tally += play(&runtime, seed).tally;
    }
    let rare = THINGS.into_iter().find(|thing| tally.of(thing) < 20);
    assert!(rare.is_none() || !enough, "hardly any {rare:?}: {tally:?}");
}

#[test]
fn a_seed_gives_the_same_story_every_time() {
    let runtime = runtime();
    for seed in Seeds::from_environment(4) {
        assert_eq!(play(&runtime, seed), play(&runtime, seed), "{}", Seeds::rerun(seed));
    }
}
