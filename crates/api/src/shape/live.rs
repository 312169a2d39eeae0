//! The live view and its reference table.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable};
use domain::time::Timestamp;
use ports::live::LiveWindow;
use serde::Serialize;
use serde_json::Result;
use utoipa::ToSchema;

/// Users in a piece of a table's text.
const PIECE_USERS: usize = 512;
/// How the text of a table ends, after the last user.
const END: &str = "}}";

/// What happened in the last seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Live)]
pub(crate) struct LiveBody {
    /// Length of the window in seconds; it ends with the current one.
    window_sec: u32,
    /// Events divided by the length of the window.
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
            incomplete: window.is_incomplete,
        }
    }
}

/// A reference table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReferenceTable)]
pub(crate) struct TableView {
    /// 1 for the first table, one more with every change; 0 when there never was one. Also the ETag.
    generation: u64,
    /// The version time of the last change; null when there never was one.
    #[schema(value_type = Option<String>, format = DateTime)]
    ts: Option<Timestamp>,
    /// How many users the table has.
    users: usize,
    /// User to attributes.
    user_metadata: BTreeMap<String, Attributes>,
}

impl TableView {
    /// The text of a table in pieces, each made when the one before has been sent: the answer to a slow
    /// reader keeps one piece in memory, and the table as it was when it was asked for.
    pub(crate) fn pieces(table: Arc<ReferenceTable>) -> impl Iterator<Item = Result<Vec<u8>>> {
        let (mut head, mut last) = (true, Some(String::new()));
        std::iter::from_fn(move || {
            if std::mem::take(&mut head) {
                return Some(Self::head(&table));
            }
            let after = last.take()?;
            Some(Self::some_users(&table, &after).map(|(text, to)| {
                last = to;
                text
            }))
        })
    }

    /// Everything up to the first user; no user has an empty name.
    fn head(table: &ReferenceTable) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(&Self {
            generation: table.generation,
            ts: (table.generation > 0).then_some(table.ts),
            users: table.users.len(),
            user_metadata: BTreeMap::new(),
        })?;
        text.truncate(text.len() - END.len());
        Ok(text)
    }

    /// The users after one of them, and the last of those, or the end.
    fn some_users(table: &ReferenceTable, after: &str) -> Result<(Vec<u8>, Option<String>)> {
        let mut text = Vec::with_capacity(PIECE_USERS * 64);
        let mut last = None;
        let users = table.users.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        for (user, attributes) in users.take(PIECE_USERS) {
            if !(after.is_empty() && last.is_none()) {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, user)?;
            text.push(b':');
            serde_json::to_writer(&mut text, &**attributes)?;
            last = Some(user);
        }
        let last = last.cloned();
        if last.is_none() {
            text.extend_from_slice(END.as_bytes());
        }
        Ok((text, last))
    }
}

/// A reference table has been changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReferenceTableChanged)]
pub(crate) struct TableChangedBody {
    message: &'static str,
    /// The generation in use now.
    generation: u64,
    /// How many users the table has.
    users: usize,
}

impl TableChangedBody {
    pub(crate) fn new(table: &ReferenceTable) -> Self {
        let message = "Reference table updated successfully";
        Self { message, generation: table.generation, users: table.users.len() }
    }
}
