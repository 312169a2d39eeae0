//! Questions about what is applied, flushed or not. Every answer comes from one consistent state
//! and holds one tenant's data (I5).

use async_trait::async_trait;
use domain::aggregate::Aggregate;
use domain::event::{EventId, IdScheme};
use domain::position::{EventPosition, Seq};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::{WindowRule, WindowState, revision};

use crate::PortError;

/// What a row of an answer takes beside its texts, about.
const ROW_OVERHEAD_BYTES: usize = 512;
/// What a part of a breakdown takes in an answer beside its name, about.
const SLICE_BYTES: usize = 48;

/// Which events; every given part must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// By time.
    pub range: TimeRange,
    /// By customer; the empty text means events without one.
    pub customer: Option<String>,
    /// By user.
    pub user: Option<String>,
    /// By type.
    pub kind: Option<String>,
    /// By endpoint.
    pub endpoint: Option<String>,
    /// By project.
    pub project: Option<String>,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self { range: TimeRange::ALL, customer: None, user: None, kind: None, endpoint: None, project: None }
    }
}

/// In which order events are listed: by time, then by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// One page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Which events.
    pub filter: EventFilter,
    /// In which order.
    pub order: Order,
    /// Only events after this one in that order.
    pub after: Option<EventCursor>,
    /// At most this many.
    pub limit: usize,
    /// Bytes of text after which a page ends before its last row.
    pub bytes_max: usize,
}

/// Where a page of events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCursor {
    /// Time of the last event.
    pub time: Timestamp,
    /// Its position.
    pub position: EventPosition,
}

/// A counted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stands among its tenant's events.
    pub position: EventPosition,
    /// Its id.
    pub id: String,
    /// What the id means.
    pub id_scheme: IdScheme,
    /// When it happened.
    pub time: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// What happened.
    pub kind: String,
    /// The project.
    pub project: Option<String>,
    /// Who is charged.
    pub customer: Option<String>,
    /// Who acted.
    pub user: Option<String>,
    /// The API endpoint.
    pub endpoint: Option<String>,
    /// The text of a JSON object.
    pub properties: Option<String>,
    /// All tokens.
    pub tokens: Option<u64>,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// Latency in microseconds.
    pub latency_us: Option<u64>,
    /// The model.
    pub model: Option<String>,
    /// The part of the input tokens that a cache answered.
    pub cache_read_tokens: Option<u64>,
    /// The part of the input tokens that was put into a cache.
    pub cache_write_tokens: Option<u64>,
    /// The part of the output tokens that is reasoning.
    pub reasoning_tokens: Option<u64>,
}

/// Rows, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<C>,
}

impl<T, C> Default for Page<T, C> {
    /// An empty page.
    fn default() -> Self {
        Self { rows: Vec::new(), next: None }
    }
}

/// One page of windows, in order of (customer, start).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowQuery {
    /// By customer; the empty text means events without one.
    pub customer: Option<String>,
    /// Windows that start inside.
    pub range: TimeRange,
    /// In this state only.
    pub state: Option<WindowState>,
    /// Only windows after this (customer, start).
    pub after: Option<(String, Timestamp)>,
    /// At most this many.
    pub limit: usize,
}

/// A usage window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Whose usage; empty for events without a customer.
    pub customer: String,
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// Where it stands in its life.
    pub state: WindowState,
    /// 1, and one more for each late event.
    pub revision: u64,
    /// The sums.
    pub aggregate: Aggregate,
}

/// A customer, who exists from its first event on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The tenant's name for it; empty stands for all events without a customer.
    pub id: String,
    /// When its first event was received.
    pub created: Timestamp,
    /// When its latest event was received.
    pub updated: Timestamp,
    /// Everything it ever used.
    pub total: Aggregate,
}

/// The live counters of one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerUsage {
    /// The window that holds the asked instant, empty if nothing was used in it.
    pub current_window: Window,
    /// The sum of the asked day.
    pub day: Aggregate,
    /// The customer and everything it ever used.
    pub customer: Customer,
}

/// Cuts a page off rows, of which there may be one too many; whether there are more. It ends early when its
/// answer would be too long.
pub fn cut<T>(rows: &mut Vec<T>, limit: usize, bytes_max: usize, bytes_of: impl Fn(&T) -> usize) -> bool {
    let mut bytes = 0;
    let fits = |row: &&T| {
        bytes += bytes_of(row) + ROW_OVERHEAD_BYTES;
        bytes <= bytes_max
    };
    // A row that alone is too long is a page.
    let page = rows.iter().take(limit).take_while(fits).count().max(1);
    let more = rows.len() > page;
    rows.truncate(page);
    more
}

impl StoredEvent {
    /// The texts that an answer has of it, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.id.len() + self.kind.len() + self.properties.as_ref().map_or(0, String::len)
    }
}

impl Window {
    /// The window of a customer with this sum, when every event received before `closed_through` has been applied.
    pub fn of(
        rule: WindowRule,
        closed_through: Timestamp,
        customer: String,
        start: Timestamp,
        aggregate: Aggregate,
    ) -> Self {
        let late = aggregate.totals.late;
        Self {
            customer,
            start,
            end: rule.end_of(start),
            state: rule.state(start, late, closed_through),
            revision: revision(late),
            aggregate,
        }
    }

    /// The texts that an answer has of it, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.customer.len() + bytes_of(&self.aggregate)
    }
}

impl Customer {
    /// The texts that an answer has of it, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.id.len() + bytes_of(&self.total)
    }
}

/// What sums take in an answer, about.
fn bytes_of(aggregate: &Aggregate) -> usize {
    let names = aggregate.by_endpoint.keys().chain(aggregate.by_model.keys());
    names.map(|name| name.len() + SLICE_BYTES).sum()
}

/// Answers questions. Work that outlives the future of a call keeps what is held for it
/// ([`crate::held`]).
#[async_trait]
pub trait Reports: Send + Sync + std::fmt::Debug {
    /// One page of events.
    ///
    /// # Errors
    /// `Corrupt` or `Unavailable` when stored data cannot be read.
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError>;

    /// The event with this id.
    ///
    /// # Errors
    /// As [`Reports::events`].
    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError>;

    /// One page of windows; only windows with events exist.
    ///
    /// # Errors
    /// As [`Reports::events`].
    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError>;

    /// One page of customers in order of id, after `after`. Events without a customer are left out.
    ///
    /// # Errors
    /// As [`Reports::events`].
    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError>;

    /// One customer with its live counters at `now`, the day being `day`; `None` before its first
    /// event. The empty id stands for events without a customer. `day` begins and ends on a window
    /// boundary.
    ///
    /// # Errors
    /// As [`Reports::events`].
    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError>;

    /// Whether the record is among the dead letters, and why.
    ///
    /// # Errors
    /// As [`Reports::events`].
    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError>;
}

#[cfg(test)]
mod tests {
    use domain::limits::PAGE_BYTES_MAX;

    use super::*;

    #[test]
    fn i6_a_page_ends_before_its_answer_is_too_long() {
        let page = |rows: &[usize], limit| {
            let mut rows = rows.to_vec();
            let more = cut(&mut rows, limit, PAGE_BYTES_MAX, |bytes| *bytes);
            (rows.len(), more)
        };
        assert_eq!(page(&[], 3), (0, false));
        assert_eq!(page(&[1, 1, 1], 3), (3, false));
        assert_eq!(page(&[1, 1, 1, 1], 3), (3, true));
        assert_eq!(page(&[PAGE_BYTES_MAX / 2, PAGE_BYTES_MAX / 2, 1], 3), (1, true));
        assert_eq!(page(&[PAGE_BYTES_MAX, 1], 3), (1, true));
        assert_eq!(page(&[PAGE_BYTES_MAX], 3), (1, false));
    }
}
