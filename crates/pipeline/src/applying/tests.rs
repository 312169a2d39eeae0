//! The decisions after failures.

use super::*;

#[test]
fn waits_double_up_to_their_longest() {
    let mut failures = Failures::default();
    let waits: Vec<AfterFailure> = (0..40).map(|_| failures.next(ErrorKind::Unavailable)).collect();
    let expected = [100, 200, 400, 800, 1_600, 3_200, 5_000].map(|ms| AfterFailure::Retry(Duration::from_millis(ms)));
    assert_eq!(&waits[..7], expected);
    assert!(waits[6..].iter().all(|wait| *wait == expected[6]));
}

#[test]
fn a_record_is_given_up_only_when_it_was_refused_for_its_own_sake_often_enough() {
    let mut failures = Failures::default();
    let kinds = [ErrorKind::Unacceptable, ErrorKind::Full, ErrorKind::Unacceptable, ErrorKind::Unavailable];
    for kind in kinds {
        assert!(matches!(failures.next(kind), AfterFailure::Retry(_)), "{kind:?}");
    }
    assert_eq!(failures.next(ErrorKind::Unacceptable), AfterFailure::DeadLetter);
    for kind in [ErrorKind::Corrupt, ErrorKind::Poisoned, ErrorKind::Conflict] {
        assert_eq!(Failures::default().next(kind), AfterFailure::Restart);
    }
}
