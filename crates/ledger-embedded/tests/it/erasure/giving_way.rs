//! A merge under way ends for an erasure that is asked for meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use fail::FailScenario;
use vfs::Vfs;

use super::*;

/// More segments than a merge holds batches of before it writes any, of three customers, two of which have
/// [`FEW`] events.
const PARTS: u8 = 72;
const FEW: u8 = 3;

/// Asks for an erasure on a thread of its own, as somebody else does.
fn ask(ledger: &Arc<EmbeddedLedger>, number: usize) {
    let ledger = Arc::clone(ledger);
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let asked = request(number, &Subject::Customer(format!("c{number}")), false);
        runtime.block_on(ledger.erase(&scope("a"), &asked)).expect("an erasure");
    });
    asking.join().expect("no panic");
}

/// Found in November 2026: no test could fail when no merge gave way, or all of them did and none was ever made.
#[tokio::test]
async fn a_merge_ends_for_an_erasure_that_is_asked_for_meanwhile_but_not_two_in_a_row() {
    let folder = TestFolder::new();
    let ledger = folder.open(LedgerOptions { compact_fan_in: usize::from(PARTS), ..options() }).await;
    for n in 0..PARTS {
        let events = [spec(&visit(n, (n / FEW).min(2), n % 4))];
        assert!(ledger.apply(&[record(u64::from(n) + 1, &scope("a"), at(200_000), &events)]).await.failed.is_none());
        ledger.flush().await.expect("flush");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let files = || folder.vfs.list(&TestFolder::dir()).expect("a folder").len();
    let told = || ledger.erasures(&scope("a")).into_iter().map(|one| one.gone.events).collect::<Vec<_>>();
    let before = files();
    {
        let _scenario = FailScenario::setup();
        let (asking, counted) = (Arc::clone(&ledger), Arc::clone(&asked));
        let between = move || ask(&asking, counted.fetch_add(1, Ordering::Relaxed));
        fail::cfg_callback("merge::between_batches", between).expect("a failpoint");
        ledger.maintain().await.expect("maintain");
        assert_eq!((asked.load(Ordering::Relaxed), ledger.stats().segments), (1, u64::from(PARTS)), "it gave way");
        assert_eq!((files(), told()), (before, vec![0]), "and has left nothing");
        ledger.maintain().await.expect("maintain");
        assert_eq!((asked.load(Ordering::Relaxed), ledger.stats().segments), (2, 1), "not for the next one");
        assert_eq!(told(), [u64::from(FEW), 0], "which was made in between");
    }
    finish(&ledger).await;
    assert_eq!(told(), [u64::from(FEW); 2]);
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}
