//! Who waits, and for how long.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails as soon as it may, so many times: how long each attempt had to wait.
fn waits(throttle: &LoginThrottle, account: &str, from: &str, now: &mut Duration, attempts: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    for _ in 0..attempts {
        let wait = throttle.attempt(account, address(from), *now).err().unwrap_or_default();
        if !wait.is_zero() {
            *now += wait;
            assert_eq!(throttle.attempt(account, address(from), *now), Ok(()), "the wait was too short");
        }
        waits.push(wait.as_secs());
    }
    waits
}

#[test]
fn each_failure_from_one_address_doubles_the_wait() {
    let (throttle, mut now) = (LoginThrottle::default(), s(1_000));
    let expected = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900];
    assert_eq!(waits(&throttle, "ann", "192.0.2.1", &mut now, expected.len()), expected);
    // A refused attempt counts for nothing.
    for _ in 0..100 {
        assert_eq!(throttle.attempt("ann", address("192.0.2.1"), now + s(400)), Err(s(500)));
    }
    assert_eq!(throttle.attempt("ann", address("192.0.2.1"), now + s(900)), Ok(()));
}

#[test]
fn one_address_locks_no_one_out_at_another() {
    let (throttle, mut now) = (LoginThrottle::default(), s(1_000));
    let waited = waits(&throttle, "ann", "192.0.2.1", &mut now, 60);
    assert_eq!(waited[59], 900);
    // From elsewhere 30 seconds are the longest wait.
    let wait = throttle.attempt("ann", address("198.51.100.7"), now).unwrap_err();
    assert!(wait <= s(30), "{wait:?}");
    assert_eq!(throttle.attempt("ann", address("198.51.100.7"), now + wait), Ok(()));
    // Other accounts do not wait.
    assert_eq!(throttle.attempt("bob", address("192.0.2.1"), now), Ok(()));
}

#[test]
fn many_addresses_wait_together_and_the_usual_one_does_not() {
    let (throttle, now) = (LoginThrottle::default(), s(1_000));
    let home = address("203.0.113.5");
    assert_eq!(throttle.attempt("ann", home, now), Ok(()));
    throttle.succeeded("ann", home, now);
    let mut now = now + s(100);
    let mut attack = Vec::new();
    for number in 0..40 {
        attack.extend(waits(&throttle, "ann", &format!("192.0.2.{number}"), &mut now, 1));
    }
    assert_eq!(attack[..20], [0; 20]);
    assert_eq!(attack[20..27], [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(throttle.attempt("ann", home, now), Ok(()), "the person at the usual address waits");
    assert_eq!(throttle.attempt("ann", address("198.51.100.7"), now), Err(s(30)));
    // Being a usual address does not last for ever, and is none for others.
    let later = now + USUAL_FOR;
    waits(&throttle, "ann", "192.0.2.1", &mut later.clone(), 1);
    assert!(throttle.attempt("ann", home, later).is_ok());
    let mut later = later + s(1);
    for number in 0..40 {
        waits(&throttle, "ann", &format!("192.0.2.{number}"), &mut later, 1);
    }
    assert_eq!(throttle.attempt("ann", home, later), Err(s(30)));
}

#[test]
fn a_success_forgets_the_failures_of_the_account() {
    let (throttle, mut now) = (LoginThrottle::default(), s(1_000));
    waits(&throttle, "ann", "192.0.2.1", &mut now, 8);
    now += s(900);
    throttle.succeeded("ann", address("192.0.2.1"), now);
    assert_eq!(waits(&throttle, "ann", "192.0.2.1", &mut now, 6), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn an_hour_forgets_failures() {
    let (throttle, mut now) = (LoginThrottle::default(), s(1_000));
    waits(&throttle, "ann", "192.0.2.1", &mut now, 16);
    now += FORGOTTEN_AFTER;
    assert_eq!(waits(&throttle, "ann", "192.0.2.1", &mut now, 6), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn an_address_has_attempts_for_all_accounts_together() {
    let (throttle, now) = (LoginThrottle::default(), s(1_000));
    for number in 0..50 {
        // The /64 of an IPv6 address counts, and IPv4 within IPv6 as IPv4.
        let from = address(&format!("2001:db8:1:2::{number}"));
        assert_eq!(throttle.attempt(&format!("account {number}"), from, now), Ok(()), "{number}");
    }
    assert_eq!(throttle.attempt("one more", address("2001:db8:1:2:ffff::1"), now), Err(s(2)));
    assert_eq!(throttle.attempt("one more", address("2001:db8:1:3::1"), now), Ok(()));
    assert_eq!(throttle.attempt("one more", address("2001:db8:1:2::1"), now + s(2)), Ok(()));
    assert_eq!(throttle.attempt("the next", address("2001:db8:1:2::1"), now + s(2)), Err(s(2)));
    let mapped = (0..51).map(|number| {
        let from = if number % 2 == 0 { "192.0.2.9" } else { "::ffff:192.0.2.9" };
        throttle.attempt(&format!("account {number}"), address(from), now)
    });
    assert_eq!(mapped.filter(Result::is_err).count(), 1);
}

#[test]
fn what_was_never_decided_counts_for_nothing() {
    let (throttle, mut now) = (LoginThrottle::default(), s(1_000));
    for _ in 0..40 {
        assert_eq!(throttle.attempt("ann", address("192.0.2.1"), now), Ok(()));
        throttle.undecided("ann", address("192.0.2.1"));
    }
    now += s(100);
    assert_eq!(waits(&throttle, "ann", "192.0.2.1", &mut now, 6), [0, 0, 0, 0, 0, 1]);
    throttle.undecided("nobody", address("192.0.2.2"));
}

/// Failures cannot be washed out of a full table: newcomers share one rate until some are forgotten.
#[test]
fn a_full_table_keeps_its_failures() {
    let (throttle, mut now) = (LoginThrottle::with_max(300), s(1_000));
    waits(&throttle, "ann", "192.0.2.1", &mut now, 10);
    throttle.succeeded("usual", address("192.0.2.2"), now);
    let start = now;
    let flood = |number: u32, now| throttle.attempt(&format!("account {number}"), IpAddr::V4(number.into()), now);
    let taken = (0..1_000).filter(|number| flood(*number, start).is_ok()).count();
    assert!((99..=110).contains(&taken), "{taken}");
    assert!(throttle.counts.lock().by_key.len() <= 300);
    assert_eq!(throttle.attempt("ann", address("192.0.2.1"), start), Err(s(32)), "ann's failures were forgotten");
    assert_eq!(flood(5_000, start), Err(Duration::from_millis(100)));
    assert_eq!(flood(5_000, start + Duration::from_millis(100)), Ok(()));
    // A minute later the few failures of others make room, and those of ann do not.
    let later = start + ROOM_AFTER;
    let taken = (6_000..6_050).filter(|number| flood(*number, later).is_ok()).count();
    assert_eq!(taken, 50);
    waits(&throttle, "ann", "192.0.2.1", &mut later.clone(), 1);
    assert_eq!(throttle.attempt("ann", address("192.0.2.1"), later), Err(s(64)), "ann's failures were forgotten");
}

/// Who tries without pause gets refusals at a bounded rate, and nobody waits long for one.
#[test]
fn refusals_beyond_a_hundred_wait_for_their_turn_but_never_long() {
    let throttle = LoginThrottle::default();
    let now = Duration::from_secs(7);
    assert!((0..100).all(|_| throttle.refused(now).is_zero()), "a hundred are answered at once");
    for turn in 1..=200 {
        assert_eq!(throttle.refused(now), Duration::from_millis(5) * turn);
    }
    for _ in 0..1_000 {
        assert_eq!(throttle.refused(now), Duration::from_secs(1));
    }
    let later = now + Duration::from_secs(1) + Duration::from_millis(5) * 100;
    assert_eq!(throttle.refused(later), Duration::ZERO, "all have had their turn");
}
