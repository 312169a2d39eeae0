//! A series. Whole days and hours come from their sums, or those of windows where customers are told apart, and
//! everything else from raw events. What the server adds up here are numbers that are not negative, up to the end at
//! which sums of `domain` stop; so it does not matter who adds them.

use std::collections::BTreeSet;

use domain::erasure::ERASED_CUSTOMER;
use domain::series::{
    FACETS, Facet, Metric, NONE, Named, Points, SeriesPoint, SeriesQuery, Source, Spans, Summed, Symbols, Values,
    totals_of,
};
use domain::time::TimeRange;
use domain::users::UserNumber;
use futures::TryStreamExt;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::select::{Select, facet_column, span_of};
use crate::floor::refuse_dropped;
use crate::scoped::Scoped;
use crate::sums::Grain;
use crate::types::{Instant, unsigned};
use crate::unanswered::Unanswered;

/// The points in order of (start, group).
pub(super) async fn series(scoped: &mut Scoped, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, Unanswered> {
    let mut named = None;
    loop {
        match sum(scoped, query, named.as_ref()).await? {
            Summed::Points(points) => return Ok(points),
            // With these groups it has no more points than allowed.
            Summed::TooMany(groups) => named = Some(groups),
        }
    }
}

async fn sum(scoped: &mut Scoped, query: &SeriesQuery, named: Option<&Named>) -> Result<Summed, Unanswered> {
    let mut symbols = Symbols::new();
    let points = Points::new(query, named, &mut symbols);
    let mut series = Series { query, symbols, points };
    let raw = match Source::of(query) {
        Source::Rollups => {
            let days = Spans::days(query.range, &query.calendar, query.interval);
            let left = series.add_rollups(scoped, Grain::Day, days, &[query.range]).await?;
            let hours = Spans::hours(query.range, &query.calendar, query.interval);
            series.add_rollups(scoped, Grain::Hour, hours, &left).await?
        }
        Source::Customers(None) => {
            let left = series.add_windows(scoped).await?;
            series.add_erased_customers(scoped).await?;
            left
        }
        // Breakdowns of windows are texts; the raw events of one customer stand together.
        Source::Customers(Some(_)) | Source::Raw => vec![query.range],
    };
    series.add_raw(scoped, &raw).await?;
    series.add_erased_events(scoped, &raw).await?;
    Ok(series.points.finish(&series.symbols))
}

/// A series being summed.
struct Series<'q> {
    query: &'q SeriesQuery,
    symbols: Symbols,
    points: Points<'q>,
}

/// The text of events without a value.
const NO_TEXT: &str = "''::text";

/// The column of a facet, if the series tells it apart.
fn told(query: &SeriesQuery, facet: Facet) -> &'static str {
    let is_filtered = query.filters.iter().any(|(filtered, _)| *filtered == facet);
    if is_filtered || query.group_by.contains(&facet) { facet_column(facet) } else { NO_TEXT }
}

/// The sum of a column, as far as sums go; NULL stands for 0.
fn sum_of(column: &str) -> String {
    format!("least(coalesce(sum({column}), 0), 9223372036854775807)::int8")
}

impl Series<'_> {
    fn filter(&self, facet: Facet) -> Option<&str> {
        self.query.filters.iter().find(|(filtered, _)| *filtered == facet).map(|(_, value)| value.as_str())
    }

    /// Calls, and what the metric is made of beside them: its value and how many have one.
    fn sums(&self, calls: &str, valued: &str) -> String {
        let value = self.query.metric.column().map_or("NULL::int8".to_owned(), |column| sum_of(&format!("t.{column}")));
        let valued = if self.query.metric == Metric::AvgLatencyMs { valued } else { "NULL::int8" };
        format!("{calls}, {value}, {valued}")
    }

    /// The sums of sums.
    fn sums_of_sums(&self) -> String {
        self.sums(&sum_of("t.calls"), &sum_of("t.latency_calls"))
    }

    /// Adds days or hours that lie whole in one bucket, of those that begin in `ranges` or before. Returns what is left
    /// of the others.
    async fn add_rollups(
        &mut self,
        scoped: &mut Scoped,
        grain: Grain,
        mut spans: Spans<'_>,
        ranges: &[TimeRange],
    ) -> Result<Vec<TimeRange>, Unanswered> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let (project, kind) = (told(self.query, Facet::Project), told(self.query, Facet::Type));
        let starts: Vec<_> = ranges.iter().map(|range| spans.starts_of(*range)).collect();
        let columns = format!("t.start, {project}, {kind}, {}", self.sums_of_sums());
        let mut select = Select::inside_any(&columns, "rollups", scoped.tenant.no, "start", &starts);
        select.and(" AND t.grain = ").builder.push_bind(grain as i16);
        for facet in [Facet::Project, Facet::Type] {
            if let Some(value) = self.filter(facet) {
                select.is(facet_column(facet), value);
            }
        }
        let select = select.grouped("1, 2, 3");
        self.add_sums(scoped, select, &mut spans, [Facet::Project, Facet::Type]).await
    }

    /// Adds hours of customers, of the sums of their windows, as [`Series::add_rollups`] does.
    async fn add_windows(&mut self, scoped: &mut Scoped) -> Result<Vec<TimeRange>, Unanswered> {
        let mut spans = Spans::hours(self.query.range, &self.query.calendar, self.query.interval);
        let customer = told(self.query, Facet::Customer);
        let hour = span_of("t.window_start", &spans);
        let columns = format!("{hour}, {customer}, {NO_TEXT}, {}", self.sums_of_sums());
        let mut select = Select::of(&columns, "aggregation_windows", scoped.tenant.no);
        select.inside("window_start", spans.starts());
        if let Some(customer) = self.filter(Facet::Customer) {
            select.is("customer", customer);
        }
        let select = select.grouped("1, 2, 3");
        self.add_sums(scoped, select, &mut spans, [Facet::Customer, Facet::Type]).await
    }

    /// Adds the rows of a statement: start, the values of two facets, calls, value, valued calls.
    async fn add_sums(
        &mut self,
        scoped: &mut Scoped,
        mut select: Select,
        spans: &mut Spans<'_>,
        facets: [Facet; 2],
    ) -> Result<Vec<TimeRange>, Unanswered> {
        let mut others = BTreeSet::new();
        if select.is_impossible {
            return Ok(Vec::new());
        }
        let mut rows = select.builder.build().fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let Instant(start) = row.try_get(0)?;
            let mut values = [NONE; FACETS];
            for (at, facet) in (1_usize..).zip(facets) {
                values[facet as usize] = self.symbols.number(row.try_get(at)?);
            }
            if !spans.is_touched(start) {
                continue;
            }
            if !spans.is_whole(start) {
                others.insert(start);
                continue;
            }
            // The value of a facet that is not told is that of none, which no filter asks for.
            let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
            let (calls, valued) = (number(3)?.unwrap_or(0), number(5)?.unwrap_or(0));
            self.points.add(start, &values, &totals_of(self.query.metric, calls, number(4)?, valued), None)?;
        }
        Ok(spans.ranges(&others))
    }

    /// Adds raw events: the server puts those together that lie in a short span of one bucket, and the others come one by
    /// one.
    async fn add_raw(&mut self, scoped: &mut Scoped, ranges: &[TimeRange]) -> Result<(), Unanswered> {
        if ranges.is_empty() {
            return Ok(());
        }
        let customer = self.filter(Facet::Customer).filter(|customer| !customer.contains('\0'));
        refuse_dropped(scoped, customer, ranges).await?;
        let mut spans = Spans::short(self.query.range, &self.query.calendar, self.query.interval);
        let start = span_of("t.time", &spans);
        let Some(mut select) =
            self.events(&start, &self.sums("count(*)", "count(t.latency_us)"), scoped.tenant.no, ranges)
        else {
            return Ok(());
        };
        let facets = self.facets();
        select.and(" GROUP BY 1, 2");
        (0..facets.len()).for_each(|facet| {
            select.and(&format!(", {}", facet + 6));
        });
        let mut others = BTreeSet::new();
        let mut rows = select.builder.build().fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let Instant(start) = row.try_get(0)?;
            if spans.is_whole(start) {
                self.add_events(&row, &facets)?;
            } else {
                others.insert(start);
            }
        }
        drop(rows);
        let left = spans.ranges(&others);
        if left.is_empty() {
            return Ok(());
        }
        let value = self.query.metric.column().map_or("NULL::int8".to_owned(), |column| format!("t.{column}"));
        let one = format!("1::int8, {value}, CASE WHEN {value} IS NULL THEN 0 ELSE 1 END::int8");
        let Some(mut select) = self.events("t.time", &one, scoped.tenant.no, &left) else { return Ok(()) };
        let mut rows = select.builder.build().fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            self.add_events(&row, &facets)?;
        }
        Ok(())
    }

    /// The facets that events have to be told apart by.
    fn facets(&self) -> Vec<Facet> {
        Facet::ALL.into_iter().filter(|facet| self.query.group_by.contains(facet)).collect()
    }

    /// A statement about events that pass the filters: time, user, these sums, and the facets; none if none can pass.
    fn events(&self, time: &str, sums: &str, tenant_no: i32, ranges: &[TimeRange]) -> Option<Select> {
        let user = if self.query.metric == Metric::UniqueUsers { "t.user_no" } else { "NULL::int4" };
        let mut columns = format!("{time}, {user}, {sums}");
        self.facets().iter().for_each(|facet| columns.extend([", t.", facet_column(*facet)]));
        let mut select = Select::inside_any(&columns, "usage_events", tenant_no, "time", ranges);
        for (facet, wanted) in &self.query.filters {
            select.is_or_none(facet_column(*facet), wanted);
        }
        (!select.is_impossible).then_some(select)
    }

    /// Adds what is left of erased customers, who have no windows.
    async fn add_erased_customers(&mut self, scoped: &mut Scoped) -> Result<(), Unanswered> {
        match self.filter(Facet::Customer) {
            Some(_) => Ok(()),
            None => self.add_residuals(scoped, &[self.query.range], "=").await,
        }
    }

    /// Adds what erased events count where raw events are read. Erased customers are added apart where windows tell
    /// customers apart, and nobody can ask for them by name.
    async fn add_erased_events(&mut self, scoped: &mut Scoped, ranges: &[TimeRange]) -> Result<(), Unanswered> {
        let is_apart = matches!(Source::of(self.query), Source::Customers(_)) || self.filter(Facet::Customer).is_some();
        self.add_residuals(scoped, ranges, "<>").await?;
        if is_apart { Ok(()) } else { self.add_residuals(scoped, ranges, "=").await }
    }

    /// Adds what is left of erased events of a customer who is, or is not, an erased one.
    async fn add_residuals(&mut self, scoped: &mut Scoped, ranges: &[TimeRange], is: &str) -> Result<(), Unanswered> {
        // Who was unique is not known of sums.
        if ranges.is_empty() || self.query.metric == Metric::UniqueUsers {
            return Ok(());
        }
        let facets = self.facets();
        let value = self.query.metric.column().map_or("NULL::int8".to_owned(), |column| format!("t.{column}"));
        let mut columns = format!("t.start, t.calls, {value}, t.latency_calls");
        facets.iter().for_each(|facet| columns.extend([", t.", facet_column(*facet)]));
        let mut select = Select::inside_any(&columns, "residuals", scoped.tenant.no, "start", ranges);
        select.and(&format!(" AND t.customer {is} ")).bind_text(ERASED_CUSTOMER);
        for (facet, wanted) in &self.query.filters {
            select.is(facet_column(*facet), wanted);
        }
        if select.is_impossible {
            return Ok(());
        }
        let mut rows = select.builder.build().fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let Instant(start) = row.try_get(0)?;
            let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
            let mut values: Values = [NONE; FACETS];
            for (at, facet) in (4_usize..).zip(&facets) {
                values[*facet as usize] = self.symbols.number(row.try_get(at)?);
            }
            let (calls, valued) = (number(1)?.unwrap_or(0), number(3)?.unwrap_or(0));
            self.points.add(start, &values, &totals_of(self.query.metric, calls, number(2)?, valued), None)?;
        }
        Ok(())
    }

    /// Adds a row of [`Series::events`].
    fn add_events(&mut self, row: &PgRow, facets: &[Facet]) -> Result<(), Unanswered> {
        let Instant(time) = row.try_get(0)?;
        let user = row.try_get::<Option<i32>, _>(1)?.map(|user| UserNumber(user.cast_unsigned()));
        let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
        let (calls, valued) = (number(2)?.unwrap_or(0), number(4)?.unwrap_or(0));
        let mut values: Values = [NONE; FACETS];
        for (at, facet) in (5_usize..).zip(facets) {
            let text: Option<&str> = row.try_get(at)?;
            values[*facet as usize] = text.map_or(NONE, |text| self.symbols.number(text));
        }
        let totals = totals_of(self.query.metric, calls, number(3)?, valued);
        Ok(self.points.add(time, &values, &totals, user)?)
    }
}
