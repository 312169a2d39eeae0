//! I10: a window closes only when everything that was received in time is in it.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use ports::ErrorKind;
use ports::clock::Clock;
use ports::ledger::Ledger;
use ports::testing::journal::AppendFault;
use proptest::prelude::*;
use tokio::task::JoinHandle;

use crate::twins::LedgerFaults;
use crate::world::{START, World, eventually, within};

#[tokio::test]
async fn windows_close_when_their_grace_is_over() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    for _ in 0..34 {
        world.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = world.ledger.closed_through();
    assert!(first < START.plus_micros(35_000_000), "not before the end of its grace: {first}");
    eventually("the window closes", || {
        world.clock.advance(Duration::from_secs(1));
        (world.ledger.closed_through() >= START.plus_micros(35_000_000)).then_some(())
    })
    .await;
}

/// A world in which the outcome of one append is not known, and when that was received.
async fn unknown_outcome(kept: bool) -> (World, Timestamp) {
    let world = World::new();
    world.clock.advance(Duration::from_secs(3));
    let stamped = world.now();
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Unavailable, kept }));
    assert!(world.post("acme", r#"{"id":"e1"}"#).await.is_err());
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(world.ledger.closed_through() <= stamped, "no window closes past it");
    world.journal.inner().fail_appends(None);
    (world, stamped)
}

async fn closes_past(world: &World, stamped: Timestamp) {
    eventually("windows close", || {
        world.clock.advance(Duration::from_secs(20));
        (world.ledger.closed_through() > stamped).then_some(())
    })
    .await;
}

#[tokio::test]
async fn i7_an_append_whose_outcome_is_unknown_holds_windows_until_a_later_one_succeeds() {
    for kept in [true, false] {
        let (world, stamped) = unknown_outcome(kept).await;
        world.post_and_wait("acme", r#"{"id":"e2"}"#).await;
        closes_past(&world, stamped).await;
        assert_eq!(world.ids("acme").await.len(), 1 + usize::from(kept));
    }
}

#[tokio::test]
async fn an_append_whose_outcome_is_unknown_holds_windows_until_a_restart() {
    let (world, stamped) = unknown_outcome(true).await;
    let world = world.restart(LedgerFaults::default());
    closes_past(&world, stamped).await;
    assert_eq!(world.ids("acme").await, ["e1"]);
}

#[derive(Debug, Clone)]
enum Step {
    Post,
    /// Lets one append that is held go on.
    Release,
    Hold,
    ReleaseAll,
    Clock(i64),
    LedgerDown(bool),
    /// Makes appends fail, and tells whether their records are kept all the same.
    JournalDown(Option<bool>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Post),
        3 => Just(Step::Release),
        1 => Just(Step::Hold),
        1 => Just(Step::ReleaseAll),
        6 => (-20_i64..60).prop_map(Step::Clock),
        1 => any::<bool>().prop_map(Step::LedgerDown),
        1 => any::<Option<bool>>().prop_map(Step::JournalDown),
    ]
}

async fn run(steps: Vec<Step>) {
    let world = Arc::new(World::new());
    let mut posts: Vec<JoinHandle<bool>> = Vec::new();
    let journal_down = |kept: Option<bool>| {
        let fault = kept.map(|kept| AppendFault { kind: ErrorKind::Unavailable, kept });
        world.journal.inner().fail_appends(fault);
    };
    for step in steps {
        match step {
            Step::Post => {
                let (world, body) = (Arc::clone(&world), format!(r#"{{"id":"e{}"}}"#, posts.len()));
                posts.push(tokio::spawn(async move { world.post("acme", &body).await.is_ok() }));
            }
            Step::Release => world.journal.release_one(),
            Step::Hold => world.journal.hold(),
            Step::ReleaseAll => world.journal.release(),
            Step::Clock(seconds) => world.clock.set(world.now().plus_micros(seconds * 1_000_000)),
            Step::JournalDown(kept) => journal_down(kept),
            Step::LedgerDown(down) => world
                .ledger
                .set(LedgerFaults { refuse: down.then_some(ErrorKind::Unavailable), ..LedgerFaults::default() }),
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    world.journal.release();
    world.ledger.set(LedgerFaults::default());
    let mut acknowledged = 0;
    for post in posts {
        acknowledged += usize::from(within("the answer", post).await.unwrap());
    }
    journal_down(None);
    world.settle().await;
    // Steps that add up to more than is believed leave the time in doubt.
    world.clock.set(world.trusted.now());
    world.post_and_wait("acme", r#"{"id":"last"}"#).await;
    let events = world.events("acme").await;
    assert!(events.len() > acknowledged, "I1");
    let (stamps, mut closed) = (world.stamps().await, Timestamp::MIN);
    for (through, applied) in world.ledger.closings() {
        for (seq, times) in &stamps {
            let in_time = times.late_from() >= through || *seq <= applied;
            assert!(in_time, "closed through {through} at record {applied}, without {seq}: {times:?}");
        }
        assert!(through >= closed);
        closed = through;
    }
    eventually("closing goes on", || {
        world.clock.advance(Duration::from_secs(30));
        (world.ledger.closed_through() > closed).then_some(())
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn i10_when_a_window_closes_everything_received_in_time_is_applied(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(steps));
    }
}
