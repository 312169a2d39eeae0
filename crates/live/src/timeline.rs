//! What one tenant's users did, second by second, with sums over ten seconds and over minutes.
//!
//! Invariant: the sums of a block are those of its seconds, whatever order events come in. A block of
//! ten seconds is kept or dropped whole; a minute's sums are dropped with its first ten seconds.
//! Everything handed to a reader is shared and copied before the next change, so that nobody waits
//! while a window is added up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ports::live::LiveEvent;

use crate::counts::{CHUNK, Counts};
use crate::enrichment::{EnrichmentIndex, UNKNOWN};
use crate::second::Second;
use crate::slots::{Found, Slots};

/// Seconds in the smaller block.
const TEN: i64 = 10;
/// Seconds in the larger block.
const MINUTE: i64 = 60;
/// How long a second is kept beyond the retention, for readers whose clock is a little behind.
const SLACK_SEC: i64 = 10;
/// A second is packed once the clock is this many seconds past it.
const SETTLE_SEC: i64 = 2;

/// One tenant's recent past.
#[derive(Debug)]
pub(crate) struct Timeline {
    retention_sec: i64,
    /// By number of the block since the epoch; blocks without events are not there.
    tens: BTreeMap<i64, Ten>,
    minutes: BTreeMap<i64, Arc<Counts>>,
    slots: Slots,
    /// By slot: the combination of its user's attributes, under `index`.
    combinations: Arc<Vec<u32>>,
    index: Arc<EnrichmentIndex>,
    /// Slots given to users since a new index began to be made ready.
    given: Option<Vec<u32>>,
    /// Everything before this second is forgotten; a multiple of ten.
    floor: i64,
    /// The latest second that the clock has shown.
    clock: i64,
    swept: i64,
    loose: BTreeSet<i64>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Ten {
    counts: Arc<Counts>,
    seconds: [Arc<Second>; 10],
}

/// What a window is made of: taken under the lock, added up outside it.
#[derive(Debug)]
pub(crate) struct Plan {
    pieces: Vec<Piece>,
    events: u64,
    unplaced: u64,
    is_incomplete: bool,
    slots: usize,
    combinations: Arc<Vec<u32>>,
    index: Arc<EnrichmentIndex>,
}

#[derive(Debug)]
struct Piece {
    part: Part,
    take_off: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Block(Arc<Counts>),
    Second(Arc<Second>),
}

/// What a plan adds up to.
#[derive(Debug)]
pub(crate) struct Sums {
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
            given: None,
            floor: i64::MIN,
            clock: i64::MIN,
            swept: i64::MIN,
            loose: BTreeSet::new(),
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
            Ten::default()
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
                Some(Found::Known(slot)) => slot,
                Some(Found::New(slot)) => {
                    let combinations = Arc::make_mut(&mut self.combinations);
                    combinations.resize(self.slots.len(), UNKNOWN);
                    combinations[slot as usize] = self.index.combination(user);
                    if let Some(given) = &mut self.given {
                        given.push(slot);
                    }
                    slot
                }
                None => {
                    second.homeless += 1;
                    continue;
                }
            };
            second.add(slot);
            counts.add(slot);
            if let Some(minute) = &mut minute {
                minute.add(slot);
            }
        }
        self.loose.insert(at);
        let after = counts.bytes() + second.bytes() + minute.map_or(0, |minute| minute.bytes());
        self.bytes += after - before;
    }

    /// Lets time pass: forgets what is older than is kept, packs what has settled, and once a minute
    /// frees the slots of users who are gone.
    pub(crate) fn advance(&mut self, now: i64) {
        if now <= self.clock {
            return;
        }
        self.clock = now;
        self.forget_before(now.saturating_sub(self.retention_sec).saturating_sub(SLACK_SEC));
        let settled: Vec<i64> = self.loose.range(..=now.saturating_sub(SETTLE_SEC)).copied().collect();
        for at in settled {
            let Some(ten) = self.tens.get_mut(&at.div_euclid(TEN)) else {
                self.loose.remove(&at);
                continue;
            };
            let second = Arc::make_mut(&mut ten.seconds[usize::try_from(at.rem_euclid(TEN)).unwrap_or(0)]);
            let before = second.bytes();
            second.settle();
            if !second.is_loose() {
                self.loose.remove(&at);
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
        self.loose = self.loose.split_off(&self.floor);
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

    /// Memory taken, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes + self.slots.bytes()
    }

    /// What the window of the seconds `from..=to` is made of.
    pub(crate) fn plan(&self, from: i64, to: i64) -> Plan {
        let (mut events, mut unplaced, mut homeless) = (0, 0, 0);
        for (number, ten) in self.tens.range(from.div_euclid(TEN)..=to.div_euclid(TEN)) {
            for (at, second) in (number * TEN..).zip(&ten.seconds) {
                if (from..=to).contains(&at) {
                    events += second.events();
                    unplaced += second.anonymous + second.homeless;
                    homeless += second.homeless;
                }
            }
        }
        let mut pieces = Vec::new();
        let (first, last) = (from.div_euclid(MINUTE), to.div_euclid(MINUTE));
        let mut tens = self.tens.range(first * MINUTE / TEN..=last * MINUTE / TEN + 5).peekable();
        while let Some((number, _)) = tens.peek() {
            let minute = (*number * TEN).div_euclid(MINUTE);
            let mut in_minute = Vec::new();
            while let Some(ten) = tens.next_if(|(number, _)| (*number * TEN).div_euclid(MINUTE) == minute) {
                in_minute.push(ten);
            }
            self.plan_minute(minute, &in_minute, from..=to, &mut pieces);
        }
        Plan {
            pieces,
            events,
            unplaced,
            is_incomplete: from < self.floor || homeless > 0,
            slots: self.slots.len(),
            combinations: Arc::clone(&self.combinations),
            index: Arc::clone(&self.index),
        }
    }

    /// Adds what of a minute lies in the window: its parts, or the minute without the others.
    fn plan_minute(
        &self,
        minute: i64,
        tens: &[(&i64, &Ten)],
        window: std::ops::RangeInclusive<i64>,
        pieces: &mut Vec<Piece>,
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
                    pieces.push(Piece { part: Part::Block(Arc::clone(whole)), take_off: false });
                    pieces.extend(outside.into_iter().map(Piece::inverse));
                } else {
                    pieces.extend(inside);
                }
            }
            _ => pieces.extend(inside),
        }
    }

    /// Begins to make a new index ready: from now on slots that are given away are noted.
    pub(crate) fn begin_lens(&mut self) {
        self.given = Some(Vec::new());
    }

    /// The users of the slots from `from` on, at most `count`.
    pub(crate) fn names(&self, from: usize, count: usize) -> Vec<Option<Arc<str>>> {
        self.slots.names(from, count)
    }

    /// Reads through `index` from now on. `combinations` are those of the slots there were when it was
    /// begun; slots given away since are looked up here. Returns the index before, since dropping it may
    /// take a while.
    pub(crate) fn finish_index(
        &mut self,
        index: Arc<EnrichmentIndex>,
        mut combinations: Vec<u32>,
    ) -> Arc<EnrichmentIndex> {
        combinations.resize(self.slots.len(), UNKNOWN);
        for slot in self.given.take().unwrap_or_default() {
            // Some may have been given back since.
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

/// Memory of a block of ten seconds beside its events, about: the shared parts and their tree nodes.
const TEN_BYTES: usize = 10 * (size_of::<Second>() + 24) + 2 * size_of::<Counts>() + 256;

impl Ten {
    /// The cheapest way to the events of the seconds that `inside` holds for, and its cost.
    fn plan(&self, start: i64, inside: impl Fn(i64) -> bool) -> (usize, Vec<Piece>) {
        let (mut adding, mut taking) = (0, self.counts.cost());
        let seconds = || (start..).zip(&self.seconds).filter(|(_, second)| second.placed > 0);
        for (at, second) in seconds() {
            let cost = usize::try_from(second.placed).unwrap_or(usize::MAX);
            if inside(at) { adding += cost } else { taking += cost }
        }
        if adding == 0 {
            return (0, Vec::new());
        }
        let pieces = |wanted: bool| {
            let some = seconds().filter(move |(at, _)| inside(*at) == wanted);
            some.map(move |(_, second)| Piece { part: Part::Second(Arc::clone(second)), take_off: !wanted })
        };
        if adding <= taking {
            return (adding, pieces(true).collect());
        }
        let whole = Piece { part: Part::Block(Arc::clone(&self.counts)), take_off: false };
        (taking, std::iter::once(whole).chain(pieces(false)).collect())
    }
}

impl Piece {
    fn inverse(self) -> Self {
        Self { take_off: !self.take_off, ..self }
    }
}

impl Plan {
    /// Adds up. A user's sum has 32 bits, which is more than two million events a second over half an hour.
    pub(crate) fn sum(self) -> Sums {
        let mut sums = vec![0_u32; self.slots.next_multiple_of(CHUNK)];
        for piece in &self.pieces {
            let by = if piece.take_off { u32::MAX } else { 1 };
            match &piece.part {
                Part::Block(counts) => counts.add_to(&mut sums, piece.take_off),
                Part::Second(second) => second.for_each(|slot| {
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
        Sums {
            events: self.events,
            unique_users,
            unknown: by_combination[UNKNOWN as usize] + self.unplaced,
            is_incomplete: self.is_incomplete,
            by_combination,
            index: self.index,
        }
    }
}
