//! The live view and its reference table.

use std::collections::BTreeMap;

use domain::reference::{Attributes, ReferenceTable};
use domain::time::Timestamp;
use ports::live::LiveWindow;
use serde::Serialize;
use utoipa::ToSchema;

/// What happened in the last seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Live)]
pub(crate) struct LiveBody {
    /// Length of the window in seconds; it ends with the current one.
    window_sec: u32,
    /// Events divided by that length.
    #[schema(example = 52.3)]
    events_per_sec: f64,
    /// Distinct users.
    unique_users: u64,
    /// Events without a user, or of users that the reference table does not hold.
    unknown: u64,
    /// One `by_<attribute>` per attribute of the reference table: value to events.
    #[serde(flatten)]
    by: BTreeMap<String, BTreeMap<String, u64>>,
    /// The generation of the reference table; 0 without one.
    generation: u64,
    /// Only when it is true: the numbers are not complete, because memory ran short.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
}

impl LiveBody {
    pub(crate) fn new(seconds: u32, window: &LiveWindow) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "events of half an hour are far below 2^52")]
        let events = window.events as f64;
        let by = window.by.iter().map(|(attribute, values)| (format!("by_{attribute}"), values.clone()));
        Self {
            window_sec: seconds,
            events_per_sec: events / f64::from(seconds.max(1)),
            unique_users: window.unique_users,
            unknown: window.unknown,
            by: by.collect(),
            generation: window.generation,
            incomplete: window.is_cut,
        }
    }
}

/// A reference table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReferenceTable)]
pub(crate) struct TableView<'t> {
    /// 1 for the first table, one more with every change; 0 when there never was one. Also the ETag.
    generation: u64,
    /// The version time of the last change; null when there never was one.
    #[schema(value_type = Option<String>, format = DateTime)]
    ts: Option<Timestamp>,
    /// How many users there are.
    users: usize,
    /// User to attributes.
    user_metadata: &'t BTreeMap<String, Attributes>,
}

impl<'t> TableView<'t> {
    pub(crate) fn new(table: &'t ReferenceTable) -> Self {
        Self {
            generation: table.generation,
            ts: (table.generation > 0).then_some(table.ts),
            users: table.users.len(),
            user_metadata: &table.users,
        }
    }
}

/// A reference table has been changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReferenceTableChanged)]
pub(crate) struct TableChangedBody {
    message: &'static str,
    /// The generation in use now.
    generation: u64,
    /// How many users it has.
    users: usize,
}

impl TableChangedBody {
    pub(crate) fn new(table: &ReferenceTable) -> Self {
        let message = "Reference table updated successfully";
        Self { message, generation: table.generation, users: table.users.len() }
    }
}
