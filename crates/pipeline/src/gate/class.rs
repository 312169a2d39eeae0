//! The classes of work and their bounds, and which class a call is of: decided from its arguments
//! alone. A class says what a call costs, never what it may see or what its answer is.

use std::time::Duration;

use domain::limits::{
    ERASURES_AT_ONCE_MAX, ERASURES_OF_TENANT_MAX, LIVE_SUMS_AT_ONCE_MAX, LIVE_SUMS_OF_TENANT_MAX, LOOKUPS_AT_ONCE_MAX,
    LOOKUPS_OF_TENANT_MAX, PERMIT_WAIT_MAX, QUERIES_AT_ONCE_MAX, QUERIES_OF_TENANT_MAX, READS_AT_ONCE_MAX,
    READS_OF_TENANT_MAX, REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX, REFERENCE_READS_AT_ONCE_MAX,
    REFERENCE_READS_OF_TENANT_MAX, REFERENCE_TEXTS_AT_ONCE_MAX, REFERENCE_TEXTS_OF_TENANT_MAX, STATISTICS_AT_ONCE_MAX,
    STATISTICS_OF_TENANT_MAX, WAITERS_PER_TENANT_MAX, ZONE_CHANGES_AT_ONCE_MAX,
};
use domain::rollup::hour_of;
use domain::time::{TimeRange, Timestamp};

/// A class of work; each has a gate of its own, so that no class waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkClass {
    /// Needs no segment file: sums of whole hours, which are kept, whether a record is a dead letter, and a page of a
    /// list that memory holds.
    Lookup,
    /// Reads segment files, or the audit log.
    Read,
    /// Holds the sets of users of days, from the first one read until all are counted.
    Statistics,
    /// A structured query.
    Query,
    /// Adds up a live window, for one answer or for one tick of the streams of a tenant and window length.
    Live,
    /// All events of a tenant are counted again for another time zone.
    ZoneChange,
    /// The large text of a reference table is held: received, then until the table is changed.
    TableText,
    /// A reference table is read from its text and changed; a large one besides its `TableText`.
    TableChange,
    /// An answer holds a whole reference table until it is sent.
    TableRead,
    /// An erasure is made durable, and the catalog forgets a first time.
    Erasure,
}

/// The bounds of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassBounds {
    /// Most pieces of work at once.
    pub at_once_max: usize,
    /// Most pieces of work of one tenant at once.
    pub per_tenant_max: usize,
    /// Most requests of one tenant that wait.
    pub waiters_max: usize,
    /// Longest wait; `None` leaves the end to the request.
    pub wait_max: Option<Duration>,
}

impl WorkClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Lookup,
        Self::Read,
        Self::Statistics,
        Self::Query,
        Self::Live,
        Self::ZoneChange,
        Self::TableText,
        Self::TableChange,
        Self::TableRead,
        Self::Erasure,
    ];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Read => "read",
            Self::Statistics => "statistics",
            Self::Query => "query",
            Self::Live => "live",
            Self::ZoneChange => "zone_change",
            Self::TableText => "table_text",
            Self::TableChange => "table_change",
            Self::TableRead => "table_read",
            Self::Erasure => "erasure",
        }
    }

    /// The table of bounds. A read ends with its request; a query says itself which was too long, its
    /// wait or its run; a change of zone goes on when its request has been answered.
    pub const fn bounds(self) -> ClassBounds {
        let (at_once_max, per_tenant_max, wait_max) = match self {
            Self::Lookup => (LOOKUPS_AT_ONCE_MAX, LOOKUPS_OF_TENANT_MAX, None),
            Self::Read => (READS_AT_ONCE_MAX, READS_OF_TENANT_MAX, None),
            Self::Statistics => (STATISTICS_AT_ONCE_MAX, STATISTICS_OF_TENANT_MAX, None),
            Self::Query => (QUERIES_AT_ONCE_MAX, QUERIES_OF_TENANT_MAX, Some(PERMIT_WAIT_MAX)),
            Self::Live => (LIVE_SUMS_AT_ONCE_MAX, LIVE_SUMS_OF_TENANT_MAX, None),
            Self::ZoneChange => (ZONE_CHANGES_AT_ONCE_MAX, ZONE_CHANGES_AT_ONCE_MAX, None),
            Self::TableText => (REFERENCE_TEXTS_AT_ONCE_MAX, REFERENCE_TEXTS_OF_TENANT_MAX, Some(PERMIT_WAIT_MAX)),
            Self::TableChange => {
                (REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX, Some(PERMIT_WAIT_MAX))
            }
            Self::TableRead => (REFERENCE_READS_AT_ONCE_MAX, REFERENCE_READS_OF_TENANT_MAX, Some(PERMIT_WAIT_MAX)),
            Self::Erasure => (ERASURES_AT_ONCE_MAX, ERASURES_OF_TENANT_MAX, Some(PERMIT_WAIT_MAX)),
        };
        ClassBounds { at_once_max, per_tenant_max, waiters_max: WAITERS_PER_TENANT_MAX, wait_max }
    }

    /// The class of counting the types of a range: hours are kept, parts of hours are read from files.
    pub(super) fn of_types(range: TimeRange) -> Self {
        let begins_an_hour = |at: Timestamp| hour_of(at) == at;
        let is_kept = begins_an_hour(range.from()) && (range.to() == Timestamp::MAX || begins_an_hour(range.to()));
        if is_kept { Self::Lookup } else { Self::Read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_in_their_order_and_leave_room_for_a_second_tenant() {
        for (number, class) in WorkClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
            let ClassBounds { at_once_max, per_tenant_max, waiters_max, .. } = class.bounds();
            assert!(per_tenant_max <= at_once_max && waiters_max > 0, "{class:?}");
            assert!(per_tenant_max < at_once_max || at_once_max == 1, "{class:?}");
        }
    }

    #[test]
    fn only_whole_hours_are_counted_without_files() {
        let class = |from: &str, to: &str| {
            let at = |text| Timestamp::parse(text).unwrap_or_default();
            TimeRange::new(at(from), at(to)).map(WorkClass::of_types)
        };
        assert_eq!(WorkClass::of_types(TimeRange::ALL), WorkClass::Lookup);
        assert_eq!(class("2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z"), Some(WorkClass::Lookup));
        assert_eq!(class("2026-11-01T00:00:01Z", "2026-11-01T01:00:00Z"), Some(WorkClass::Read));
        assert_eq!(class("2026-11-01T00:00:00Z", "2026-11-01T01:00:00.000001Z"), Some(WorkClass::Read));
    }
}
