//! Random stories: whatever clients send and whatever goes wrong, all promises hold.

use sim::{Broken, Ending, Report, Rules, Seeds, Simulation, Tally, Workload};

use crate::embedded::{Embedded, Setup, runtime};

/// Actions of one story.
const ACTIONS: usize = 150;
/// Seeds that a run of all tests affords.
const SEEDS: u64 = 60;

fn play(runtime: &tokio::runtime::Runtime, seed: u64) -> Result<Report, Broken> {
    let rules = Rules { seed, ending: Ending::Either, troubled_starts: true };
    runtime.block_on(Simulation::<Embedded>::run(rules, Setup::of(seed), Workload::new(seed).take(ACTIONS)))
}

#[test]
fn every_promise_holds_in_random_worlds() {
    let runtime = runtime();
    let mut tally = Tally::default();
    for seed in Seeds::from_environment(SEEDS) {
        match play(&runtime, seed) {
            Ok(report) => tally += report.tally,
            Err(broken) => panic!("{}: {broken}", Seeds::rerun(seed)),
        }
    }
    eprintln!("{tally:?}");
}

#[test]
fn a_seed_gives_the_same_story_every_time() {
    let runtime = runtime();
    for seed in Seeds::from_environment(3) {
        let reports = [play(&runtime, seed), play(&runtime, seed)].map(|played| match played {
            Ok(report) => report,
            Err(broken) => panic!("{}: {broken}", Seeds::rerun(seed)),
        });
        assert_eq!(reports[0], reports[1], "{}", Seeds::rerun(seed));
    }
}
