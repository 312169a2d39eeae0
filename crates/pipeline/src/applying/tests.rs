//! The decisions after failures.

use bytes::Bytes;
use domain::position::Seq;

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

/// What an observer was told: numbers of records, and whether they are dead.
#[derive(Default)]
struct Told(Vec<(u64, bool)>);

impl ApplyObserver for Told {
    async fn applied(&mut self, deliveries: &[Delivery], applied: &[Applied]) {
        assert!(!deliveries.is_empty());
        for (delivery, applied) in deliveries.iter().zip(applied) {
            assert_eq!(Seq::of_record(delivery.id), applied.seq);
            self.0.push((applied.seq.0, false));
        }
    }

    async fn dead_lettered(&mut self, delivery: &Delivery, reason: &str) {
        assert_eq!(reason, "no");
        self.0.push((Seq::of_record(delivery.id).0, true));
    }
}

#[tokio::test]
async fn what_a_ledger_has_given_up_itself_is_told_as_dead_in_its_place() {
    let deliveries: Vec<_> = (1..=5).map(|seq| Delivery { id: Seq(seq).into(), payload: Bytes::new() }).collect();
    let applied: Vec<_> = (1..=5).map(|seq| Applied { seq: Seq(seq), outcomes: Vec::new() }).collect();
    for dead in [vec![], vec![1], vec![5], vec![2, 3], vec![1, 2, 3, 4, 5], vec![1, 3, 5]] {
        let letters: Vec<_> = dead.iter().map(|seq| DeadRecord { seq: Seq(*seq), reason: "no".to_owned() }).collect();
        let mut told = Told::default();
        observe(&deliveries, &applied, &letters, &mut told).await;
        assert_eq!(told.0, (1..=5).map(|seq| (seq, dead.contains(&seq))).collect::<Vec<_>>());
    }
}
