//! F16: whatever is done to the machine's clock, events are stamped with the time that it is, windows close by it,
//! and nothing is lost. The clock that is set here is the machine's; processes believe it as far as they should.

use std::time::Duration;

use domain::time::{MICROS_PER_SECOND, Timestamp};
use domain::window::WindowState;
use pipeline::IngestError;
use ports::clock::Clock;
use ports::ledger::Ledger;

use crate::twins::LedgerFaults;
use crate::world::{START, World, eventually, verdicts};

const SECOND: Duration = Duration::from_secs(1);
const HOUR_SEC: i64 = 3_600;
/// From [`START`] to the year 2100.
const TO_2100_SEC: i64 = 4_102_444_800 - START.micros() / MICROS_PER_SECOND;

fn later(seconds: i64) -> Timestamp {
    START.plus_micros(seconds * MICROS_PER_SECOND)
}

/// Sets the machine's clock off by `seconds` from the time that is trusted.
fn jump(world: &World, seconds: i64) {
    world.clock.set(world.trusted.now().plus_micros(seconds * MICROS_PER_SECOND));
}

/// Lets time pass, second by second, with a moment for the closer at each.
async fn pass(world: &World, seconds: u32) {
    for _ in 0..seconds {
        world.clock.advance(SECOND);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What holds while the clock is not believed.
async fn is_in_doubt(world: &World) {
    assert_eq!(world.post("acme", r#"{"id":"refused"}"#).await.err(), Some(IngestError::ClockUnsure));
    assert_eq!(world.not_ready().await, ["clock"]);
    assert_eq!(world.metric("clock_unsure ").await, Some(1.0));
    let failed = r#"failed_events_total{reason="clock_unsure"}"#;
    assert!(world.metric(failed).await.is_none_or(|failed| failed > 0.0));
}

/// What holds from now on: events are stamped and judged by the time that it is, and windows close by it.
async fn is_right(world: &World) {
    assert!(world.not_ready().await.is_empty(), "{:?}", world.pipeline.readiness().await);
    assert_eq!(world.metric("clock_unsure ").await, Some(0.0));
    eventually("no window of the future is closed", || {
        world.clock.advance(SECOND);
        (world.ledger.closed_through() <= world.now()).then_some(())
    })
    .await;
    // To the front of a window, so that it is in the same one when it is received.
    while world.now().micros() / MICROS_PER_SECOND % 30 != 7 {
        pass(world, 1).await;
    }
    let now = world.now();
    let n = now.micros();
    let ahead = now.plus_micros(50 * 60 * MICROS_PER_SECOND);
    let body = format!(
        r#"[{{"id":"stamped-{n}","customer":"c"}},{{"id":"in-time-{n}","customer":"c","time":"{now}"}},
            {{"id":"ahead-{n}","time":"{ahead}"}}]"#
    );
    let answer = world.post_and_wait("acme", &body).await;
    let expected = [
        format!("stamped-{n} accepted"),
        format!("in-time-{n} accepted"),
        format!("ahead-{n} rejected time_in_future"),
    ];
    assert_eq!(verdicts(&answer), expected);
    let events = world.events("acme").await;
    let stamped = events.iter().find(|event| event.id == format!("stamped-{n}")).unwrap();
    assert_eq!((stamped.time, stamped.received_at), (now, now));
    eventually("its window closes", || {
        world.clock.advance(SECOND);
        (world.ledger.closed_through() >= now.plus_micros(28 * MICROS_PER_SECOND)).then_some(())
    })
    .await;
    assert!(world.ledger.closed_through() <= world.now(), "no window of the future is closed");
    let windows = world.windows("acme").await;
    let window = windows.iter().find(|window| window.start <= now && now < window.end).unwrap();
    assert_eq!((window.state, window.revision), (WindowState::Closed, 1), "what comes in time is no revision");
}

#[tokio::test]
async fn f16_an_hour_ahead_for_three_seconds_and_2100_for_four_change_nothing() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"before","customer":"c"}"#).await;
    pass(&world, 40).await;
    for (off, seconds) in [(HOUR_SEC, 3), (TO_2100_SEC, 4), (-HOUR_SEC, 3), (-START.micros() / MICROS_PER_SECOND, 4)] {
        let closed = world.ledger.closed_through();
        jump(&world, off);
        is_in_doubt(&world).await;
        pass(&world, seconds).await;
        is_in_doubt(&world).await;
        assert_eq!(world.ledger.closed_through(), closed, "no window closes");
        assert_eq!(world.ids("acme").await.first().map(String::as_str), Some("before"), "reads work");
        jump(&world, 0);
        is_right(&world).await;
    }
    assert_eq!(world.windows("acme").await[0].revision, 1);
}

#[tokio::test]
async fn f16_no_window_closes_while_the_clock_is_off_and_all_do_afterwards() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"before","customer":"c"}"#).await;
    jump(&world, HOUR_SEC);
    pass(&world, 120).await;
    assert!(world.ledger.closed_through() <= START, "not by the clock, nor by what is trusted");
    jump(&world, 0);
    eventually("it closes", || {
        world.clock.advance(SECOND);
        (world.ledger.closed_through() >= later(35)).then_some(())
    })
    .await;
    is_right(&world).await;
}

#[tokio::test]
async fn a_new_time_that_holds_for_five_minutes_is_believed() {
    for off in [HOUR_SEC, -HOUR_SEC] {
        let world = World::new();
        world.post_and_wait("acme", r#"{"id":"before"}"#).await;
        pass(&world, 40).await;
        jump(&world, off);
        is_in_doubt(&world).await;
        pass(&world, 299).await;
        is_in_doubt(&world).await;
        world.clock.advance(SECOND);
        assert_eq!(world.trusted.now(), later(40 + 300 + off));
        is_right(&world).await;
    }
}

#[tokio::test]
async fn an_operator_ends_the_doubt_at_once_and_may_take_it_back() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"before"}"#).await;
    jump(&world, TO_2100_SEC);
    is_in_doubt(&world).await;
    assert!(world.trusted.accept().was_in_doubt);
    is_right(&world).await;
    assert!(world.ledger.closed_through() > later(TO_2100_SEC));
    world.clock.set(later(60));
    is_in_doubt(&world).await;
    assert!(world.trusted.accept().was_in_doubt);
    is_right(&world).await;
}

#[tokio::test]
async fn i1_a_restart_in_the_middle_loses_nothing_and_believes_a_clock_that_is_ahead() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"before"}"#).await;
    pass(&world, 40).await;
    jump(&world, HOUR_SEC);
    is_in_doubt(&world).await;
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    world.post_and_wait("acme", r#"{"id":"ahead"}"#).await;
    pass(&world, 40).await;
    jump(&world, -HOUR_SEC);
    is_in_doubt(&world).await;
    pass(&world, 300).await;
    is_right(&world).await;
    let ids = world.ids("acme").await;
    assert!(["before", "ahead"].iter().all(|id| ids.iter().any(|known| known == id)), "I1: {ids:?}");
}

/// A folder that an earlier release, which followed every jump, has stamped and closed up to 2100.
#[tokio::test]
async fn f16_a_folder_stamped_in_the_future_heals() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"before","customer":"c"}"#).await;
    jump(&world, TO_2100_SEC);
    world.trusted.accept();
    world.post_and_wait("acme", r#"{"id":"in 2100","customer":"c"}"#).await;
    pass(&world, 40).await;
    assert!(world.ledger.closed_through() > later(TO_2100_SEC));
    world.clock.set(later(60));

    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    is_in_doubt(&world).await;
    assert_eq!(world.ids("acme").await, ["before", "in 2100"], "reads work");
    world.trusted.accept();
    is_right(&world).await;
    // The next start has nothing left to doubt.
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    is_right(&world).await;
    assert_eq!(world.ids("acme").await.len(), 2 + 2 + 2);
}

#[tokio::test]
async fn receive_times_follow_the_clock_back_within_the_bound_and_closed_windows_stay_closed() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"first","customer":"c"}"#).await;
    pass(&world, 40).await;
    eventually("the window closes", || {
        world.clock.advance(SECOND);
        (world.ledger.closed_through() >= later(35)).then_some(())
    })
    .await;
    world.clock.set(later(20));
    world.post_and_wait("acme", r#"{"id":"second","customer":"c"}"#).await;
    let events = world.events("acme").await;
    assert_eq!(events.iter().find(|event| event.id == "second").map(|event| event.received_at), Some(later(20)));
    let window = &world.windows("acme").await[0];
    assert_eq!((window.state, window.revision), (WindowState::Revised, 2), "I10: it was closed");
    let stamps = world.stamps().await;
    assert!(stamps.is_sorted_by_key(|(_, times)| times.watermark), "{stamps:?}");
}
