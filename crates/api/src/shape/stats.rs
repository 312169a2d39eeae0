//! Statistics: active users, event types, retention.

use domain::activity::{Average, Cell, Cohort, Retention};
use domain::calendar::{Calendar, Day, Period};
use domain::time::{TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// Active users over time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActiveUsers)]
pub(crate) struct ActiveUsersBody {
    /// The zone of the days, by its IANA name.
    tz: String,
    /// True when users may be missing, or counted twice, because events were erased; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    is_estimate: bool,
    /// One row for each day, week or month, in order.
    data: Vec<ActiveRow>,
}

/// The active users of one day, week or month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActiveUsersRow)]
struct ActiveRow {
    /// The day, or the first day of the week or month.
    #[schema(value_type = String, format = Date)]
    date: Day,
    /// Distinct users.
    users: u64,
}

impl ActiveUsersBody {
    pub(crate) fn new(calendar: &Calendar, rows: Vec<(Day, u64)>, is_estimate: bool) -> Self {
        let data = rows.into_iter().map(|(date, users)| ActiveRow { date, users }).collect();
        Self { tz: calendar.zone.name().to_owned(), is_estimate, data }
    }
}

/// Event types by number of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopEvents)]
pub(crate) struct TopEventsBody {
    /// The zone that dates and times without an offset are of, by its IANA name.
    tz: String,
    /// The first instant that counts; null when everything from the beginning does.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The first instant that does not count any more; null when everything to the end counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Most events first, then in order of type.
    data: Vec<TypeRow>,
}

/// One event type.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopEventsRow)]
struct TypeRow {
    /// The type.
    r#type: String,
    /// Number of events of the type.
    count: u64,
}

impl TopEventsBody {
    pub(crate) fn new(calendar: &Calendar, range: TimeRange, types: Vec<(String, u64)>) -> Self {
        Self {
            tz: calendar.zone.name().to_owned(),
            from: Some(range.from()).filter(|from| *from > TimeRange::ALL.from()),
            to: Some(range.to()).filter(|to| *to < TimeRange::ALL.to()),
            data: types.into_iter().map(|(r#type, count)| TypeRow { r#type, count }).collect(),
        }
    }
}

/// How many users came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retention)]
pub(crate) struct RetentionBody {
    /// `daily` or `weekly`.
    period: &'static str,
    /// One row for each period that users may have come in for the first time, in order.
    cohorts: Vec<CohortBody>,
    /// The cells of all cohorts together.
    averages: Vec<AverageBody>,
}

/// The users who came for the first time in one period.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cohort)]
struct CohortBody {
    /// The first day of the period.
    #[schema(value_type = String, format = Date)]
    cohort: Day,
    /// How many users the cohort has.
    size: u64,
    /// One for each period from then on that has begun.
    cells: Vec<CellBody>,
}

/// How many users of a cohort came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CohortCell)]
struct CellBody {
    /// After how many periods.
    n: usize,
    /// How many users.
    users: u64,
    /// `users` divided by the size of the cohort; null for an empty one.
    ratio: Option<f64>,
    /// Whether the period has ended.
    complete: bool,
}

/// The complete cells of all cohorts that are not empty, together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionAverage)]
struct AverageBody {
    /// After how many periods.
    n: usize,
    /// Users who came back.
    users: u64,
    /// Users of the cohorts that have had that period.
    eligible: u64,
    /// `users` divided by `eligible`; null when nobody is.
    ratio: Option<f64>,
}

impl RetentionBody {
    pub(crate) fn new(period: Period, answer: Retention) -> Self {
        Self {
            period: if period == Period::Week { "weekly" } else { "daily" },
            cohorts: answer.cohorts.into_iter().map(CohortBody::new).collect(),
            averages: answer.averages.into_iter().map(AverageBody::new).collect(),
        }
    }
}

impl CohortBody {
    fn new(Cohort { start, size, cells }: Cohort) -> Self {
        let cell =
            |(n, Cell { users, complete }): (usize, Cell)| CellBody { n, users, ratio: ratio(users, size), complete };
        Self { cohort: start, size, cells: cells.into_iter().enumerate().map(cell).collect() }
    }
}

impl AverageBody {
    fn new(Average { n, users, eligible }: Average) -> Self {
        Self { n, users, eligible, ratio: ratio(users, eligible) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of users are far below 2^52")]
fn ratio(users: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| users as f64 / of as f64)
}
