//! Counting events by type and by user. Counts are of rows, so that the server cannot count otherwise than `domain`.

use domain::series::{whole_days, whole_hours};
use domain::time::TimeRange;
use hashbrown::HashMap;
use ports::analytics::{Summary, most_first};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::select::{Select, rows};
use crate::floor::refuse_dropped;
use crate::scoped::Scoped;
use crate::sums::Grain;
use crate::types::unsigned;
use crate::unanswered::Unanswered;

/// What erased events count, by type.
const ERASED_CALLS: &str = "t.kind, least(sum(t.calls), 9223372036854775807)::int8";

/// Events per type: whole days and hours from their sums, the ends of the range from raw events.
pub(super) async fn top_types(
    scoped: &mut Scoped,
    range: TimeRange,
    project: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, u64)>, Unanswered> {
    let (hours, ends) = whole_hours(range);
    let (days, hours) = hours.map_or_else(Default::default, whole_days);
    let no = scoped.tenant.no;
    let mut counts: HashMap<String, u64> = HashMap::new();
    let days = days.into_iter().map(|days| (Grain::Day, days));
    for (grain, range) in days.chain(hours.into_iter().map(|hours| (Grain::Hour, hours))) {
        let mut select = Select::of("t.kind, least(sum(t.calls), 9223372036854775807)::int8", "rollups", no);
        select.and(" AND t.grain = ").builder.push_bind(grain as i16);
        select.inside("start", range);
        if let Some(project) = project {
            select.is("project", project);
        }
        add(scoped, select.grouped("t.kind"), &mut counts).await?;
    }
    refuse_dropped(scoped, None, &ends).await?;
    for range in ends {
        let mut select = Select::of("t.kind, count(*)", "usage_events", no);
        select.inside("time", range);
        if let Some(project) = project {
            select.is_or_none("project", project);
        }
        add(scoped, select.grouped("t.kind"), &mut counts).await?;
        let mut erased = Select::of(ERASED_CALLS, "residuals", no);
        erased.inside("start", range);
        if let Some(project) = project {
            erased.is("project", project);
        }
        add(scoped, erased.grouped("t.kind"), &mut counts).await?;
    }
    Ok(most_first(counts, limit))
}

async fn add(scoped: &mut Scoped, mut select: Select, counts: &mut HashMap<String, u64>) -> Result<(), Unanswered> {
    if select.is_impossible {
        return Ok(());
    }
    for row in select.builder.build().fetch_all(scoped.on()).await? {
        let (name, count) = counted_row(&row)?;
        let sum = counts.entry(name).or_insert(0);
        *sum = sum.saturating_add(count);
    }
    Ok(())
}

fn counted_row(row: &PgRow) -> Result<(String, u64), sqlx::Error> {
    Ok((row.try_get(0)?, unsigned(row.try_get(1)?)))
}

/// What a customer did; none for one never seen.
pub(super) async fn summary(
    scoped: &mut Scoped,
    customer: &str,
    range: TimeRange,
    top: usize,
) -> Result<Option<Summary>, Unanswered> {
    let no = scoped.tenant.no;
    let mut known = Select::of("1", "customers", no);
    known.is("customer", customer);
    if known.is_impossible || known.builder.build().fetch_optional(scoped.on()).await?.is_none() {
        return Ok(None);
    }
    refuse_dropped(scoped, Some(customer), &[range]).await?;
    let mut types = HashMap::new();
    let mut counted = Select::of("t.kind, count(*)", "usage_events", no);
    counted.is_or_none("customer", customer).inside("time", range);
    add(scoped, counted.grouped("t.kind"), &mut types).await?;
    let mut erased = Select::of(ERASED_CALLS, "residuals", no);
    erased.is("customer", customer).inside("start", range);
    add(scoped, erased.grouped("t.kind"), &mut types).await?;
    let mut users = Select::of("t.user_name, count(*)", "usage_events", no);
    users.is_or_none("customer", customer).inside("time", range).and(" AND t.user_name IS NOT NULL");
    let mut users = users.grouped("t.user_name ORDER BY count(*) DESC, t.user_name LIMIT ");
    users.builder.push_bind(rows(top));
    let mut summary = Summary { totals: types.into_iter().collect(), ..Summary::default() };
    summary.totals.sort_unstable();
    for row in users.builder.build().fetch_all(scoped.on()).await? {
        summary.top_users.push(counted_row(&row)?);
    }
    Ok(Some(summary))
}
