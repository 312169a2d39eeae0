//! Cases about events and customers as they are listed.

use domain::event::{EventId, IdScheme};
use domain::position::{EventPosition, Seq};
use domain::time::TimeRange;

use super::answers::{Answers, customers, events, window_query};
use super::subject::Subject;
use crate::analytics::Analytics;
use crate::ledger::Ledger;
use crate::reports::{EventCursor, EventFilter, EventQuery, Order, Reports, StoredEvent};
use crate::testing::ledger::records::{at, event, scope};

pub(super) async fn an_empty_ledger_answers_with_nothing<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let (acme, zeta) = (scope("acme"), scope("zeta"));
    let nothing = Answers::of(&*subject.ledger, &acme, &["c", ""], at(0)).await;
    assert!(nothing.events.is_empty() && nothing.windows.is_empty() && nothing.customers.is_empty());
    assert!(nothing.hours.is_empty() && nothing.names.is_empty());
    assert_eq!(nothing.usage, [None, None]);
    assert_eq!(subject.ledger.event(&acme, EventId::native("e1")).await.expect("an answer"), None);
    assert_eq!(subject.ledger.dead_letter_reason(&acme, Seq(1)).await.expect("an answer"), None);
    subject.take(&acme, at(1), &[event("e1", 0).customer("c")]).await;
    let other = Answers::of(&*subject.ledger, &zeta, &["c", ""], at(0)).await;
    assert_eq!(other, nothing, "what another tenant has is not there");
}

pub(super) async fn an_event_comes_back_as_it_was_sent<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let full = event("full", 5)
        .kind("call")
        .project("p")
        .customer("c ü")
        .user("u")
        .endpoint("/v1/x?y=z")
        .model("m")
        .tokens(3, 4)
        .token_parts(1, 2, 0)
        .latency_ms(12)
        .properties(r#"{"a": [1, "é"]}"#);
    subject.take(&tenant, at(6), &[event("bare", 7), full]).await;
    let found = subject.ledger.event(&tenant, EventId::native("full")).await.expect("an answer");
    let text = |text: &str| Some(text.to_owned());
    let expected = StoredEvent {
        position: found.as_ref().expect("the event").position,
        id: "full".to_owned(),
        id_scheme: IdScheme::Native,
        time: at(5),
        received_at: at(6),
        kind: "call".to_owned(),
        project: text("p"),
        customer: text("c ü"),
        user: text("u"),
        endpoint: text("/v1/x?y=z"),
        properties: text(r#"{"a": [1, "é"]}"#),
        tokens: Some(7),
        input_tokens: Some(3),
        output_tokens: Some(4),
        latency_us: Some(12_000),
        model: text("m"),
        cache_read_tokens: Some(1),
        cache_write_tokens: Some(2),
        reasoning_tokens: Some(0),
    };
    assert_eq!(found.as_ref(), Some(&expected));
    let bare = subject.ledger.event(&tenant, EventId::native("bare")).await.expect("an answer").expect("the event");
    assert!(bare.position < expected.position, "positions have the order of events in their record");
    assert_eq!((bare.kind.as_str(), bare.customer, bare.tokens, bare.properties), ("custom", None, None, None));
    assert_eq!((bare.cache_read_tokens, bare.cache_write_tokens, bare.reasoning_tokens), (None, None, None));
    assert_eq!(subject.ledger.event(&tenant, EventId::native("ful")).await.expect("an answer"), None);
    assert_eq!(subject.ledger.event(&scope("zeta"), EventId::native("full")).await.expect("an answer"), None, "I5");
    let listed = events(&*subject.ledger, &tenant, EventFilter::default(), Order::Ascending, 10).await;
    assert_eq!(listed[0], expected);
}

pub(super) async fn events_are_filtered_by_every_field<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let first = [event("e1", 10).customer("c1").user("u1"), event("e2", 20).customer("c1").user("u2").kind("call")];
    let second = [event("e3", 30).customer("c2").endpoint("/a").project("p"), event("e4", 40).endpoint("/b")];
    subject.take(&tenant, at(50), &first).await;
    subject.take(&tenant, at(50), &second).await;
    let text = |text: &str| Some(text.to_owned());
    let all = EventFilter::default;
    let range = |from, to| TimeRange::new(at(from), at(to)).expect("a range");
    for (filter, expected) in [
        (all(), "e1 e2 e3 e4"),
        (EventFilter { customer: text("c1"), ..all() }, "e1 e2"),
        (EventFilter { customer: text(""), ..all() }, "e4"),
        (EventFilter { customer: text("c"), ..all() }, ""),
        (EventFilter { user: text("u2"), ..all() }, "e2"),
        (EventFilter { kind: text("call"), ..all() }, "e2"),
        (EventFilter { kind: text("api_call"), ..all() }, "e3 e4"),
        (EventFilter { endpoint: text("/a"), ..all() }, "e3"),
        (EventFilter { project: text("p"), ..all() }, "e3"),
        (EventFilter { project: text("q"), ..all() }, ""),
        (EventFilter { range: range(20, 40), ..all() }, "e2 e3"),
        (EventFilter { range: range(20, 20), ..all() }, ""),
        (EventFilter { range: range(41, 900), ..all() }, ""),
        (EventFilter { customer: text("c1"), user: text("u1"), range: range(0, 20), ..all() }, "e1"),
        (EventFilter { customer: text("c1"), endpoint: text("/a"), ..all() }, ""),
    ] {
        let found = events(&*subject.ledger, &tenant, filter.clone(), Order::Ascending, 2).await;
        let ids: Vec<&str> = found.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids.join(" "), expected, "{filter:?}");
    }
}

pub(super) async fn events_are_listed_in_both_orders_page_by_page<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    for n in 0..7 {
        // Times collide within a record and between records; the position decides then.
        let id = |part: i64| format!("e{}", n * 3 + part);
        let batch = [event(&id(0), n % 2), event(&id(1), 5 - n), event(&id(2), n % 2)];
        subject.take(&tenant, at(10), &batch).await;
        subject.take(&scope("zeta"), at(10), &batch).await;
    }
    let ledger = &*subject.ledger;
    let ascending = events(ledger, &tenant, EventFilter::default(), Order::Ascending, 100).await;
    assert_eq!(ascending.len(), 21);
    assert!(ascending.is_sorted_by_key(|event| (event.time, event.position)));
    assert!(ascending.iter().all(|event| event.position <= ledger.applied_position()));
    let mut descending = events(ledger, &tenant, EventFilter::default(), Order::Descending, 100).await;
    descending.reverse();
    assert_eq!(descending, ascending);
    for limit in [1, 2, 7, 20, 21, 22] {
        for order in [Order::Ascending, Order::Descending] {
            let mut paged = events(ledger, &tenant, EventFilter::default(), order, limit).await;
            if order == Order::Descending {
                paged.reverse();
            }
            assert_eq!(paged, ascending, "pages of {limit}");
        }
    }
    // A cursor is a place in the order, not a row: it need not name an event that exists.
    let nowhere = EventCursor { time: at(1), position: EventPosition::from_bytes([0xff; EventPosition::BYTES]) };
    let query = EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: Some(nowhere),
        limit: 100,
        bytes_max: usize::MAX,
    };
    let page = ledger.events(&tenant, &query).await.expect("events");
    assert!(!page.rows.is_empty() && page.rows.iter().all(|event| event.time > at(1)));
}

pub(super) async fn the_applied_position_divides_what_was_counted_from_what_comes<L: Ledger + Reports>(
    mut subject: Subject<L>,
) {
    let tenant = scope("acme");
    let batch = |name: &str| [0, 1, 2].map(|n| event(&format!("{name}{n}"), n));
    subject.take(&tenant, at(10), &batch("before")).await;
    let divide = subject.ledger.applied_position();
    subject.take(&tenant, at(10), &batch("after")).await;
    for event in events(&*subject.ledger, &tenant, EventFilter::default(), Order::Ascending, 100).await {
        assert_eq!(event.position <= divide, event.id.starts_with("before"), "{}", event.id);
    }
    assert!(subject.ledger.applied_position() > divide);
}

pub(super) async fn customers_are_listed_by_id_page_by_page<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(10), &[event("e1", 90).customer("b"), event("e2", 1).customer("a"), event("e3", 1)]).await;
    subject.take(&tenant, at(20), &[event("e4", 1).customer("ab"), event("e5", 1).customer("Z")]).await;
    subject.take(&tenant, at(30), &[event("e6", 1).customer("b").tokens(2, 3), event("e7", 1).customer("é")]).await;
    subject.take(&scope("zeta"), at(40), &[event("e1", 1).customer("b"), event("e2", 1).customer("zeta's")]).await;
    let ledger = &*subject.ledger;
    let all = customers(ledger, &tenant, 100).await;
    let ids: Vec<&str> = all.iter().map(|customer| customer.id.as_str()).collect();
    assert_eq!(ids, ["Z", "a", "ab", "b", "é"], "in order of bytes, without the events that have none");
    assert_eq!((all[3].created, all[3].updated), (at(10), at(30)), "by receive time");
    assert_eq!((all[3].total.totals.calls, all[3].total.totals.tokens), (2, 5));
    for limit in [1, 2, 4, 5, 6] {
        assert_eq!(customers(ledger, &tenant, limit).await, all, "pages of {limit}");
    }
    let page = ledger.customers(&tenant, Some("aa"), 10).await.expect("customers");
    assert_eq!(page.rows, all[2..], "after an id that does not exist");
    assert_eq!(page.next, None);
    assert!(ledger.windows(&tenant, &window_query()).await.expect("windows").rows.len() > all.len());
}
