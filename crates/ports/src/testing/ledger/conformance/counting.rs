//! Cases about what is counted, and when.

use bytes::Bytes;
use domain::admit::Dimension;
use domain::event::EventId;
use domain::position::Seq;
use domain::record::RecordView;
use domain::time::Timestamp;

use super::answers::Answers;
use super::subject::Subject;
use crate::ErrorKind;
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::{Ledger, Outcome};
use crate::reports::Reports;
use crate::testing::ledger::records::{at, event, ids, record, scope};

use Outcome::{Duplicate, Fresh, Mismatch};

pub(super) async fn i2_an_id_is_counted_once<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let first = event("e1", 0).customer("c").tokens(1, 2);
    let changed = event("e1", 0).customer("c").tokens(1, 3);
    assert_eq!(subject.take(&tenant, at(1), std::slice::from_ref(&first)).await, [Fresh]);
    assert_eq!(subject.take(&tenant, at(2), &[first, event("e2", 3)]).await, [Duplicate, Fresh]);
    assert_eq!(subject.take(&tenant, at(3), &[changed]).await, [Mismatch]);
    assert_eq!(subject.take(&tenant, at(4), &[event("e1", 90)]).await, [Mismatch], "another time is another payload");
    let stored = subject.ledger.event(&tenant, EventId::native("e1")).await.expect("an answer").expect("the event");
    assert_eq!((stored.tokens, stored.received_at), (Some(3), at(1)), "the first one stands");
    let answers = Answers::of(&*subject.ledger, &tenant, &["c"], at(0)).await;
    assert_eq!(answers.events.len(), 2);
    assert_eq!(answers.windows.iter().map(|window| window.aggregate.totals.calls).sum::<u64>(), 2);
    assert_eq!(answers.hours.iter().map(|hour| hour.totals.calls).sum::<u64>(), 2);
    assert_eq!(answers.customers[0].updated, at(1), "a duplicate leaves no trace");
    let untimed = event("e3", 0).untimed();
    assert_eq!(subject.take(&tenant, at(5), std::slice::from_ref(&untimed)).await, [Fresh]);
    assert_eq!(subject.take(&tenant, at(6), &[untimed]).await, [Duplicate], "a retry without a time is a retry");
}

pub(super) async fn i2_a_record_may_hold_its_own_duplicates<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let events = [event("e1", 0), event("e2", 0), event("e1", 0), event("e2", 1), event("e1", 0)];
    assert_eq!(subject.take(&tenant, at(1), &events).await, [Fresh, Fresh, Duplicate, Mismatch, Duplicate]);
    assert_eq!(Answers::of(&*subject.ledger, &tenant, &[], at(0)).await.events.len(), 2);
}

pub(super) async fn i5_an_id_belongs_to_its_tenant<L: Ledger + Reports>(mut subject: Subject<L>) {
    let event = [event("e1", 0)];
    assert_eq!(subject.take(&scope("acme"), at(1), &event).await, [Fresh]);
    assert_eq!(subject.take(&scope("acm"), at(1), &event).await, [Fresh]);
    assert_eq!(subject.take(&scope("zeta"), at(1), &event).await, [Fresh]);
    assert_eq!(subject.take(&scope("acme"), at(1), &event).await, [Duplicate]);
    assert_eq!(subject.ledger.seen(&scope("other"), &ids(&["e1"])).await, [None]);
}

pub(super) async fn i2_replay_changes_nothing<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let make = |seq: i64| {
        let events = [event(&format!("e{seq}"), seq), event("shared", 0).customer("c")];
        record(seq.unsigned_abs(), &tenant, at(seq + 1), &events)
    };
    let records = [make(1), make(2), make(3), make(4)];
    subject.apply(&records[..3]).await;
    let before = Answers::of(&*subject.ledger, &tenant, &["c", ""], at(0)).await;
    subject.apply(&records[..3]).await;
    subject.apply(&records[1..2]).await;
    assert_eq!(subject.ledger.applied(), Seq(3));
    assert_eq!(Answers::of(&*subject.ledger, &tenant, &["c", ""], at(0)).await, before);
    let applied = subject.apply(&records[2..]).await;
    assert_eq!(applied[1].outcomes, [Fresh, Duplicate]);
    assert_eq!(subject.ledger.applied(), Seq(4));
}

pub(super) async fn records_are_applied_in_order<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let make = |seq: u64| record(seq, &tenant, at(1), &[event(&format!("e{seq}"), 0)]);
    let batch = subject.ledger.apply(&[]).await;
    assert!(batch.applied.is_empty() && batch.failed.is_none());
    let batch = subject.ledger.apply(&[make(1), make(3), make(2)]).await;
    assert_eq!(batch.applied.len(), 1, "what stands before the gap is applied");
    assert_eq!(batch.failed.map(|error| error.kind()), Some(ErrorKind::Conflict));
    assert_eq!(subject.ledger.applied(), Seq(1));
    assert_eq!(
        subject.ledger.seen(&tenant, &ids(&["e3", "e2"])).await,
        [None, None],
        "what stands after it leaves no trace"
    );
    subject.apply(&[make(2), make(3)]).await;
    assert_eq!(Answers::of(&*subject.ledger, &tenant, &[], at(0)).await.events.len(), 3);
}

pub(super) async fn a_poison_record_is_buried_and_the_next_goes_on<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(1), &[event("e1", 0)]).await;
    let whole = record(2, &tenant, at(1), &[event("e2", 0), event("e3", 0)]);
    let cut = Delivery { id: Seq(2).into(), payload: whole.payload.slice(..whole.payload.len() - 1) };
    let garbage = Delivery { id: Seq(3).into(), payload: Bytes::from_static(b"\xff garbage") };
    for (poison, others) in [(cut, Some("the reason")), (garbage, None)] {
        let batch = subject.ledger.apply(std::slice::from_ref(&poison)).await;
        assert!(batch.applied.is_empty());
        assert_eq!(batch.failed.map(|error| error.kind()), Some(ErrorKind::Unacceptable));
        assert_eq!(
            subject.ledger.dead_letter_reason(&tenant, Seq::of_record(poison.id)).await.expect("an answer"),
            None
        );
        subject.ledger.dead_letter(&poison, "the reason").await.expect("a burial");
        subject.ledger.dead_letter(&poison, "again").await.expect("a second burial changes nothing");
        assert_eq!(subject.ledger.applied(), Seq::of_record(poison.id));
        subject.flush_by_habit().await;
        let told = subject.ledger.dead_letter_reason(&tenant, Seq::of_record(poison.id)).await.expect("an answer");
        assert_eq!(told.as_deref(), others, "its tenant is told, if it can be read");
        assert_eq!(
            subject.ledger.dead_letter_reason(&scope("other"), Seq::of_record(poison.id)).await.expect("an answer"),
            None,
            "I5"
        );
    }
    assert_eq!(subject.ledger.stats().dead_letters, 2);
    assert_eq!(
        subject.ledger.seen(&tenant, &ids(&["e2", "e3"])).await,
        [None, None],
        "I4: half a record leaves no trace"
    );
    subject.last = 3;
    assert_eq!(subject.take(&tenant, at(2), &[event("e2", 0)]).await, [Fresh]);
    assert_eq!(subject.ledger.dead_letter_reason(&tenant, Seq(1)).await.expect("an answer"), None);
    subject.ledger.flush().await.expect("a flush");
    assert_eq!(subject.ledger.stats().dead_letters, 2);
}

pub(super) async fn what_was_counted_is_seen<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    assert_eq!(subject.ledger.seen(&tenant, &[]).await, []);
    let entry = record(1, &tenant, at(1), &[event("e1", 0).tokens(1, 1), event("e2", 0)]);
    let payload = RecordView::parse(&entry.payload).expect("a record");
    let hashes: Vec<_> =
        payload.bodies().map(|body| body.expect("a body").event_with_identity().expect("an event").1.payload).collect();
    subject.apply(std::slice::from_ref(&entry)).await;
    let found = subject.ledger.seen(&tenant, &ids(&["e2", "unknown", "e1", "e2"])).await;
    let found: Vec<_> = found.iter().map(|sighting| sighting.map(|sighting| sighting.payload)).collect();
    assert_eq!(found, [Some(hashes[1]), None, Some(hashes[0]), Some(hashes[1])]);
}

pub(super) async fn a_flush_moves_the_cursor_and_nothing_else<L: Ledger + Reports + Analytics>(
    mut subject: Subject<L>,
) {
    let tenant = scope("acme");
    assert_eq!(subject.ledger.flush().await.expect("a flush of nothing"), Seq::ZERO);
    for seq in 1..=5 {
        subject.take(&tenant, at(seq), &[event(&format!("e{seq}"), seq).customer("c").endpoint("/a")]).await;
        assert!(subject.ledger.cursor() <= subject.ledger.applied());
    }
    let before = Answers::of(&*subject.ledger, &tenant, &["c"], at(0)).await;
    assert_eq!(subject.ledger.flush().await.expect("a flush"), Seq(5));
    assert_eq!(subject.ledger.cursor(), Seq(5));
    assert_eq!(subject.ledger.flush().await.expect("a flush of nothing new"), Seq(5));
    assert_eq!(Answers::of(&*subject.ledger, &tenant, &["c"], at(0)).await, before);
    let stats = subject.ledger.stats();
    assert_eq!((stats.unflushed_events, stats.flushed_events), (0, 5));
}

pub(super) async fn names_are_those_of_counted_events<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let counted = event("e1", 0).kind("call").endpoint("/a").model("m").project("p");
    subject.take(&tenant, at(1), &[counted, event("e2", 0).kind("other")]).await;
    subject.take(&tenant, at(2), &[event("e1", 0).kind("never").endpoint("/never")]).await;
    subject.take(&scope("zeta"), at(3), &[event("e1", 0).kind("zeta's")]).await;
    let names = Answers::of(&*subject.ledger, &tenant, &[], at(0)).await.names;
    let expected = [
        (Dimension::Type, "call"),
        (Dimension::Type, "other"),
        (Dimension::Endpoint, "/a"),
        (Dimension::Model, "m"),
        (Dimension::Project, "p"),
    ];
    assert_eq!(names, expected.map(|(dimension, name)| (dimension, name.to_owned())));
}

pub(super) async fn closing_never_goes_back<L: Ledger + Reports>(subject: Subject<L>) {
    assert!(subject.ledger.closed_through() <= Timestamp::from_micros(0), "nothing is closed at first");
    for (through, expected) in [(at(10), at(10)), (at(5), at(10)), (at(10), at(10)), (at(11), at(11))] {
        subject.close(through).await;
        assert_eq!(subject.ledger.closed_through(), expected);
    }
}

pub(super) async fn f16_windows_that_a_clock_of_the_future_closed_are_opened_again<L: Ledger + Reports>(
    subject: Subject<L>,
) {
    subject.close(at(1_000_000)).await;
    for (open_after, expected) in [(at(2_000_000), at(1_000_000)), (at(20), at(20)), (at(30), at(20))] {
        assert!(subject.ledger.reopen_after(open_after).await.is_ok());
        assert_eq!(subject.ledger.closed_through(), expected);
    }
    subject.close(at(25)).await;
    assert_eq!(subject.ledger.closed_through(), at(25), "and close again");
}

pub(super) async fn i3_the_order_of_records_does_not_matter<L: Ledger + Reports + Analytics>(
    mut forwards: Subject<L>,
    mut backwards: Subject<L>,
) {
    let tenant = scope("acme");
    let make = |n: i64| {
        let id = |part: &str| format!("{part}{n}");
        let customer = format!("c{}", n % 3);
        [
            event(&id("x"), n * 17).customer(&customer).tokens(1, 2),
            event(&id("y"), 400 - n * 11).latency_ms(n.unsigned_abs()),
        ]
    };
    for n in 0..12 {
        forwards.take(&tenant, at(n * 40), &make(n)).await;
    }
    for n in (0..12).rev() {
        backwards.take(&tenant, at(n * 40), &make(n)).await;
    }
    for subject in [&forwards, &backwards] {
        subject.close(at(200)).await;
    }
    let (forwards, backwards) = (
        Answers::of(&*forwards.ledger, &tenant, &["c1", ""], at(40)).await,
        Answers::of(&*backwards.ledger, &tenant, &["c1", ""], at(40)).await,
    );
    assert_eq!(forwards.events.len(), 24);
    assert_eq!(forwards.without_positions(), backwards.without_positions());
}
