//! What one tenant's users did, second by second, with sums over ten seconds and over minutes.
//!
//! Invariant: the sums of a block are those of its seconds, whatever order events come in. A block of
//! ten seconds is kept or dropped whole; a minute's sums are dropped with its first ten seconds.
//! Everything handed to a reader is shared and copied before the next change, so that recording does
//! not wait while a window is added up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ports::live::LiveEvent;

use crate::counts::{CHUNK, Counts};
use crate::enrichment::{EnrichmentIndex, UNKNOWN};
use crate::second::Second;
use crate::slots::{Assignment, Slots};

/// Seconds in the smaller block.
const TEN: i64 = 10;
/// Seconds in the larger block.
const MINUTE: i64 = 60;
/// How long a second is kept beyond the retention, for readers whose clock is a little behind.
const SLACK_SEC: i64 = 10;
/// A second is packed once the clock is this many seconds past it.
const PACK_AFTER_SEC: i64 = 2;

/// The recent events of one tenant.
#[derive(Debug)]
pub(crate) struct Timeline {
    retention_sec: i64,
    /// By number of the block since the epoch; blocks without events are not there.
    tens: BTreeMap<i64, TenSeconds>,
    minutes: BTreeMap<i64, Arc<Counts>>,
    slots: Slots,
    /// By slot: the combination of its user's attributes, under `index`.
    combinations: Arc<Vec<u32>>,
    index: Arc<EnrichmentIndex>,
    /// Slots assigned to users since a new index began to be prepared; `None` when none is prepared.
    assigned: Option<Vec<u32>>,
    /// Everything before this second has been dropped; a multiple of ten.
    floor: i64,
    /// The latest second that the clock has shown.
    clock: i64,
    /// When slots were last freed.
    swept: i64,
    /// Seconds with events that are not packed.
    unpacked: BTreeSet<i64>,
    bytes: usize,
}

/// Ten seconds and their sum.
#[derive(Debug, Default)]
struct TenSeconds {
    counts: Arc<Counts>,
    seconds: [Arc<Second>; 10],
}

/// How to add up a window: taken under the lock, added up outside it.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    terms: Vec<Term>,
    events: u64,
    unknown: u64,
    is_incomplete: bool,
    slots: usize,
    combinations: Arc<Vec<u32>>,
    index: Arc<EnrichmentIndex>,
}

/// One summand of a window.
#[derive(Debug)]
struct Term {
    counted: Counted,
    subtract: bool,
}

#[derive(Debug, Clone)]
enum Counted {
    Block(Arc<Counts>),
    Second(Arc<Second>),
}

/// The sums of a window.
#[derive(Debug)]
pub(crate) struct WindowSums {
    pub(crate) events: u64,
    pub(crate) unique_users: u64,
    pub(crate) unknown: u64,
    pub(crate) is_incomplete: bool,
    /// By combination.
    pub(crate) by_combination: Vec<u64>,
    pub(crate) index: Arc<EnrichmentIndex>,
}

impl Timeline {
    pub(crate) fn new(retention_sec: u32, slots_max: usize) -> Self {
        Self {
            retention_sec: i64::from(retention_sec),
            tens: BTreeMap::new(),
            minutes: BTreeMap::new(),
            slots: Slots::new(slots_max),
            combinations: Arc::default(),
            index: Arc::new(EnrichmentIndex::empty()),
            assigned: None,
            floor: i64::MIN,
            clock: i64::MIN,
            swept: i64::MIN,
            unpacked: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Counts events at `now`, in seconds since the epoch. Ignores those before what is kept, and those
    /// that lie further ahead than what is kept lies back.
    pub(crate) fn record(&mut self, now: i64, events: &[LiveEvent<'_>]) {
        self.advance(now);
        let kept = self.floor.max(now.saturating_sub(self.retention_sec))..=now.saturating_add(self.retention_sec);
        let second_of = |event: &LiveEvent<'_>| event.time.micros().div_euclid(1_000_000);
        for run in events.chunk_by(|one, next| second_of(one) == second_of(next)) {
            let Some(second) = run.first().map(second_of) else { continue };
            if kept.contains(&second) {
                self.record_run(second, run);
            }
        }
    }

    fn record_run(&mut self, at: i64, events: &[LiveEvent<'_>]) {
        let ten = self.tens.entry(at.div_euclid(TEN)).or_insert_with(|| {
            self.bytes += TEN_BYTES;
            TenSeconds::default()
        });
        let whole_minute = at.div_euclid(MINUTE) * MINUTE >= self.floor;
        let mut minute = whole_minute.then(|| Arc::make_mut(self.minutes.entry(at.div_euclid(MINUTE)).or_default()));
        let counts = Arc::make_mut(&mut ten.counts);
        let second = Arc::make_mut(&mut ten.seconds[usize::try_from(at.rem_euclid(TEN)).unwrap_or(0)]);
        let before = counts.bytes() + second.bytes() + minute.as_ref().map_or(0, |minute| minute.bytes());
        for event in events {
            let Some(user) = event.user else {
                second.anonymous += 1;
                continue;
            };
            let slot = match self.slots.of(user, at) {
                Some(Assignment::Existing(slot)) => slot,
                Some(Assignment::New(slot)) => {
                    let combinations = Arc::make_mut(&mut self.combinations);
                    combinations.resize(self.slots.len(), UNKNOWN);
                    combinations[slot as usize] = self.index.combination(user);
                    if let Some(assigned) = &mut self.assigned {
                        assigned.push(slot);
                    }
                    slot
                }
                None => {
                    second.without_slot += 1;
                    continue;
                }
            };
            second.add(slot);
            counts.add(slot);
            if let Some(minute) = &mut minute {
                minute.add(slot);
            }
        }
        self.unpacked.insert(at);
        let after = counts.bytes() + second.bytes() + minute.map_or(0, |minute| minute.bytes());
        self.bytes += after - before;
    }

    /// Lets time pass: forgets what is older than is kept, packs the seconds that are over, and once a minute
    /// frees the slots of users who are gone. What a clock that was far ahead has counted and forgotten would hide
    /// all that comes now: when it is corrected, counting begins anew.
    pub(crate) fn advance(&mut self, now: i64) {
        if now < self.floor {
            self.forget_before(i64::MAX);
            self.sweep();
            (self.floor, self.clock, self.swept) = (i64::MIN, i64::MIN, i64::MIN);
        }
        if now <= self.clock {
            return;
        }
        self.clock = now;
        self.forget_before(now.saturating_sub(self.retention_sec).saturating_sub(SLACK_SEC));
        let to_pack: Vec<i64> = self.unpacked.range(..=now.saturating_sub(PACK_AFTER_SEC)).copied().collect();
        for at in to_pack {
            let Some(ten) = self.tens.get_mut(&at.div_euclid(TEN)) else {
                self.unpacked.remove(&at);
                continue;
            };
            let second = Arc::make_mut(&mut ten.seconds[usize::try_from(at.rem_euclid(TEN)).unwrap_or(0)]);
            let before = second.bytes();
            second.pack();
            if !second.has_unpacked() {
                self.unpacked.remove(&at);
            }
            self.bytes = self.bytes + second.bytes() - before;
        }
        if now.saturating_sub(self.swept) >= MINUTE {
            self.swept = now;
            self.sweep();
        }
    }

    /// Forgets the oldest ten seconds that are there; false when there are none.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        let Some((ten, _)) = self.tens.first_key_value() else { return false };
        self.forget_before((ten + 1) * TEN);
        self.sweep();
        true
    }

    fn forget_before(&mut self, second: i64) {
        self.floor = self.floor.max(second.div_euclid(TEN) * TEN);
        while let Some(ten) = self.tens.first_entry().filter(|ten| ten.key() * TEN < self.floor) {
            let ten = ten.remove();
            self.bytes -= TEN_BYTES;
            self.bytes -= ten.counts.bytes() - Counts::default().bytes();
            self.bytes -= ten.seconds.iter().map(|second| second.bytes()).sum::<usize>();
        }
        while let Some(minute) = self.minutes.first_entry().filter(|minute| minute.key() * MINUTE < self.floor) {
            self.bytes -= minute.remove().bytes() - Counts::default().bytes();
        }
        self.unpacked = self.unpacked.split_off(&self.floor);
    }

    fn sweep(&mut self) {
        let freed = self.slots.sweep(self.floor);
        if !freed.is_empty() {
            let combinations = Arc::make_mut(&mut self.combinations);
            freed.iter().for_each(|slot| combinations[*slot as usize] = UNKNOWN);
        }
        if self.slots.len() < self.combinations.len() {
            let combinations = Arc::make_mut(&mut self.combinations);
            combinations.truncate(self.slots.len());
            combinations.shrink_to_fit();
        }
    }

    /// About the memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes + self.slots.bytes()
    }

    /// How to add up the window of the seconds `from..=to`.
    pub(crate) fn plan(&self, from: i64, to: i64) -> WindowPlan {
        let (mut events, mut unknown, mut without_slot) = (0, 0, 0);
        for (number, ten) in self.tens.range(from.div_euclid(TEN)..=to.div_euclid(TEN)) {
            for (at, second) in (number * TEN..).zip(&ten.seconds) {
                if (from..=to).contains(&at) {
                    events += second.events();
                    unknown += second.anonymous + second.without_slot;
                    without_slot += second.without_slot;
                }
            }
        }
        let mut terms = Vec::new();
        let (first, last) = (from.div_euclid(MINUTE), to.div_euclid(MINUTE));
        let mut tens = self.tens.range(first * MINUTE / TEN..=last * MINUTE / TEN + 5).peekable();
        while let Some((number, _)) = tens.peek() {
            let minute = (*number * TEN).div_euclid(MINUTE);
            let mut in_minute = Vec::new();
            while let Some(ten) = tens.next_if(|(number, _)| (*number * TEN).div_euclid(MINUTE) == minute) {
                in_minute.push(ten);
            }
            self.plan_minute(minute, &in_minute, from..=to, &mut terms);
        }
        WindowPlan {
            terms,
            events,
            unknown,
            is_incomplete: from < self.floor || without_slot > 0,
            slots: self.slots.len(),
            combinations: Arc::clone(&self.combinations),
            index: Arc::clone(&self.index),
        }
    }

    /// Adds the terms of one minute: those inside the window, or the whole minute less those outside it.
    fn plan_minute(
        &self,
        minute: i64,
        tens: &[(&i64, &TenSeconds)],
        window: std::ops::RangeInclusive<i64>,
        terms: &mut Vec<Term>,
    ) {
        let side = |inside: bool| {
            tens.iter().fold((0, Vec::new()), |(cost, mut all), (number, ten)| {
                let (more, parts) = ten.plan(**number * TEN, |at| window.contains(&at) == inside);
                all.extend(parts);
                (cost + more, all)
            })
        };
        let (cost, inside) = side(true);
        match self.minutes.get(&minute) {
            Some(whole) if cost > 0 => {
                let (cost_outside, outside) = side(false);
                if whole.cost() + cost_outside < cost {
                    terms.push(Term { counted: Counted::Block(Arc::clone(whole)), subtract: false });
                    terms.extend(outside.into_iter().map(Term::inverse));
                } else {
                    terms.extend(inside);
                }
            }
            _ => terms.extend(inside),
        }
    }

    /// Begins to prepare a new index: from now on slots that are assigned are noted.
    pub(crate) fn begin_index(&mut self) {
        self.assigned = Some(Vec::new());
    }

    /// The users of the slots from `from` on, at most `count`.
    pub(crate) fn names(&self, from: usize, count: usize) -> Vec<Option<Arc<str>>> {
        self.slots.names(from, count)
    }

    /// Reads through `index` from now on. `combinations` are those of the slots there were when it was
    /// begun; slots assigned since are looked up here. Returns the index before, since dropping it may
    /// take a while.
    pub(crate) fn finish_index(
        &mut self,
        index: Arc<EnrichmentIndex>,
        mut combinations: Vec<u32>,
    ) -> Arc<EnrichmentIndex> {
        combinations.resize(self.slots.len(), UNKNOWN);
        for slot in self.assigned.take().unwrap_or_default() {
            // Some may have been freed since.
            if let Some(combination) = combinations.get_mut(slot as usize) {
                *combination = self.slots.name(slot).map_or(UNKNOWN, |user| index.combination(user));
            }
        }
        self.combinations = Arc::new(combinations);
        std::mem::replace(&mut self.index, index)
    }

    /// The generation of the table that is read through.
    pub(crate) fn generation(&self) -> u64 {
        self.index.generation()
    }
}

/// About the memory of a block of ten seconds beside its events: the shared values and their tree nodes.
const TEN_BYTES: usize = 10 * (size_of::<Second>() + 24) + 2 * size_of::<Counts>() + 256;

impl TenSeconds {
    /// The terms that add up the seconds `inside` at the least cost, and that cost.
    fn plan(&self, start: i64, inside: impl Fn(i64) -> bool) -> (usize, Vec<Term>) {
        let (mut adding, mut taking) = (0, self.counts.cost());
        let seconds = || (start..).zip(&self.seconds).filter(|(_, second)| second.with_slot > 0);
        for (at, second) in seconds() {
            let cost = usize::try_from(second.with_slot).unwrap_or(usize::MAX);
            if inside(at) { adding += cost } else { taking += cost }
        }
        if adding == 0 {
            return (0, Vec::new());
        }
        let terms = |wanted: bool| {
            let some = seconds().filter(move |(at, _)| inside(*at) == wanted);
            some.map(move |(_, second)| Term { counted: Counted::Second(Arc::clone(second)), subtract: !wanted })
        };
        if adding <= taking {
            return (adding, terms(true).collect());
        }
        let whole = Term { counted: Counted::Block(Arc::clone(&self.counts)), subtract: false };
        (taking, std::iter::once(whole).chain(terms(false)).collect())
    }
}

impl Term {
    fn inverse(self) -> Self {
        Self { subtract: !self.subtract, ..self }
    }
}

impl WindowPlan {
    /// Adds up the window. A user's sum has 32 bits, which is more than two million events a second over half an hour.
    pub(crate) fn sum(self) -> WindowSums {
        let mut sums = vec![0_u32; self.slots.next_multiple_of(CHUNK)];
        for term in &self.terms {
            let by = if term.subtract { u32::MAX } else { 1 };
            match &term.counted {
                Counted::Block(counts) => counts.add_to(&mut sums, term.subtract),
                Counted::Second(second) => second.for_each(|slot| {
                    let sum = &mut sums[slot as usize];
                    *sum = sum.wrapping_add(by);
                }),
            }
        }
        let mut by_combination = vec![0_u64; self.index.combinations()];
        let mut unique_users = 0;
        for (sum, combination) in sums.iter().zip(&*self.combinations) {
            unique_users += u64::from(*sum > 0);
            by_combination[*combination as usize] += u64::from(*sum);
        }
        WindowSums {
            events: self.events,
            unique_users,
            unknown: by_combination[UNKNOWN as usize] + self.unknown,
            is_incomplete: self.is_incomplete,
            by_combination,
            index: self.index,
        }
    }
}
