//! Changes of zone that are held up in the middle of their recount.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

use fail::FailScenario;

use super::*;

const POINT: &str = "zone::before_segment";

/// Holds the first recount up at its first segment.
struct HeldUp {
    _scenario: FailScenario<'static>,
    reached: Option<Receiver<()>>,
    go: Sender<()>,
    /// Segments that recounts have begun.
    segments: Arc<AtomicUsize>,
}

impl HeldUp {
    fn new() -> Self {
        let scenario = FailScenario::setup();
        let ((reach, reached), (go, gone)) = (channel(), channel());
        let segments = Arc::new(AtomicUsize::new(0));
        let (begun, gone) = (Arc::clone(&segments), std::sync::Mutex::new(gone));
        let hold = move || {
            if begun.fetch_add(1, Ordering::SeqCst) == 0 {
                reach.send(()).expect("a test waits");
                gone.lock().expect("no panic").recv().expect("a test goes on");
            }
        };
        fail::cfg_callback(POINT, hold).expect("a failpoint");
        Self { _scenario: scenario, reached: Some(reached), go, segments }
    }

    async fn reached(&mut self) {
        let reached = self.reached.take().expect("only once");
        tokio::task::spawn_blocking(move || reached.recv()).await.expect("no panic").expect("a recount begins");
    }

    fn go_on(&self) {
        self.go.send(()).expect("a recount waits");
    }

    fn segments(&self) -> usize {
        self.segments.load(Ordering::SeqCst)
    }
}

fn visit(id: u8, minutes: i64) -> Ev {
    Ev { id, minutes, user: Some(id % 11), project: Some(id % 2), kind: id % 2 }
}

/// A world with several segments.
async fn world() -> World {
    let mut world = World::new(at(50 * 86_400)).await;
    for id in 0..30 {
        world.record(0, &[visit(id, i64::from(id) * 97)]).await;
    }
    world.ledger.flush().await.expect("flush");
    world
}

/// Everything in two zones, kept or not.
async fn ask_all(world: &World) {
    for zone in [0, 3] {
        for range in [None, Some((0, 2_880, true)), Some((100, 1_700, false))] {
            for (project, kind) in [(None, None), (Some(1), None), (None, Some(1)), (Some(1), Some(0))] {
                world.ask(&Question { tenant: 0, zone, range, project, kind }).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_while_days_are_recounted_events_are_applied_flushed_merged_and_readable() {
    let mut held_up = HeldUp::new();
    let mut world = world().await;
    let ledger = Arc::clone(&world.ledger);
    let changing = tokio::spawn(async move { set_zone(&*ledger, &scope(TENANTS[0]), &zone(3)).await });
    held_up.reached().await;
    // New events on old days, of new users, of another tenant; segments are merged with ones that come
    // only now.
    for id in 30..70 {
        world.record(usize::from(id % 5 == 0), &[visit(id, i64::from(id) * 41)]).await;
        world.ask(&Question { tenant: 0, zone: 0, range: None, project: None, kind: None }).await;
    }
    world.ledger.maintain().await.expect("maintain");
    world.record(0, &[visit(70, 5), Ev { user: Some(99), ..visit(71, 1_439) }]).await;
    ask_all(&world).await;
    assert!(!changing.is_finished());
    assert_eq!(world.ledger.applied_zone(&scope(TENANTS[0])).zone, Zone::utc());
    held_up.go_on();
    changing.await.expect("no panic").expect("a zone");
    world.zones[0] = 3;
    assert_eq!(world.ledger.applied_zone(&scope(TENANTS[0])).zone, zone(3));
    ask_all(&world).await;
    world.record(0, &[visit(72, 1_300)]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_a_recount_that_nobody_waits_for_ends_at_once_and_leaves_the_old_zone() {
    let mut held_up = HeldUp::new();
    let world = world().await;
    let ledger = Arc::clone(&world.ledger);
    let changing = tokio::spawn(async move { set_zone(&*ledger, &scope(TENANTS[0]), &zone(3)).await });
    held_up.reached().await;
    changing.abort();
    assert!(changing.await.expect_err("aborted").is_cancelled());
    held_up.go_on();
    assert_eq!(world.ledger.applied_zone(&scope(TENANTS[0])).zone, Zone::utc());
    // What is begun after it ends after it.
    ask_all(&world).await;
    set_zone(&*world.ledger, &scope(TENANTS[1]), &zone(1)).await.expect("a zone");
    assert_eq!(world.ledger.applied_zone(&scope(TENANTS[0])).zone, Zone::utc());
    let mut world = world;
    world.zones[1] = 1;
    world.end().await;
    let of_one = held_up.segments();
    set_zone(&*world.ledger, &scope(TENANTS[1]), &zone(2)).await.expect("a zone");
    let each = held_up.segments() - of_one;
    assert!(each > 2, "there are several segments");
    assert_eq!(of_one, 1 + each, "no segment is read after the one it was held up at");
}
