//! The memory twin of the live view, and the suite that every adapter runs. The twin is the oracle: a
//! list of all events, counted anew for every question.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use domain::reference::{Attributes, ReferenceTable};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::Mutex;

use crate::PortError;
use crate::live::{Live, LiveEvent, LiveWindow};
use crate::testing::ledger::records::{at, scope};

/// A live view that keeps every event for ever.
#[derive(Debug, Default)]
pub struct ListLive {
    retention_sec: u32,
    tenants: Mutex<HashMap<TenantId, Past>>,
}

/// One tenant's events, as second and user, and its table.
type Past = (Vec<(i64, Option<String>)>, Arc<ReferenceTable>);

impl ListLive {
    /// An empty one.
    pub fn new(retention_sec: u32) -> Self {
        Self { retention_sec, tenants: Mutex::default() }
    }
}

#[async_trait]
impl Live for ListLive {
    fn retention_sec(&self) -> u32 {
        self.retention_sec
    }

    async fn record(&self, tenant: &TenantId, _: Timestamp, events: &[LiveEvent<'_>]) -> Result<(), PortError> {
        let mut tenants = self.tenants.lock();
        let (all, _) = tenants.entry(tenant.clone()).or_default();
        all.extend(events.iter().map(|event| (second(event.time), event.user.map(str::to_owned))));
        Ok(())
    }

    async fn window(&self, scope: &TenantScope, now: Timestamp, seconds: u32) -> Result<LiveWindow, PortError> {
        let mut tenants = self.tenants.lock();
        let (all, table) = tenants.entry(scope.tenant().clone()).or_default();
        let mut window = LiveWindow { generation: table.generation, ..LiveWindow::default() };
        let attributes: BTreeSet<_> = table.users.values().flat_map(|known| known.keys()).collect();
        window.by = attributes.into_iter().map(|attribute| (attribute.clone(), BTreeMap::new())).collect();
        let mut users = BTreeSet::new();
        let now = second(now);
        for (_, user) in all.iter().filter(|(at, _)| now - i64::from(seconds) < *at && *at <= now) {
            window.events += 1;
            users.extend(user);
            match user.as_ref().and_then(|user| table.users.get(user)) {
                None => window.unknown += 1,
                Some(attributes) => {
                    for (attribute, value) in attributes.iter() {
                        let by: &mut BTreeMap<_, _> = window.by.entry(attribute.clone()).or_default();
                        *by.entry(value.clone()).or_default() += 1;
                    }
                }
            }
        }
        window.unique_users = users.len() as u64;
        Ok(window)
    }

    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError> {
        let mut tenants = self.tenants.lock();
        let (_, current) = tenants.entry(tenant.clone()).or_default();
        if table.generation > current.generation {
            *current = table;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

fn second(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

/// What every live view with room enough has to do: random events, out of order, over advancing time
/// and changing tables, seen through windows of any length. `make` opens an empty view with this
/// retention.
pub async fn live_conformance<L: Live>(make: impl Fn(u32) -> L) {
    for seed in 1..=SEEDS {
        run(seed, &make(RETENTION_SEC), &ListLive::new(RETENTION_SEC)).await;
    }
}

const SEEDS: u64 = 8;
const STEPS: u64 = 160;
const RETENTION_SEC: u32 = 300;

async fn run(seed: u64, subject: &impl Live, oracle: &ListLive) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let tenants = [scope("acme"), scope("zeta")];
    let (mut clock, mut generation, users) = (7, 0, 1 + dice.below(400));
    for step in 0..STEPS {
        // Sometimes the clock stands still, sometimes everything kept falls out at once.
        clock += [0, 0, 1, 1, 3, 17, 70, 700][dice.index(8)];
        let tenant = &tenants[dice.index(2)];
        let batch: Vec<(Timestamp, Option<String>)> = (0..dice.below(60))
            .map(|_| {
                let back = [0, 0, 1, dice.below(12), dice.below(i64::from(RETENTION_SEC)), dice.below(900)];
                let seconds = clock - back[dice.index(6)] + [0, 0, 0, dice.below(40)][dice.index(4)];
                let user = (dice.below(9) > 0).then(|| format!("u-{}", dice.below(users) + clock / 200 * 50));
                (at(seconds).plus_micros(dice.below(1_000_000)), user)
            })
            .collect();
        let events: Vec<_> =
            batch.iter().map(|(time, user)| LiveEvent { time: *time, user: user.as_deref() }).collect();
        for live in [subject as &dyn Live, oracle] {
            live.record(tenant.tenant(), at(clock), &events).await.expect("a record");
        }
        if dice.below(12) == 0 {
            generation += dice.below(2);
            let table = Arc::new(random_table(&mut dice, generation.unsigned_abs(), users + clock / 200 * 50));
            for live in [subject as &dyn Live, oracle] {
                live.set_reference(tenant.tenant(), Arc::clone(&table)).await.expect("a table");
            }
        }
        for _ in 0..3 {
            let seconds = [1, 2, 10, 60, 299, RETENTION_SEC, 1 + u32::try_from(dice.below(300)).unwrap_or(0)];
            let seconds = seconds[dice.index(7)];
            let mine = subject.window(tenant, at(clock), seconds).await.expect("a window");
            let theirs = oracle.window(tenant, at(clock), seconds).await.expect("a window");
            assert_eq!(mine, theirs, "seed {seed}, step {step}, {seconds} s");
        }
    }
}

fn random_table(dice: &mut Dice, generation: u64, users: i64) -> ReferenceTable {
    let mut table = ReferenceTable { generation, ..ReferenceTable::default() };
    for user in 0..users {
        let mut attributes = Attributes::new();
        for (attribute, values) in [("plan", 3), ("region", 5), ("seat", 100)] {
            if dice.below(4) > 0 {
                attributes.insert(attribute.to_owned(), format!("{attribute}-{}", dice.below(values)));
            }
        }
        if dice.below(3) > 0 {
            table.users.insert(format!("u-{user}"), Arc::new(attributes));
        }
    }
    table
}

/// Pseudo-random numbers (xorshift64*), the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        i64::try_from(drawn % end.max(1).unsigned_abs()).unwrap_or(0)
    }

    fn index(&mut self, end: i64) -> usize {
        usize::try_from(self.below(end)).unwrap_or(0)
    }
}
