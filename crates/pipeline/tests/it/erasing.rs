//! Erasures beside requests: what was accepted is counted before it is erased, what is refused is refused at admission,
//! and what is known is a duplicate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::erasure::{Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};
use domain::time::TimeRange;
use pipeline::{Erasing, IngestError, ReceiptState};
use ports::analytics::Analytics;
use ports::erasures::{Erasures, UnfinishedErasure};
use ports::testing::ledger::records::scope;
use ports::{ErrorKind, PortError};

use crate::twins::LedgerFaults;
use crate::world::{World, eventually, verdicts, within};

fn of(customer: &str, ids: &[&str]) -> String {
    let event = |id: &&str| format!(r#"{{"id":"{id}","customer":"{customer}","type":"call"}}"#);
    format!("[{}]", ids.iter().map(event).collect::<Vec<_>>().join(","))
}

fn erasing(world: &World) -> Erasing {
    Erasing::over(Arc::clone(&world.pipeline), world.stored.clone())
}

fn request(subject: Subject, blocks: bool) -> ErasureRequest {
    ErasureRequest { id: "e".to_owned(), subject, blocks, by: "user:a".to_owned() }
}

fn customer(blocks: bool) -> ErasureRequest {
    request(Subject::Customer("c".to_owned()), blocks)
}

/// How many events of tenant `a` are in its sums.
async fn counted(world: &World) -> u64 {
    let types = world.stored.top_types(&scope("a"), TimeRange::ALL, None, 10).await.unwrap();
    types.iter().map(|(_, count)| count).sum()
}

/// Found in November 2026: such events were acknowledged and then neither counted nor erased.
#[tokio::test]
async fn i1_what_is_on_its_way_when_a_block_is_asked_for_is_counted_and_erased() {
    for (asked, later) in [
        (customer(true), "2 rejected erased"),
        (request(Subject::User("u".to_owned()), true), "2 accepted"),
        (request(Subject::Workspace, false), "2 rejected erased"),
    ] {
        let world = World::new();
        world.journal.hold();
        let erasing = erasing(&world);
        let body = r#"{"id":"1","customer":"c","user":"u","type":"call"}"#;
        let (tenant, next) = (scope("a"), of("c", &["2"]));
        let erasure = async {
            eventually("the first stands before the journal", || (world.journal.waiting() == 1).then_some(())).await;
            tokio::join!(erasing.erase(&tenant, &asked), async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                tokio::join!(world.post("a", &next), async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    world.journal.release();
                })
                .0
            })
        };
        let (first, (erasure, next)) =
            within("all answers", async { tokio::join!(world.post("a", body), erasure) }).await;
        assert_eq!(verdicts(&first.unwrap()), ["1 accepted"]);
        assert_eq!(erasure.unwrap().gone.events, 1, "{asked:?}");
        let next = next.unwrap();
        assert_eq!(verdicts(&next), [later], "it came after the block");
        world.settle().await;
        assert_eq!(counted(&world).await, 1 + next.accepted, "{asked:?}");
        assert_eq!(world.ids("a").await.len() as u64, next.accepted, "{asked:?}");
    }
}

/// Found in November 2026: known ids were rejected.
#[tokio::test]
async fn i1_a_known_id_is_a_duplicate_whatever_a_block_refuses() {
    let world = World::new();
    world.post_and_wait("a", &of("c", &["1"])).await;
    world.post_and_wait("a", &of("d", &["9"])).await;
    assert_eq!(erasing(&world).erase(&scope("a"), &customer(true)).await.unwrap().gone.events, 1);
    for misses_in_haste in [false, true] {
        world.ledger.set(LedgerFaults { misses_in_haste, ..LedgerFaults::default() });
        let answer = world.post("a", &of("c", &["2", "1", "9", "2"])).await.unwrap();
        let expected = ["2 rejected erased", "1 duplicate erased", "9 duplicate payload_mismatch", "2 rejected erased"];
        assert_eq!(verdicts(&answer), expected, "{misses_in_haste}");
    }
    let failed = world.metric(r#"events_failed_total{reason="erased"}"#).await;
    assert_eq!(failed, Some(6.0), "counted once each");
    assert_eq!(world.post_and_wait("b", &of("c", &["1"])).await.accepted, 1, "I5: another workspace");
}

#[tokio::test]
async fn a_receipt_tells_what_does_not_count_for_an_erasure() {
    let world = World::new();
    world.post_and_wait("a", &of("c", &["1"])).await;
    erasing(&world).erase(&scope("a"), &customer(false)).await.unwrap();
    world.ledger.set(LedgerFaults { misses_in_haste: true, ..LedgerFaults::default() });
    let answer = world.post("a", &of("c", &["1", "2"])).await.unwrap();
    assert_eq!(verdicts(&answer), ["1 accepted", "2 accepted"], "as far as known");
    world.settle().await;
    let told = ReceiptState::Applied { accepted: Some(1), duplicates: Some(0), erased: Some(1) };
    assert_eq!(world.receipt("a", &answer.receipt.unwrap()).await, Some(told));
}

#[tokio::test]
async fn i6_a_block_does_not_wait_for_ever_and_refuses_nothing_then() {
    let world = World::new();
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    assert_eq!(world.post("a", &of("c", &["1"])).await.unwrap().accepted, 1);
    let erasing = erasing(&world);
    let (tenant, asked) = (scope("a"), customer(true));
    let erasure = async {
        tokio::join!(erasing.erase(&tenant, &asked), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_secs(11));
        })
        .0
    };
    assert_eq!(within("an answer", erasure).await.map_err(|why| why.kind()), Err(ErrorKind::Overloaded));
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.post_and_wait("a", &of("c", &["2"])).await.accepted, 1);
    assert_eq!(world.ids("a").await, ["1", "2"]);
}

/// Found in November 2026: each of the two waits had ten seconds of its own.
#[tokio::test]
async fn i6_a_block_waits_ten_seconds_in_all_for_what_is_on_its_way() {
    let world = World::new();
    world.journal.hold();
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    let erasing = erasing(&world);
    let (tenant, asked, body) = (scope("a"), customer(true), of("c", &["1"]));
    let erasure = async {
        eventually("it stands before the journal", || (world.journal.waiting() == 1).then_some(())).await;
        tokio::join!(erasing.erase(&tenant, &asked), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_secs(8));
            world.journal.release();
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_secs(3));
        })
        .0
    };
    let (posted, erasure) = within("both answers", async { tokio::join!(world.post("a", &body), erasure) }).await;
    assert_eq!(posted.unwrap().accepted, 1);
    assert_eq!(erasure.map_err(|why| why.kind()), Err(ErrorKind::Overloaded));
}

/// A store that never makes an erasure durable.
#[derive(Debug, Default)]
struct StuckErasures {
    is_asked: AtomicBool,
}

#[async_trait]
impl Erasures for StuckErasures {
    async fn erase(&self, _: &TenantScope, _: &ErasureRequest) -> Result<Erasure, PortError> {
        self.is_asked.store(true, Ordering::Relaxed);
        std::future::pending().await
    }

    fn erased_tenants(&self) -> Vec<TenantId> {
        Vec::new()
    }

    fn generation(&self, _: &TenantScope) -> u64 {
        0
    }

    fn unfinished(&self) -> Vec<UnfinishedErasure> {
        Vec::new()
    }

    fn confirm(&self, _: &[String]) {}

    fn erasures(&self, _: &TenantScope) -> Vec<Erasure> {
        Vec::new()
    }
}

/// Found in November 2026: they waited for as long as the erasure did.
#[tokio::test]
async fn i6_requests_wait_for_a_block_a_while_and_no_longer() {
    let world = World::new();
    let store = Arc::new(StuckErasures::default());
    let erasing = Erasing::over(Arc::clone(&world.pipeline), store.clone());
    let asking = tokio::spawn(async move { erasing.erase(&scope("a"), &customer(true)).await.map(drop) });
    eventually("nothing is on its way", || store.is_asked.load(Ordering::Relaxed).then_some(())).await;
    let body = of("d", &["1"]);
    let posted = async {
        tokio::join!(world.post("a", &body), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_secs(11));
        })
        .0
    };
    let posted = within("an answer", posted).await;
    assert!(matches!(posted, Err(IngestError::Overloaded)), "{posted:?}");
    assert_eq!(world.post_and_wait("b", &body).await.accepted, 1, "I5: another workspace does not wait");
    assert!(!asking.is_finished());
}
