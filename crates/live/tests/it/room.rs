//! I6: memory and users are bounded; what does not fit is said, and no other tenant pays for it.

use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable};
use live::{LiveOptions, MemoryLive};
use ports::live::{Live, LiveEvent, LiveWindow};
use ports::testing::ledger::records::{at, scope};

/// `users` users act once each at `second`, the first of whom is number `first`.
async fn act(live: &MemoryLive, tenant: &str, second: i64, first: u32, users: u32) {
    let names: Vec<String> = (first..first + users).map(|n| format!("user-{n}")).collect();
    let events: Vec<_> = names.iter().map(|name| LiveEvent { time: at(second), user: Some(name) }).collect();
    live.record(scope(tenant).tenant(), at(second), &events).await.unwrap();
}

async fn window(live: &MemoryLive, tenant: &str, second: i64, seconds: u32) -> LiveWindow {
    live.window(&scope(tenant), at(second), seconds).await.unwrap()
}

#[tokio::test]
async fn i6_memory_stays_within_its_bound_and_the_oldest_seconds_go_first() {
    let bytes_max = 1 << 20;
    let live = MemoryLive::with(LiveOptions { bytes_max, ..LiveOptions::default() });
    act(&live, "small", 0, 0, 10).await;
    for second in 0..600 {
        act(&live, "large", second, 0, 3_000).await;
        assert!(live.bytes() <= bytes_max as u64, "{} at second {second}", live.bytes());
    }
    let whole = window(&live, "large", 599, 600).await;
    assert!(whole.is_incomplete);
    assert!(whole.events > 0 && whole.events < 600 * 3_000);
    let newest = window(&live, "large", 599, 5).await;
    assert!(!newest.is_incomplete);
    assert_eq!((newest.events, newest.unique_users), (15_000, 3_000));
    let small = window(&live, "small", 599, 600).await;
    assert!(!small.is_incomplete, "the large tenant's need is not the small one's loss");
    assert_eq!((small.events, small.unique_users), (10, 10));
}

#[tokio::test]
async fn i6_a_bound_that_not_even_one_second_fits_into_is_kept() {
    let live = MemoryLive::with(LiveOptions { bytes_max: 10_000, ..LiveOptions::default() });
    for second in 0..30 {
        act(&live, "large", second, 0, 5_000).await;
    }
    let window = window(&live, "large", 29, 1).await;
    assert!(window.is_incomplete, "{window:?}");
    assert!(window.events < 5_000);
}

#[tokio::test]
async fn users_who_are_gone_give_their_place_to_new_ones() {
    let live = MemoryLive::with(LiveOptions { retention_sec: 60, slots_max: 1_000, ..LiveOptions::default() });
    let mut table = ReferenceTable { generation: 1, ..ReferenceTable::default() };
    for n in (0..100_000).step_by(2) {
        let plan = Attributes::from([("plan".to_owned(), format!("p{}", n % 3))]);
        table.users.insert(format!("user-{n}"), Arc::new(plan));
    }
    live.set_reference(scope("t").tenant(), Arc::new(table)).await.unwrap();
    for round in 0..40 {
        act(&live, "t", i64::from(round) * 200, round * 1_000, 1_000).await;
        let now = window(&live, "t", i64::from(round) * 200, 60).await;
        assert!(!now.is_incomplete, "round {round}");
        assert_eq!((now.events, now.unique_users, now.unknown), (1_000, 1_000, 500));
        assert_eq!(now.by["plan"].values().sum::<u64>(), 500);
    }
    assert!(live.bytes() < 1_000_000, "{}", live.bytes());
}

#[tokio::test]
async fn i6_the_memory_of_a_crowd_that_has_gone_is_given_back() {
    let bytes_max = 16 << 20;
    let live = MemoryLive::with(LiveOptions { bytes_max, retention_sec: 60, ..LiveOptions::default() });
    for (tenant, second) in [("one", 0), ("other", 200), ("one", 400)] {
        act(&live, tenant, second, 0, 100_000).await;
        assert!(live.bytes() > 8 << 20, "{tenant} takes most of it: {}", live.bytes());
        let now = window(&live, tenant, second, 60).await;
        assert_eq!((now.is_incomplete, now.events, now.unique_users), (false, 100_000, 100_000), "{tenant} {second}");
    }
    act(&live, "one", 600, 99_000, 10).await;
    assert!(live.bytes() < 1 << 20, "{}", live.bytes());
    let table = |plan: &str, generation| {
        let attributes = Arc::new(Attributes::from([("plan".to_owned(), plan.to_owned())]));
        let users = (99_000..99_005).map(|n| (format!("user-{n}"), Arc::clone(&attributes))).collect();
        Arc::new(ReferenceTable { generation, users, ..ReferenceTable::default() })
    };
    for (generation, second) in [(1, 601), (2, 700), (3, 2_000)] {
        live.set_reference(scope("one").tenant(), table(&format!("p{generation}"), generation)).await.unwrap();
        act(&live, "one", second, 99_000, 20).await;
        let now = window(&live, "one", second, 1).await;
        assert_eq!((now.events, now.unique_users, now.unknown), (20, 20, 15), "{generation}");
        assert_eq!(now.by["plan"], [(format!("p{generation}"), 5)].into_iter().collect());
    }
}

#[tokio::test]
async fn i6_users_beyond_the_limit_count_as_unknown_and_the_window_says_so() {
    let live = MemoryLive::with(LiveOptions { slots_max: 100, ..LiveOptions::default() });
    act(&live, "t", 10, 0, 150).await;
    let now = window(&live, "t", 10, 10).await;
    assert_eq!((now.events, now.unique_users, now.unknown, now.is_incomplete), (150, 100, 150, true));
    assert!(!window(&live, "t", 30, 10).await.is_incomplete);
}

#[tokio::test]
async fn an_older_table_changes_nothing_and_readers_never_see_a_mix() {
    let live = Arc::new(MemoryLive::new(1_800));
    act(&live, "t", 10, 0, 5_000).await;
    let table = |generation: u64| {
        let attributes = Arc::new(Attributes::from([("generation".to_owned(), generation.to_string())]));
        let users = (0..5_000).map(|n| (format!("user-{n}"), Arc::clone(&attributes))).collect();
        Arc::new(ReferenceTable { generation, users, ..ReferenceTable::default() })
    };
    let writer = tokio::spawn({
        let live = Arc::clone(&live);
        async move {
            for generation in [1, 2, 3, 2, 4, 5] {
                live.set_reference(scope("t").tenant(), table(generation)).await.unwrap();
            }
        }
    });
    let mut latest = 0;
    while latest < 5 {
        let now = window(&live, "t", 10, 10).await;
        assert!(now.generation >= latest);
        latest = now.generation;
        if latest > 0 {
            assert_eq!(now.by["generation"], [(latest.to_string(), 5_000)].into_iter().collect());
            assert_eq!(now.unknown, 0);
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    live.set_reference(scope("t").tenant(), table(4)).await.unwrap();
    assert_eq!(window(&live, "t", 10, 10).await.generation, 5);
}
