//! The points of a series while they are summed. Groups that would make more points than the query allows become
//! one, the others: then the greatest are found first, from sums without buckets, and the series is summed
//! once more. Refuses more buckets or groups than fit, so that memory stays bounded.

use hashbrown::{HashMap, HashSet};

use crate::aggregate::Totals;
use crate::calendar::Buckets;
use crate::erasure::ERASED_CUSTOMER;
use crate::limits::{SERIES_GROUPS_MAX, SERIES_USERS_MAX};
use crate::time::Timestamp;
use crate::users::{UserNumber, UserSet};

use super::symbols::{NONE, Symbols};
use super::{Facet, GroupSum, Metric, SeriesPoint, SeriesQuery};

/// How many events with a user are taken in before the sets are counted again.
const USERS_STEP: u64 = 1 << 20;

/// How many facets there are.
pub const FACETS: usize = Facet::ALL.len();

/// The values of all facets of a row, as far as they are known.
pub type Values = [u32; FACETS];

/// A series that is larger than one may be. It reads "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// It has more buckets than so many points.
    #[error("answer a series in {0} points: it has more buckets")]
    Buckets(usize),
    /// It has too many groups.
    #[error("tell the groups of a series apart: there are more than {SERIES_GROUPS_MAX}")]
    Groups,
    /// Its points have too many users.
    #[error("count the users of a series: more than {SERIES_USERS_MAX} in all points together")]
    Users,
}

/// The group of all that have no points of their own.
const OTHERS: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Point {
    totals: Totals,
    users: UserSet,
}

impl Point {
    fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.users.merge(&other.users);
    }
}

/// The groups that have points of their own, each by the values of its facets.
pub type Named = Vec<Vec<String>>;

/// A series that was summed.
#[derive(Debug)]
pub enum Summed {
    /// In order of (start, group).
    Points(Vec<SeriesPoint>),
    /// It has more points than allowed, unless only these groups have their own.
    TooMany(Named),
}

/// The points of one series so far.
#[derive(Debug)]
pub struct Points<'q> {
    query: &'q SeriesQuery,
    buckets: Buckets<'q>,
    filters: Vec<(Facet, u32)>,
    /// Stands for customers that were erased, who are in no group.
    erased: u32,
    groups: HashMap<Values, u32>,
    values: Vec<Values>,
    /// No other groups have points of their own.
    is_named: bool,
    last: Option<(Values, u32)>,
    points: HashMap<(Timestamp, u32), Point>,
    /// Once there are too many points: what is kept instead of them.
    without_buckets: Option<GroupSums>,
    users_left: u64,
}

/// The sums of groups over the whole range, and the buckets that have events.
#[derive(Debug, Default)]
struct GroupSums {
    starts: HashSet<Timestamp>,
    groups: Vec<Point>,
    others: Point,
    points: usize,
}

impl GroupSums {
    fn point(&mut self, start: Timestamp, group: u32) -> &mut Point {
        self.starts.insert(start);
        if group == OTHERS {
            return &mut self.others;
        }
        let at = group as usize;
        if self.groups.len() <= at {
            self.groups.resize_with(at + 1, Point::default);
        }
        &mut self.groups[at]
    }
}

impl<'q> Points<'q> {
    /// The points of all groups, or of the named ones and the others.
    pub fn new(query: &'q SeriesQuery, named: Option<&Named>, symbols: &mut Symbols) -> Self {
        let filters = query.filters.iter().map(|(facet, value)| (*facet, symbols.number(value))).collect();
        let mut points = Self {
            query,
            buckets: query.calendar.buckets(query.interval),
            filters,
            erased: symbols.number(ERASED_CUSTOMER),
            groups: HashMap::new(),
            values: Vec::new(),
            is_named: false,
            last: None,
            points: HashMap::new(),
            without_buckets: None,
            users_left: USERS_STEP,
        };
        for group in named.into_iter().flatten() {
            let mut key = [NONE; FACETS];
            for (part, value) in key.iter_mut().zip(group) {
                *part = symbols.number(value);
            }
            points.number_of(key);
        }
        points.is_named = named.is_some();
        points
    }

    /// Whether a row with these values passes the filters.
    #[inline]
    pub fn wants(&self, values: &Values) -> bool {
        self.filters.iter().all(|(facet, wanted)| values[*facet as usize] == *wanted)
    }

    /// Adds sums of events that lie in the bucket of `at` and pass the filters.
    ///
    /// # Errors
    /// When the series gets too large.
    #[inline]
    pub fn add(
        &mut self,
        at: Timestamp,
        values: &Values,
        totals: &Totals,
        user: Option<UserNumber>,
    ) -> Result<(), TooLarge> {
        let group = self.group_of(values)?;
        let start = self.buckets.start_of(at);
        let point = match &mut self.without_buckets {
            None => self.points.entry((start, group)).or_default(),
            Some(sums) => sums.point(start, group),
        };
        point.totals.merge(totals);
        if let Some(user) = user.filter(|_| self.query.metric == Metric::UniqueUsers) {
            point.users.insert(user);
            self.users_left -= 1;
        }
        if self.points.len() > self.query.points_max && !self.is_named {
            self.drop_buckets();
        }
        let buckets = match &self.without_buckets {
            Some(sums) => sums.starts.len(),
            // Of some groups and the others there are no more points than fit, and those of events that came since.
            None if self.is_named => self.points.len() / 2,
            None => 0,
        };
        if buckets > self.query.points_max {
            return Err(TooLarge::Buckets(self.query.points_max));
        }
        if self.users_left == 0 {
            self.users_left = USERS_STEP;
            self.check_users()?;
        }
        Ok(())
    }

    /// Keeps sums of groups from here on.
    fn drop_buckets(&mut self) {
        let mut sums = GroupSums { points: self.points.len(), ..GroupSums::default() };
        for ((start, group), point) in self.points.drain() {
            sums.point(start, group).merge(&point);
        }
        self.without_buckets = Some(sums);
    }

    fn check_users(&self) -> Result<(), TooLarge> {
        let sums = self.without_buckets.iter().flat_map(|sums| &sums.groups);
        if self.points.values().chain(sums).map(|point| point.users.len()).sum::<u64>() > SERIES_USERS_MAX {
            return Err(TooLarge::Users);
        }
        Ok(())
    }

    fn group_of(&mut self, values: &Values) -> Result<u32, TooLarge> {
        let mut key = [NONE; FACETS];
        for (part, facet) in key.iter_mut().zip(&self.query.group_by) {
            *part = values[*facet as usize];
        }
        if values[Facet::Customer as usize] == self.erased && self.query.group_by.contains(&Facet::Customer) {
            return Ok(OTHERS);
        }
        if let Some((_, group)) = self.last.filter(|(known, _)| *known == key) {
            return Ok(group);
        }
        let group = if self.is_named { self.groups.get(&key).copied().unwrap_or(OTHERS) } else { self.number_of(key) };
        if self.values.len() > SERIES_GROUPS_MAX {
            return Err(TooLarge::Groups);
        }
        self.last = Some((key, group));
        Ok(group)
    }

    fn number_of(&mut self, key: Values) -> u32 {
        let new = u32::try_from(self.values.len()).unwrap_or(OTHERS);
        let group = *self.groups.entry(key).or_insert(new);
        if group == new {
            self.values.push(key);
        }
        group
    }

    /// The series, if it has no more points than allowed.
    pub fn finish(mut self, symbols: &Symbols) -> Summed {
        if let Some(sums) = self.without_buckets.take() {
            let count = self.query.groups_named(self.values.len(), sums.points, sums.starts.len());
            let named = self.greatest(&sums.groups, count, symbols);
            return Summed::TooMany(named.into_iter().map(|(sum, _)| sum.group).collect());
        }
        if !self.is_named && self.values.len() > self.query.groups_max {
            self.keep_greatest(symbols);
        }
        let facets = self.query.group_by.len();
        let texts = |values: &Values| values[..facets].iter().map(|value| symbols.text(*value).to_owned()).collect();
        let values = &self.values;
        let point = |((start, group), point): ((_, u32), Point)| SeriesPoint {
            start,
            is_others: group == OTHERS,
            group: values.get(group as usize).map(texts).unwrap_or_default(),
            totals: point.totals,
            users: point.users.len(),
        };
        let mut points: Vec<_> = self.points.into_iter().map(point).collect();
        let key = |point: &SeriesPoint| (point.start, point.is_others);
        points.sort_unstable_by(|left, right| key(left).cmp(&key(right)).then_with(|| left.group.cmp(&right.group)));
        Summed::Points(points)
    }

    /// Makes one of all groups but the greatest.
    fn keep_greatest(&mut self, symbols: &Symbols) {
        let mut sums = GroupSums::default();
        for ((start, group), point) in &self.points {
            sums.point(*start, *group).merge(point);
        }
        let kept = self.greatest(&sums.groups, self.query.groups_max, symbols);
        let kept: HashSet<_> = kept.into_iter().map(|(_, group)| group).collect();
        let mut points = HashMap::<_, Point>::with_capacity(self.points.len());
        for ((start, group), point) in self.points.drain() {
            let group = if kept.contains(&group) { group } else { OTHERS };
            points.entry((start, group)).or_default().merge(&point);
        }
        self.points = points;
    }

    /// The greatest groups of these sums, each with its number.
    fn greatest(&self, sums: &[Point], count: usize, symbols: &Symbols) -> Vec<(GroupSum, u32)> {
        let facets = self.query.group_by.len();
        let sum = |(at, point): (u32, &Point)| {
            let group =
                self.values[at as usize][..facets].iter().map(|value| symbols.text(*value).to_owned()).collect();
            (GroupSum { group, totals: point.totals, users: point.users.len() }, at)
        };
        let mut sums: Vec<_> = (0..).zip(sums).map(sum).collect();
        sums.sort_unstable_by(|(left, _), (right, _)| left.compare(right, self.query.metric));
        sums.truncate(count);
        sums
    }
}

/// The sums that a metric is made of: `value` over `valued` of the `calls` events.
#[inline]
pub fn totals_of(metric: Metric, calls: u64, value: Option<u64>, valued: u64) -> Totals {
    let mut totals = Totals { calls, ..Totals::default() };
    let value = value.unwrap_or(0);
    match metric {
        Metric::Count | Metric::UniqueUsers => {}
        Metric::Tokens => totals.tokens = value,
        Metric::InputTokens => totals.input_tokens = value,
        Metric::OutputTokens => totals.output_tokens = value,
        Metric::CacheReadTokens => totals.cache_read_tokens = value,
        Metric::CacheWriteTokens => totals.cache_write_tokens = value,
        Metric::ReasoningTokens => totals.reasoning_tokens = value,
        Metric::AvgLatencyMs => {
            totals.latency_us = value;
            totals.latency_calls = valued;
        }
    }
    totals
}
