//! The work that a request costs, counted instead of timed: calls of the ports and bytes of the journal.

use ports::ErrorKind;
use ports::journal::Journal;

use crate::twins::LedgerFaults;
use crate::world::{World, batch, eventually};

#[tokio::test]
async fn a_request_costs_one_append_and_one_lookup_however_many_events_it_has() {
    let world = World::new();
    world.ensure_tenants(&["acme"]).await;
    eventually("the live view is whole", || world.pipeline.live().unwrap().problem().is_none().then_some(())).await;
    let catalog = world.store.calls();
    for (number, events) in [1, 10, 500].into_iter().enumerate() {
        let (lookups, appends) = (world.ledger.looked_up(), world.durable().0);
        let answer = world.post_and_wait("acme", &batch(&format!("{number}-"), events)).await;
        assert_eq!(answer.accepted, events as u64);
        assert_eq!(world.ledger.looked_up() - lookups, 1, "{events} events");
        assert_eq!(world.durable().0 - appends, 1, "{events} events");
    }
    assert_eq!(world.store.calls(), catalog, "what tenants have decided is known in memory");
}

#[tokio::test]
async fn a_record_is_hardly_longer_than_the_body_it_came_from_however_short_its_events() {
    let world = World::new();
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    let body = batch("event-", 500);
    world.post("acme", &body).await.unwrap();
    let bytes = world.journal.backlog().await.bytes;
    // Events this short grow by the hash and the scheme of their ids; they still are within half of the body.
    let most = body.len() as u64 * 3 / 2;
    assert!(bytes > 0 && bytes <= most, "{bytes} bytes for a body of {}", body.len());
}
