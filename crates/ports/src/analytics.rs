//! Sums over a range of time: event types, one customer's summary, series.

use async_trait::async_trait;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;

use crate::PortError;

/// What one customer did in a range of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events per type, in order of type.
    pub totals: Vec<(String, u64)>,
    /// The users with most events and their events: most first, then in order of user.
    pub top_users: Vec<(String, u64)>,
}

/// Answers sums. Every answer includes everything applied and is exact to the microsecond at the
/// edges of its range. Work that outlives the future of a call keeps what is held for it ([`crate::held`]).
#[async_trait]
pub trait Analytics: Send + Sync + std::fmt::Debug {
    /// Events per type, most first, then in order of type; the first `limit` of them. `project`: as in
    /// [`crate::active_users::ActiveUsersQuery`].
    ///
    /// # Errors
    /// `Gone` when the answer needs raw events that retention has dropped, `Corrupt` or
    /// `Unavailable` when stored data cannot be read.
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError>;

    /// What a customer did, with its `top` most active users; `None` for a customer never seen.
    ///
    /// # Errors
    /// As [`Analytics::top_types`].
    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError>;

    /// The points of a series in order of (start, group), those of the others last. The points of one bucket add
    /// up to the point of a series without groups. Which groups have points of their own may be decided
    /// a moment before.
    ///
    /// # Errors
    /// `Exhausted` when there are more buckets with events than the query allows points, or too many groups. As [`Analytics::top_types`]
    /// otherwise.
    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError>;
}

/// Most first, then in order of name; the first `limit`.
pub fn most_first(counts: impl IntoIterator<Item = (String, u64)>, limit: usize) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    let order = |(left, most): &(String, u64), (right, more): &(String, u64)| -> std::cmp::Ordering {
        more.cmp(most).then_with(|| left.cmp(right))
    };
    counts.sort_unstable_by(order);
    counts.truncate(limit);
    counts
}
