//! The points of a series while they are summed. Refuses more points than the query allows as soon as
//! there are, so that memory stays bounded.

use domain::aggregate::Totals;
use domain::calendar::Buckets;
use domain::limits::SERIES_USERS_MAX;
use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::time::Timestamp;
use domain::users::{UserNumber, UserSet};
use hashbrown::HashMap;
use ports::{ErrorKind, PortError};

use super::rows::{FACETS, Fields, Rows, value_column};
use super::symbols::{NONE, Symbols};

/// How many events with a user are taken in before the sets are counted again.
const USERS_STEP: u64 = 1 << 20;

/// The values of all facets of a row, as far as they are known.
pub(super) type Values = [u32; FACETS];

#[derive(Debug, Default)]
struct Point {
    totals: Totals,
    users: UserSet,
}

/// The points of one series so far.
#[derive(Debug)]
pub(super) struct Points<'q> {
    query: &'q SeriesQuery,
    buckets: Buckets<'q>,
    filters: Vec<(Facet, u32)>,
    groups: HashMap<Values, u32>,
    values: Vec<Values>,
    last: Option<(Values, u32)>,
    points: HashMap<(Timestamp, u32), Point>,
    users_left: u64,
}

impl<'q> Points<'q> {
    pub(super) fn new(query: &'q SeriesQuery, symbols: &mut Symbols) -> Self {
        let filters = query.filters.iter().map(|(facet, value)| (*facet, symbols.number(value))).collect();
        Self {
            query,
            buckets: query.calendar.buckets(query.interval),
            filters,
            groups: HashMap::new(),
            values: Vec::new(),
            last: None,
            points: HashMap::new(),
            users_left: USERS_STEP,
        }
    }

    /// The columns that raw events must have.
    pub(super) fn fields(&self) -> Fields {
        let query = self.query;
        let used = query.group_by.iter().copied().chain(query.filters.iter().map(|(facet, _)| *facet));
        let users = query.metric == Metric::UniqueUsers;
        let fields = Fields { times: true, users, value: value_column(query.metric), ..Fields::default() };
        used.fold(fields, Fields::with)
    }

    /// Whether a row with these values passes the filters.
    pub(super) fn wants(&self, values: &Values) -> bool {
        self.filters.iter().all(|(facet, wanted)| values[*facet as usize] == *wanted)
    }

    /// Adds the events that pass the filters.
    pub(super) fn add_events(&mut self, rows: &Rows) -> Result<(), PortError> {
        for row in 0..rows.len {
            let mut values = [NONE; FACETS];
            for (value, column) in values.iter_mut().zip(&rows.facets) {
                *value = column.get(row).copied().unwrap_or(NONE);
            }
            if !self.wants(&values) {
                continue;
            }
            let value = rows.values.get(row).copied().flatten();
            let user = rows.users.get(row).copied().flatten();
            let totals = totals_of(self.query.metric, 1, value, u64::from(value.is_some()));
            self.add(rows.times[row], &values, &totals, user)?;
        }
        Ok(())
    }

    /// Adds sums of events that lie in the bucket of `at` and pass the filters.
    pub(super) fn add(
        &mut self,
        at: Timestamp,
        values: &Values,
        totals: &Totals,
        user: Option<UserNumber>,
    ) -> Result<(), PortError> {
        let group = self.group_of(values);
        let point = self.points.entry((self.buckets.start_of(at), group)).or_default();
        point.totals.merge(totals);
        if let Some(user) = user.filter(|_| self.query.metric == Metric::UniqueUsers) {
            point.users.insert(user);
            self.users_left -= 1;
        }
        if self.points.len() > self.query.points_max {
            let message = format!("answer a series in {} points: there are more", self.query.points_max);
            return Err(PortError::new(ErrorKind::Exhausted, message));
        }
        if self.users_left == 0 {
            self.users_left = USERS_STEP;
            self.check_users()?;
        }
        Ok(())
    }

    fn check_users(&self) -> Result<(), PortError> {
        if self.points.values().map(|point| point.users.len()).sum::<u64>() > SERIES_USERS_MAX {
            let message = format!("count the users of a series: more than {SERIES_USERS_MAX} in all points together");
            return Err(PortError::new(ErrorKind::Exhausted, message));
        }
        Ok(())
    }

    fn group_of(&mut self, values: &Values) -> u32 {
        let mut key = [NONE; FACETS];
        for (part, facet) in key.iter_mut().zip(&self.query.group_by) {
            *part = values[*facet as usize];
        }
        if let Some((_, group)) = self.last.filter(|(known, _)| *known == key) {
            return group;
        }
        let new = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let group = *self.groups.entry(key).or_insert(new);
        if group == new {
            self.values.push(key);
        }
        self.last = Some((key, group));
        group
    }

    /// The points in order of (start, group).
    pub(super) fn finish(self, symbols: &Symbols) -> Vec<SeriesPoint> {
        let (values, facets) = (self.values, self.query.group_by.len());
        let point = |((start, group), point): ((_, u32), Point)| SeriesPoint {
            start,
            group: values[group as usize][..facets].iter().map(|value| symbols.text(*value).to_owned()).collect(),
            totals: point.totals,
            users: point.users.len(),
        };
        let mut points: Vec<_> = self.points.into_iter().map(point).collect();
        points.sort_unstable_by(|left, right| (left.start, &left.group).cmp(&(right.start, &right.group)));
        points
    }
}

/// The sums that a metric is made of: `value` over `valued` of the `calls` events.
pub(super) fn totals_of(metric: Metric, calls: u64, value: Option<u64>, valued: u64) -> Totals {
    let mut totals = Totals { calls, ..Totals::default() };
    let value = value.unwrap_or(0);
    match metric {
        Metric::Count | Metric::UniqueUsers => {}
        Metric::Tokens => totals.tokens = value,
        Metric::InputTokens => totals.input_tokens = value,
        Metric::OutputTokens => totals.output_tokens = value,
        Metric::AvgLatencyMs => {
            totals.latency_us = value;
            totals.latency_calls = valued;
        }
    }
    totals
}
