//! Cases about what was received, and when.

use domain::quota::Amounts;
use domain::time::TimeRange;

use super::subject::Subject;
use crate::analytics::Analytics;
use crate::ledger::Ledger;
use crate::reports::Reports;
use crate::testing::ledger::records::{at, event, scope};

/// A quarter of an hour, in seconds.
const QUARTER: i64 = 900;

fn amounts(events: u64, tokens: u64, calls: u64) -> Amounts {
    Amounts { events, tokens, calls }
}

fn quarters(from: i64, to: i64) -> TimeRange {
    TimeRange::new(at(from * QUARTER), at(to * QUARTER)).expect("a range")
}

pub(super) async fn i3_what_was_received_is_summed_by_receive_time<L: Ledger + Reports + Analytics>(
    mut subject: Subject<L>,
) {
    let (a, b) = (scope("a"), scope("b"));
    let sent = [event("1", 7).tokens(1, 2).model("m"), event("2", 90_000).endpoint("/e"), event("1", 7)];
    subject.take(&a, at(QUARTER - 1), &sent).await;
    subject.take(&a, at(QUARTER), &[event("2", 90_000).endpoint("/e"), event("3", 5)]).await;
    subject.take(&b, at(QUARTER), &[event("1", 7)]).await;
    // Received before the one that came before it.
    subject.take(&a, at(3), &[event("4", 5).tokens(5, 0)]).await;
    for (range, expected) in [
        (TimeRange::ALL, amounts(4, 8, 2)),
        (quarters(0, 1), amounts(3, 8, 2)),
        (quarters(1, 2), amounts(1, 0, 0)),
        (quarters(2, 9), Amounts::default()),
    ] {
        let received = subject.ledger.received(&a, range).await.expect("an answer");
        assert_eq!(received.all, expected, "{range:?}");
        assert!(received.by_customer.is_empty(), "nobody has asked for any");
    }
    let of_b = subject.ledger.received(&b, TimeRange::ALL).await.expect("an answer");
    assert_eq!(of_b.all, amounts(1, 0, 0), "I5");
}

pub(super) async fn a_customer_is_counted_with_what_it_brought_before<L: Ledger + Reports + Analytics>(
    mut subject: Subject<L>,
) {
    let (a, b) = (scope("a"), scope("b"));
    subject.take(&a, at(5), &[event("1", 7).customer("c").tokens(1, 2), event("2", 7).customer("d")]).await;
    subject.take(&b, at(5), &[event("1", 7).customer("c")]).await;
    subject.take(&a, at(QUARTER), &[event("3", 7).customer("c").model("m"), event("4", 7)]).await;
    for _ in 0..2 {
        subject.ledger.meter_customer(&a, "c").await.expect("done");
        subject.ledger.meter_customer(&a, "new").await.expect("done");
    }
    subject.take(&a, at(QUARTER), &[event("5", 7).customer("c"), event("3", 7).customer("c").model("m")]).await;
    subject.take(&a, at(QUARTER), &[event("6", 7).customer("new"), event("7", 7).customer("d")]).await;
    let received = subject.ledger.received(&a, TimeRange::ALL).await.expect("an answer");
    let by_customer = [("c".to_owned(), amounts(3, 3, 1)), ("new".to_owned(), amounts(1, 0, 0))];
    assert_eq!(received.by_customer, by_customer.into());
    assert_eq!(received.all.events, 7);
    let first = subject.ledger.received(&a, quarters(0, 1)).await.expect("an answer");
    assert_eq!(first.by_customer, [("c".to_owned(), amounts(1, 3, 0))].into());
    assert!(subject.ledger.received(&b, TimeRange::ALL).await.expect("an answer").by_customer.is_empty(), "I5");
}
