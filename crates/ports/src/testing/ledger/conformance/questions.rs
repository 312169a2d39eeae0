//! Random events, flushes, changes of zone and restarts: every question about audiences and sums has
//! the oracle's answer. The seed of a failing run is in the message.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};
use domain::position::Seq;
use domain::series::{Facet, Metric, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;

use super::dice::Dice;
use crate::PortError;
use crate::active_users::{ActiveUsers, ActiveUsersQuery};
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::Ledger;
use crate::testing::ledger::records::{EventSpec, event_at, instant, record, scope};
use crate::testing::ledger::{MemoryLedger, set_zone};

const RECORDS: u64 = 50;
/// Questions after each round of steps, per tenant.
const QUESTIONS: u32 = 12;

const TENANTS: [&str; 3] = ["acme", "acm", "zeta"];
const USERS: [&str; 7] = ["ann", "bob", "Bob", "é", "u1", "u10", "u2"];
const CUSTOMERS: [&str; 4] = ["c", "cc", "d", "é"];
const TYPES: [&str; 4] = ["call", "view", "View", "x"];
const NAMES: [&str; 3] = ["p", "pp", "q"];
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
];
/// Around these, events gather: changes of clocks, borders of days, weeks and months, far past.
const MOMENTS: [&str; 12] = [
    "2026-03-29T01:00:00Z",
    "2026-03-29T22:00:00Z",
    "2026-03-08T07:00:00Z",
    "2026-04-04T15:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-11-01T00:00:00Z",
    "2026-11-01T06:00:00Z",
    "2018-11-04T03:00:00Z",
    "2011-12-30T10:00:00Z",
    "2006-10-29T02:31:00Z",
    "1969-12-31T23:59:59.999999Z",
    "0001-01-02T00:00:00Z",
];

/// Where a ledger lives, so that it can be left and opened again.
pub trait Home {
    /// The ledger that lives there.
    type Ledger: Ledger + ActiveUsers + Analytics + 'static;

    /// Opens the ledger as a new process would, after whatever the last one had flushed.
    fn open(&self) -> impl Future<Output = Arc<Self::Ledger>>;

    /// Does what the ledger does in the background, if it does anything.
    fn maintain(&self, _: &Self::Ledger) -> impl Future<Output = Result<(), PortError>> {
        async { Ok(()) }
    }
}

/// Asks random questions about random events, in one run for each seed. `home` gives an empty home, with
/// windows by the default rule.
///
/// # Panics
/// When an answer is not the oracle's.
pub async fn questions_conformance<H: Home, F: AsyncFn() -> H>(seeds: RangeInclusive<u64>, home: F) {
    for seed in seeds {
        let home = home().await;
        let ledger = home.open().await;
        let oracle = MemoryLedger::new(WindowRule::default());
        let mut run = Run { seed, dice: Dice::new(seed), home, ledger, oracle, journal: Vec::new() };
        while run.journal.len() < usize::try_from(RECORDS).unwrap_or_default() {
            run.step().await;
        }
        run.ask_all().await;
        run.ledger.flush().await.expect("a flush");
        run.ask_all().await;
    }
}

struct Run<H: Home> {
    seed: u64,
    dice: Dice,
    home: H,
    ledger: Arc<H::Ledger>,
    oracle: MemoryLedger,
    journal: Vec<Delivery>,
}

impl<H: Home> Run<H> {
    async fn step(&mut self) {
        match self.dice.below(24) {
            0..12 => self.take().await,
            12..14 => drop(self.ledger.flush().await.expect("a flush")),
            14..17 => self.home.maintain(&self.ledger).await.expect("maintenance"),
            17 => self.reopen().await,
            18 => self.close().await,
            19 => self.move_to_another_zone().await,
            _ => {
                let tenant = self.dice.pick(&TENANTS);
                self.ask(&scope(tenant)).await;
            }
        }
    }

    async fn take(&mut self) {
        let tenant = scope(self.dice.pick(&TENANTS));
        let received_at = moment(&mut self.dice);
        let events: Vec<EventSpec> = (0..=self.dice.below(9)).map(|_| random_event(&mut self.dice)).collect();
        let seq = self.journal.len() as u64 + 1;
        self.journal.push(record(seq, &tenant, received_at, &events));
        let entry = &self.journal[self.journal.len() - 1..];
        let (mine, theirs) = (self.ledger.apply(entry).await, self.oracle.apply(entry).await);
        assert!(mine.failed.is_none() && theirs.failed.is_none(), "seed {}: {:?}", self.seed, mine.failed);
    }

    /// A restart: what was not flushed comes again from the journal.
    async fn reopen(&mut self) {
        self.ledger = self.home.open().await;
        let flushed = self.ledger.cursor();
        let rest: Vec<Delivery> =
            self.journal.iter().filter(|entry| Seq::of_record(entry.id) > flushed).cloned().collect();
        let batch = self.ledger.apply(&rest).await;
        assert!(batch.failed.is_none(), "seed {}: {:?}", self.seed, batch.failed);
        assert_eq!(self.ledger.applied(), Seq(self.journal.len() as u64), "seed {}", self.seed);
    }

    async fn close(&mut self) {
        let through = moment(&mut self.dice);
        self.ledger.close_through(through).await.expect("a closing");
        self.oracle.close_through(through).await.expect("a closing");
    }

    async fn move_to_another_zone(&mut self) {
        let tenant = scope(self.dice.pick(&TENANTS));
        let zone = zone(&mut self.dice);
        set_zone(&*self.ledger, &tenant, &zone).await.expect("a zone");
        set_zone(&self.oracle, &tenant, &zone).await.expect("a zone");
    }

    async fn ask_all(&mut self) {
        for tenant in TENANTS {
            self.ask(&scope(tenant)).await;
        }
    }

    async fn ask(&mut self, tenant: &TenantScope) {
        let (seed, ledger, oracle) = (self.seed, &*self.ledger, &self.oracle);
        assert_eq!(ledger.applied_zone(tenant), oracle.applied_zone(tenant), "seed {seed}");
        for _ in 0..QUESTIONS {
            let dice = &mut self.dice;
            let query = audience(dice, &oracle.applied_zone(tenant).zone);
            let mine = ledger.active_users(tenant, &query).await.expect("users");
            assert_eq!(mine, oracle.active_users(tenant, &query).await.expect("users"), "seed {seed}: {query:?}");
            assert!(mine.values().all(|users| !users.is_empty()), "seed {seed}: only days with activity");

            let zone = zone(dice);
            let (range, limit) = (range(dice, &zone), dice.pick(&[1, 2, 10]));
            let project = optional(dice, &["", "p", "pp", "q", "none"]);
            let mine = ledger.top_types(tenant, range, project, limit).await.expect("types");
            let theirs = oracle.top_types(tenant, range, project, limit).await.expect("types");
            assert_eq!(mine, theirs, "seed {seed}: {range:?} {project:?} {limit}");

            let customer = dice.pick(&["c", "cc", "d", "é", "C", "nobody"]);
            let mine = ledger.summary(tenant, customer, range, limit).await.expect("a summary");
            let theirs = oracle.summary(tenant, customer, range, limit).await.expect("a summary");
            assert_eq!(mine, theirs, "seed {seed}: {customer:?} {range:?} {limit}");

            let query = series(dice);
            let kind = |error: PortError| error.kind();
            let mine = ledger.series(tenant, &query).await.map_err(kind);
            assert_eq!(mine, oracle.series(tenant, &query).await.map_err(kind), "seed {seed}: {query:?}");
        }
    }
}

fn zone(dice: &mut Dice) -> Zone {
    Zone::parse(dice.pick(&ZONES)).expect("a zone")
}

/// `None` half of the time.
fn optional<T: Copy>(dice: &mut Dice, choices: &[T]) -> Option<T> {
    (dice.below(2) == 0).then(|| dice.pick(choices))
}

/// An instant near one of [`MOMENTS`]: on it, beside it, hours or days away.
fn moment(dice: &mut Dice) -> Timestamp {
    let near = instant(dice.pick(&MOMENTS));
    let hours = dice.below(97) - 48;
    match dice.below(5) {
        0 => near,
        1 => near.plus_micros(dice.below(3) - 1),
        2 => near.plus_micros(hours * 3_600_000_000 + dice.below(3) - 1),
        3 => near.plus_micros(hours * 1_800_000_000 + dice.below(1_800) * 1_000_003),
        _ => near.plus_micros(hours * 86_400_000_000),
    }
}

fn random_event(dice: &mut Dice) -> EventSpec {
    let mut event = event_at(&format!("e{}", dice.below(400)), moment(dice)).kind(dice.pick(&TYPES));
    if dice.below(4) > 0 {
        event = event.user(dice.pick(&USERS));
    }
    if dice.below(4) > 0 {
        event = event.customer(dice.pick(&CUSTOMERS));
    }
    if dice.below(2) > 0 {
        event = event.project(dice.pick(&NAMES));
    }
    if dice.below(2) > 0 {
        event = event.endpoint(dice.pick(&NAMES));
    }
    if dice.below(2) > 0 {
        event = event.model(dice.pick(&NAMES));
    }
    if dice.below(2) > 0 {
        let (input, output) = (dice.below(900).unsigned_abs(), dice.below(9).unsigned_abs());
        event = dice.tokens(event, input, output);
    }
    if dice.below(2) > 0 {
        event = event.latency_ms(dice.below(900).unsigned_abs());
    }
    event
}

/// All of time, whole days of a zone, one day, or any two instants.
fn range(dice: &mut Dice, zone: &Zone) -> TimeRange {
    let calendar = Calendar { zone: zone.clone(), ..Calendar::utc() };
    let (mut from, mut to) = (moment(dice), moment(dice));
    if from > to {
        (from, to) = (to, from);
    }
    let day = |at: Timestamp| calendar.day_of(at);
    match dice.below(6) {
        0 => return TimeRange::ALL,
        1 | 2 => (from, to) = (calendar.start_of(day(from)), calendar.start_of(day(to).plus(1))),
        3 => (from, to) = (calendar.start_of(day(from)), calendar.start_of(day(from).plus(1))),
        4 => to = from.plus_micros(dice.below(400_000) * 1_000_000),
        _ => {}
    }
    TimeRange::new(from, to).unwrap_or(TimeRange::ALL)
}

/// Half of the time in the tenant's own zone, whose days may be kept.
fn audience(dice: &mut Dice, own: &Zone) -> ActiveUsersQuery {
    let zone = if dice.below(2) == 0 { own.clone() } else { zone(dice) };
    let owned = |text: &str| text.to_owned();
    ActiveUsersQuery {
        range: range(dice, &zone),
        project: optional(dice, &["", "p", "pp", "q", "none"]).map(owned),
        kind: optional(dice, &["call", "view", "View", "x", "none"]).map(owned),
        zone,
        named_only: false,
    }
}

fn series(dice: &mut Dice) -> SeriesQuery {
    let metrics = [
        Metric::Count,
        Metric::Tokens,
        Metric::InputTokens,
        Metric::OutputTokens,
        Metric::CacheReadTokens,
        Metric::CacheWriteTokens,
        Metric::ReasoningTokens,
        Metric::AvgLatencyMs,
        Metric::UniqueUsers,
    ];
    let intervals = [
        Interval::Minute,
        Interval::Hour,
        Interval::Hour,
        Interval::Days(Period::Day),
        Interval::Days(Period::Week),
        Interval::Days(Period::Month),
    ];
    let week_start = dice.pick(&[WeekStart::Monday, WeekStart::Sunday, WeekStart::Saturday]);
    let calendar = Calendar { zone: zone(dice), week_start };
    let mut facets = Facet::ALL.to_vec();
    let rotation = usize::try_from(dice.below(5)).unwrap_or_default();
    facets.rotate_left(rotation);
    let groups = dice.pick(&[0, 0, 1, 1, 2, 5]);
    let mut filters = Vec::new();
    for facet in Facet::ALL {
        if dice.below(5) == 0 {
            let value = match facet {
                Facet::Customer => dice.pick(&["", "c", "cc", "d", "nobody"]),
                Facet::Type => dice.pick(&["", "call", "View", "x"]),
                Facet::Project | Facet::Endpoint | Facet::Model => dice.pick(&["", "p", "pp", "none"]),
            };
            filters.push((facet, value.to_owned()));
        }
    }
    SeriesQuery {
        metric: dice.pick(&metrics),
        range: range(dice, &calendar.zone),
        interval: dice.pick(&intervals),
        calendar,
        group_by: facets[..groups].to_vec(),
        filters,
        groups_max: dice.pick(&[1, 2, 3, 10_000, 10_000]),
        points_max: dice.pick(&[10, 100, 10_000]),
    }
}
