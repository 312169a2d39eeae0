//! Retention of a server and of three tenants, one after the other set otherwise, over events of any age and restarts:
//! floors never go back, never beyond what the setting in force allows, exactly what is behind them is shown, and what is
//! no longer had its wait. The seed of a failing run is in the message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};

use super::dice::Dice;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::reports::{EventFilter, EventQuery, Order, Reports};
use crate::testing::clock::ManualClock;
use crate::testing::ledger::records::{event_at, record, scope};

const TENANTS: [&str; 3] = ["a", "b", "c"];
/// For how long the server keeps what nobody keeps for another time.
pub const SERVER_DAYS: u32 = 4;
/// Steps of a random run.
const STEPS: u32 = 40;
const HOUR: Duration = Duration::from_secs(3_600);

/// Where a ledger lives that keeps raw events for [`SERVER_DAYS`], waits a day, and asks a clock of the test.
pub trait RetentionHome {
    /// The ledger that lives there.
    type Ledger: Ledger + Reports + 'static;

    /// The clock.
    fn clock(&self) -> &ManualClock;

    /// Opens the ledger as a new process would, which knows for how many days tenants keep their own.
    fn open(&self, own: HashMap<TenantId, u32>) -> impl Future<Output = Arc<Self::Ledger>>;

    /// Does what the ledger does in the background, once.
    fn maintain(&self, ledger: &Self::Ledger) -> impl Future<Output = ()>;

    /// Looks at the end whether what is stored is right.
    fn verify(&self, _: &Self::Ledger) -> impl Future<Output = ()> {
        async {}
    }
}

/// Runs once for each seed. `home` gives an empty home, whose clock stands at any time.
///
/// # Panics
/// When a tenant is shown what it is not, or not what it is.
pub async fn retention_conformance<H: RetentionHome>(seeds: RangeInclusive<u64>, home: impl AsyncFn() -> H) {
    for seed in seeds {
        run(seed, home().await).await;
    }
}

/// The ids of the raw events that a tenant is shown.
async fn shown(ledger: &impl Reports, tenant: &str) -> BTreeSet<String> {
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Descending,
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
    };
    ledger.events(&scope(tenant), &all).await.expect("events").rows.into_iter().map(|event| event.id).collect()
}

/// What the oracle knows: every event there ever was, and for how long each tenant keeps its own.
#[derive(Default)]
struct Oracle {
    seed: u64,
    events: BTreeMap<&'static str, BTreeMap<String, Timestamp>>,
    days: HashMap<&'static str, u32>,
    floors: BTreeMap<&'static str, Timestamp>,
    /// When it was looked, and where the floor of each tenant belonged then.
    looks: Vec<(Timestamp, BTreeMap<&'static str, Timestamp>)>,
}

impl Oracle {
    fn own(&self) -> HashMap<TenantId, u32> {
        self.days.iter().map(|(tenant, days)| (scope(tenant).tenant().clone(), *days)).collect()
    }

    fn target(&self, tenant: &str, now: Timestamp) -> Timestamp {
        let days = self.days.get(tenant).copied().unwrap_or(SERVER_DAYS);
        if days == 0 {
            return Timestamp::MIN;
        }
        now.plus_micros(-i64::from(days) * MICROS_PER_DAY).floor_to(MICROS_PER_HOUR)
    }

    fn look(&mut self, now: Timestamp) {
        self.looks.push((now, TENANTS.map(|tenant| (tenant, self.target(tenant, now))).into()));
    }

    /// Whether an event may have been hidden by the last look, when the floor was at `floor` before: time itself has come
    /// to it since the look before, or for a day all looks have said that it will be gone by now.
    fn may_go(&self, tenant: &str, floor: Timestamp, time: Timestamp) -> bool {
        let Some((now, _)) = self.looks.last() else { return false };
        let since = |then: Timestamp| now.micros() - then.micros();
        let elapsed = self.looks.iter().rev().nth(1).map_or(0, |(before, _)| since(*before));
        if time < floor.plus_micros(elapsed + MICROS_PER_HOUR) {
            return true;
        }
        for (then, targets) in self.looks.iter().rev() {
            if time >= targets[tenant].plus_micros(since(*then) + MICROS_PER_HOUR) {
                return false;
            }
            if since(*then) >= MICROS_PER_DAY {
                return true;
            }
        }
        false
    }

    async fn check(&mut self, ledger: &(impl Ledger + Reports), now: Timestamp) {
        let seed = self.seed;
        for tenant in TENANTS {
            let floor = ledger.retention_of(&scope(tenant)).kept_since.unwrap_or(Timestamp::MIN);
            let before = self.floors.insert(tenant, floor).unwrap_or(Timestamp::MIN);
            assert!(floor >= before, "seed {seed}: the floor of {tenant} went from {before} to {floor}");
            assert!(
                floor == before || floor <= self.target(tenant, now),
                "seed {seed}: {tenant} lost what it keeps: {before} {floor}"
            );
            let waited = |time: &Timestamp| !(before..floor).contains(time) || self.may_go(tenant, before, *time);
            let early = self.events.get(tenant).into_iter().flatten().find(|(_, time)| !waited(time));
            assert_eq!(early, None, "seed {seed}: the floor of {tenant} went from {before} to {floor} without a wait");
            let events = self.events.entry(tenant).or_default().iter();
            let kept: BTreeSet<_> = events.filter(|(_, time)| **time >= floor).map(|(id, _)| id.clone()).collect();
            assert_eq!(shown(ledger, tenant).await, kept, "seed {seed}: {tenant} from {floor}");
        }
    }
}

async fn run<H: RetentionHome>(seed: u64, home: H) {
    let (mut dice, mut oracle) = (Dice::new(seed), Oracle { seed, ..Oracle::default() });
    home.clock().advance(HOUR * 24 * 30);
    let mut ledger = home.open(oracle.own()).await;
    home.maintain(&ledger).await;
    oracle.look(home.clock().now());
    oracle.check(&*ledger, home.clock().now()).await;
    for n in 1..=STEPS {
        let now = home.clock().now();
        let tenant = dice.pick(&TENANTS);
        match dice.below(19) {
            0..8 => {
                // What is imported may be older than all that is kept.
                let (id, time) = (format!("e{n}"), now.plus_micros(-dice.below(240) * MICROS_PER_HOUR));
                let events = [event_at(&id, time).customer("c").user(&id)];
                let entry = record(ledger.applied().next().0, &scope(tenant), now, &events);
                assert!(ledger.apply(&[entry]).await.failed.is_none(), "seed {seed}");
                oracle.events.entry(tenant).or_default().insert(id, time);
            }
            8..11 => home.clock().advance(HOUR * (1 + u32::try_from(dice.below(40)).unwrap_or(0))),
            11..13 => {
                let days = match dice.below(3) {
                    0 => None,
                    1 => Some(0),
                    _ => Some(1 + u32::try_from(dice.below(8)).unwrap_or(0)),
                };
                match days {
                    Some(days) => drop(oracle.days.insert(tenant, days)),
                    None => drop(oracle.days.remove(tenant)),
                }
                ledger.set_retention(&scope(tenant), days);
            }
            13 => drop(ledger.flush().await.expect("a flush")),
            14..18 => {
                home.maintain(&ledger).await;
                oracle.look(now);
            }
            _ => {
                // What is not flushed is in the journal, which this run has none of.
                ledger.flush().await.expect("a flush");
                drop(ledger);
                ledger = home.open(oracle.own()).await;
            }
        }
        oracle.check(&*ledger, home.clock().now()).await;
    }
    // In the end, after every wait, each floor is where its setting says.
    for _ in 0..60 {
        home.clock().advance(HOUR);
        home.maintain(&ledger).await;
        oracle.look(home.clock().now());
        oracle.check(&*ledger, home.clock().now()).await;
    }
    for tenant in TENANTS {
        let target = oracle.target(tenant, home.clock().now());
        assert!(oracle.floors[tenant] >= target, "seed {seed}: {tenant} keeps more than it says");
    }
    home.verify(&ledger).await;
}
