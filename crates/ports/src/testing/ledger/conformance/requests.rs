//! Cases about the keys of requests that may be repeated.

use domain::event::{EventId, IdScheme};
use domain::position::Seq;
use domain::tenant::TenantScope;

use super::answers::Answers;
use super::subject::Subject;
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::{Ledger, Outcome, Sighting};
use crate::reports::Reports;
use crate::testing::ledger::records::{EventSpec, admitted_under, at, event, ids, request_key, scope};

use Outcome::{Duplicate, Fresh};

/// A record of one event each of `events`, sent with the key `text`.
pub(super) fn keyed(seq: u64, tenant: &TenantScope, text: &str, body: u64, events: &[EventSpec]) -> Delivery {
    let seconds = i64::try_from(seq).expect("a small number");
    let admitted = admitted_under(Some(request_key(text, body)), tenant, at(seconds), events);
    Delivery { id: Seq(seq).into(), payload: admitted.payload().clone() }
}

/// What is known of a key.
pub(super) async fn find<L: Ledger>(ledger: &L, tenant: &TenantScope, text: &str) -> Option<Sighting> {
    let found = ledger.seen_exactly(tenant, &[EventId { scheme: IdScheme::Request, text }]).await;
    found.expect("a lookup").pop().expect("one answer")
}

fn left_by(seq: u64, body: u64) -> Option<Sighting> {
    Some(Sighting { seq: Seq(seq), payload: request_key("", body).body })
}

pub(super) async fn i2_a_key_is_found_with_the_record_that_left_it<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    assert_eq!(find(&*subject.ledger, &tenant, "k1").await, None);
    let records = [
        keyed(1, &tenant, "k1", 10, &[event("e1", 0), event("e2", 0)]),
        keyed(2, &tenant, "k2", 20, &[event("e2", 0), event("e3", 0)]),
        keyed(3, &tenant, "k1", 30, &[event("e4", 0)]),
        keyed(4, &scope("zeta"), "k1", 40, &[event("e1", 0)]),
    ];
    for entry in &records {
        subject.apply(std::slice::from_ref(entry)).await;
    }
    assert_eq!(find(&*subject.ledger, &tenant, "k1").await, left_by(1, 10), "the first one stands");
    assert_eq!(find(&*subject.ledger, &tenant, "k2").await, left_by(2, 20));
    assert_eq!(find(&*subject.ledger, &scope("zeta"), "k1").await, left_by(4, 40), "I5");
    assert_eq!(find(&*subject.ledger, &scope("other"), "k1").await, None, "I5");
    subject.apply(&records).await;
    assert_eq!(find(&*subject.ledger, &tenant, "k1").await, left_by(1, 10), "a replay changes nothing");
    let found = subject.ledger.seen_exactly(&tenant, &ids(&["e2", "unknown", "e3", "e4"])).await.expect("a lookup");
    let records: Vec<_> = found.iter().map(|seen| seen.map(|seen| seen.seq.0)).collect();
    assert_eq!(records, [Some(1), None, Some(2), Some(3)], "each event with the record that it was counted in");
    assert_eq!(found, subject.ledger.seen(&tenant, &ids(&["e2", "unknown", "e3", "e4"])).await);
}

pub(super) async fn i4_a_key_is_no_event_and_no_events_id<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.apply(&[keyed(1, &tenant, "e1", 10, &[event("e2", 0).customer("c")])]).await;
    assert_eq!(subject.ledger.seen(&tenant, &ids(&["e1"])).await, [None]);
    assert!(subject.ledger.event(&tenant, EventId::native("e1")).await.expect("an answer").is_none());
    let outcomes = subject.take(&tenant, at(2), &[event("e1", 0).customer("c"), event("e2", 0).customer("c")]).await;
    assert_eq!(outcomes, [Fresh, Duplicate]);
    assert_eq!(find(&*subject.ledger, &tenant, "e1").await, left_by(1, 10), "nor is an event's id a key");
    let answers = Answers::of(&*subject.ledger, &tenant, &["c"], at(0)).await;
    assert_eq!(answers.events.len(), 2);
    assert_eq!(answers.windows.iter().map(|window| window.aggregate.totals.calls).sum::<u64>(), 2);
    let stats = subject.ledger.stats();
    assert_eq!(stats.unflushed_events + stats.flushed_events, 2);
}

pub(super) async fn a_key_is_remembered_only_with_a_counted_event<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(1), &[event("e1", 0)]).await;
    subject.apply(&[keyed(2, &tenant, "k", 10, &[event("e1", 0)])]).await;
    assert_eq!(find(&*subject.ledger, &tenant, "k").await, None, "nothing of that request was counted");
    let poison = keyed(3, &tenant, "k", 20, &[event("e2", 0)]);
    subject.ledger.dead_letter(&poison, "the reason").await.expect("a burial");
    subject.last = 3;
    assert_eq!(find(&*subject.ledger, &tenant, "k").await, None, "a dead letter is not counted");
    subject.apply(&[keyed(4, &tenant, "k", 30, &[event("e1", 0), event("e3", 0)])]).await;
    assert_eq!(find(&*subject.ledger, &tenant, "k").await, left_by(4, 30));
}
