//! Every way in which a clock goes wrong and comes back, and that no series of steps breaks the promise that
//! watermarks build on.

use proptest::prelude::*;

use super::*;

const DRIFT_US: i64 = 60 * 1_000_000;
const YEAR_2100: i64 = 4_102_444_800;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn machine(wall: i64, uptime: u64) -> MachineTime {
    MachineTime { wall: at(wall), uptime: Duration::from_secs(uptime) }
}

fn started() -> TrustedTime {
    TrustedTime::start(machine(1_000_000, 0), None, DRIFT_US)
}

/// The time at each look, and the names of what has changed.
fn look(time: &mut TrustedTime, wall: i64, uptime: u64) -> (i64, &'static str) {
    let (now, change) = time.observe(machine(wall, uptime));
    let change = match change {
        None => "",
        Some(ClockChange::Doubted(_)) => "doubted",
        Some(ClockChange::Recovered { .. }) => "recovered",
        Some(ClockChange::Corrected { .. }) => "corrected",
    };
    (now.micros() / 1_000_000, change)
}

#[test]
fn f16_an_hour_ahead_for_three_seconds_moves_nothing() {
    for off in [3_600, -3_600, YEAR_2100 - 1_000_000, -1_000_000] {
        let mut time = started();
        assert_eq!(look(&mut time, 1_000_001, 1), (1_000_001, ""));
        assert_eq!(look(&mut time, 1_000_002 + off, 2), (1_000_002, "doubted"));
        assert_eq!(look(&mut time, 1_000_004 + off, 4), (1_000_004, ""));
        assert!(time.doubt_of(machine(1_000_004 + off, 4)).is_some_and(|doubt| doubt.offset_sec() == off));
        assert_eq!(look(&mut time, 1_000_005, 5), (1_000_005, "recovered"));
        assert_eq!(time.doubt_of(machine(1_000_005, 5)), None);
        assert_eq!(look(&mut time, 1_000_006, 6), (1_000_006, ""), "told once");
    }
}

#[test]
fn steps_within_the_bound_are_believed_at_once() {
    let mut time = started();
    for (wall, uptime) in [(1_000_060, 0), (999_941, 1), (1_000_062, 2)] {
        assert_eq!(look(&mut time, wall, uptime), (wall, ""));
    }
    assert_eq!(look(&mut time, 1_000_064, 3), (1_000_003, "doubted"), "the steps are not added up");
}

#[test]
fn a_small_step_becomes_the_expectation_after_a_while() {
    let mut time = started();
    assert_eq!(look(&mut time, 1_000_341, 299), (1_000_341, ""));
    assert_eq!(look(&mut time, 1_000_342, 300), (1_000_342, ""));
    assert_eq!(look(&mut time, 1_000_401, 301), (1_000_401, ""));
}

#[test]
fn an_offset_that_holds_for_five_minutes_is_a_correction() {
    let mut time = started();
    assert_eq!(look(&mut time, 1_003_600, 0).1, "doubted");
    assert_eq!(look(&mut time, 1_003_899, 299), (1_000_299, ""));
    let (now, change) = time.observe(machine(1_003_900, 300));
    let corrected = ClockChange::Corrected { from: at(1_000_300), to: at(1_003_900), accepted: false };
    assert_eq!((now, change), (at(1_003_900), Some(corrected)));
    assert_eq!(look(&mut time, 1_003_901, 301), (1_003_901, ""));
}

#[test]
fn an_offset_that_moves_has_not_held() {
    let mut time = started();
    assert_eq!(look(&mut time, 1_003_600, 0).1, "doubted");
    assert_eq!(look(&mut time, 1_003_699, 200), (1_000_200, ""), "off by another 101 s");
    assert_eq!(look(&mut time, 1_003_800, 301), (1_000_301, ""));
    assert_eq!(look(&mut time, 1_003_999, 500), (1_003_999, "corrected"));
}

#[test]
fn an_operator_ends_the_doubt() {
    let mut time = started();
    look(&mut time, 1_003_600, 0);
    let accepted = time.accept(machine(1_003_601, 1));
    assert_eq!(accepted, AcceptedClock { before: at(1_000_001), now: at(1_003_601), was_in_doubt: true });
    assert_eq!(look(&mut time, 1_003_602, 2), (1_003_602, ""));
    assert!(!time.accept(machine(1_003_603, 3)).was_in_doubt);
}

#[test]
fn a_start_behind_the_last_stamp_is_in_doubt_and_one_ahead_is_believed() {
    for (stamp, expected) in [
        (Some(999_000), (1_000_000, "")),
        (Some(1_000_060), (1_000_000, "")),
        (Some(1_000_061), (1_000_061, "doubted")),
        (Some(YEAR_2100), (YEAR_2100, "doubted")),
        (None, (1_000_000, "")),
    ] {
        let mut time = TrustedTime::start(machine(1_000_000, 7), stamp.map(at), DRIFT_US);
        assert_eq!(look(&mut time, 1_000_000, 7), expected, "{stamp:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Set(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..400).prop_map(Step::Pass),
        3 => (-90_i64..90).prop_map(Step::Set),
        1 => (-9_000_i64..9_000).prop_map(Step::Set),
    ]
}

proptest! {
    /// What `is_of_corrected_clock` says is true: without a correction no mark lies so far ahead.
    #[test]
    fn without_a_correction_time_never_falls_back_by_more_than_three_bounds(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut time = started();
        let (mut wall, mut uptime, mut mark) = (1_000_000_i64, 0_u64, Timestamp::MIN);
        for step in steps {
            match step {
                Step::Pass(seconds) => {
                    uptime += seconds;
                    wall += i64::try_from(seconds).unwrap_or(0);
                }
                Step::Set(seconds) => wall += seconds,
            }
            let (now, change) = time.observe(machine(wall, uptime));
            if matches!(change, Some(ClockChange::Corrected { .. })) {
                mark = now;
            }
            prop_assert!(!is_of_corrected_clock(mark, now, DRIFT_US), "{mark} is ahead of {now}");
            mark = mark.max(now);
        }
    }
}
