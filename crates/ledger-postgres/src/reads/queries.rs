//! Structured queries. The server chooses the events of the tenant and the time and decides what tests of fields say,
//! puts events together that hold the same, and adds up numbers; what it does not do to the last digit and byte is done
//! here: reading properties, comparing them, putting groups together. Events whose properties JSONB does not have whole,
//! and all events of queries that tell each of them apart, are read one by one, within a time of their own. Memory is
//! bounded. No text of a request becomes a part of a statement.

mod sources;
mod found;
mod reader;
mod choose;
mod grouped;
mod groups;
mod order;

use std::time::Duration;

use domain::limits::{LEDGER_STREAM_MAX, QUERY_TIME_MAX};
use domain::query::Query;
use domain::time::{TimeRange, Timestamp};
use futures::TryStreamExt;
use ports::queries::QueryAnswer;
use ports::{ErrorKind, PortError};
use sqlx::Row as _;

use super::select::Select;
use crate::floor::floor;
use crate::scoped::Scoped;
use crate::types::Instant;
use crate::unanswered::Unanswered;
use choose::{Choice, bind_texts};
use grouped::{Grouping, is_worthwhile, write_path};
use groups::Groups;
use reader::Reader;
use sources::Sources;

/// What the text of an encrypted value begins with.
const ENCRYPTED: &str = domain::encryption::MARK;

/// Runs a query over the raw events of one moment.
pub(super) async fn query(scoped: &mut Scoped, query: &Query) -> Result<QueryAnswer, Unanswered> {
    within(QUERY_TIME_MAX, run(scoped, query)).await
}

/// The answer of no events.
pub(super) fn of_nothing(query: &Query) -> Result<QueryAnswer, PortError> {
    let choice = Choice::of(query);
    let mut groups = Groups::new(query, &Sources::of(query, &choice.left), &choice.left);
    answer(query, &mut groups)
}

/// What an answer takes no longer for.
async fn within<T>(limit: Duration, answering: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
    tokio::time::timeout(limit, answering).await.unwrap_or_else(|_| {
        let context = format!("answer within {} s: ask for less, or again when less is asked", limit.as_secs());
        Err(Unanswered::Refused(PortError::new(ErrorKind::TimedOut, context)))
    })
}

async fn run(scoped: &mut Scoped, query: &Query) -> Result<QueryAnswer, Unanswered> {
    let (from, floor) = (query.range.from(), floor(scoped).await?);
    if from > Timestamp::MIN && from < floor {
        let context = format!("read events before {floor}: retention has dropped them");
        return Err(Unanswered::Refused(PortError::new(ErrorKind::Gone, context)));
    }
    let from = from.max(floor);
    let range = TimeRange::new(from, query.range.to().max(from)).unwrap_or(query.range);
    let choice = Choice::of(query);
    let sources = Sources::of(query, &choice.left);
    let mut groups = Groups::new(query, &sources, &choice.left);
    let asked = Asked { query, range, choice: &choice, sources: &sources };
    let is_grouped = is_worthwhile(&sources);
    if is_grouped {
        asked.add_grouped(scoped, &mut groups).await?;
    }
    if !is_grouped || sources.has_properties() {
        within(LEDGER_STREAM_MAX, asked.add_events(scoped, is_grouped, &mut groups)).await?;
    }
    answer(query, &mut groups).map_err(Unanswered::Refused)
}

/// A query, and who decides what.
struct Asked<'a, 'q> {
    query: &'q Query,
    /// What of its range retention shows.
    range: TimeRange,
    choice: &'a Choice<'q>,
    sources: &'a Sources<'q>,
}

impl Asked<'_, '_> {
    /// Adds the events that the server puts together.
    async fn add_grouped(&self, scoped: &mut Scoped, groups: &mut Groups<'_>) -> Result<(), Unanswered> {
        let no = scoped.tenant.no;
        let hull = if self.query.bucket.is_some() { self.hull(scoped).await? } else { Some(self.range) };
        let Some(hull) = hull else { return Ok(()) };
        let grouping = Grouping::of(self.query, self.sources, hull);
        let mut select = grouping.select(self.sources, no);
        select.inside("time", self.range);
        self.choice.write(&mut select);
        if self.sources.has_properties() {
            select.and(" AND t.properties_raw IS NULL");
        }
        for (path, texts) in self.choice.texts() {
            select.and(" AND (");
            write_path(path, &mut select);
            select.and(" #>> '{}' = ANY(");
            bind_texts(texts, &mut select);
            // What an encrypted value says is read here.
            select.and(") OR starts_with(");
            write_path(path, &mut select);
            select.and(" #>> '{}', ").bind_text(ENCRYPTED).and("))");
        }
        grouping.end(&mut select);
        let mut rows = select.builder.build().persistent(false).fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let (time, times, found) = grouping.read(&row, &self.query.lens)?;
            groups.add(time, times, &found).map_err(Unanswered::Refused)?;
        }
        Ok(())
    }

    /// From the first of the events to the last; none if there are none.
    async fn hull(&self, scoped: &mut Scoped) -> Result<Option<TimeRange>, Unanswered> {
        let mut select = Select::of("min(t.time), max(t.time)", "usage_events", scoped.tenant.no);
        select.inside("time", self.range);
        let row = select.builder.build().fetch_one(scoped.on()).await?;
        let ends: (Option<Instant>, Option<Instant>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(ends.0.zip(ends.1).and_then(|(first, last)| TimeRange::new(first.0, last.0.plus_micros(1))))
    }

    /// Adds events one by one: all, or those that the server has not put together.
    async fn add_events(&self, scoped: &mut Scoped, are_left: bool, groups: &mut Groups<'_>) -> Result<(), Unanswered> {
        let reader = Reader::of(self.sources);
        let mut select = Select::of(&reader.columns(), "usage_events", scoped.tenant.no);
        select.inside("time", self.range);
        self.choice.write(&mut select);
        if are_left {
            select.and(" AND t.properties_raw IS NOT NULL");
        }
        let mut rows = select.builder.build().persistent(false).fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let (time, found) = reader.read(&row, &self.query.lens)?;
            groups.add(time, 1, &found).map_err(Unanswered::Refused)?;
        }
        Ok(())
    }
}

fn answer(query: &Query, groups: &mut Groups<'_>) -> Result<QueryAnswer, PortError> {
    let (mut rows, aggregations) = groups.take();
    rows.sort_by(|left, right| order::in_order(query, left, right));
    let truncated = rows.len() > query.limit;
    rows.truncate(query.limit);
    QueryAnswer { columns: query.columns(), rows, truncated, aggregations }.within_limit()
}
