//! Accounts, which are customers under their other name.

use domain::time::{TimeRange, Timestamp};
use ports::analytics::Summary;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Some accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountSample)]
pub(crate) struct AccountSampleBody {
    /// The first accounts in order of id.
    pub(crate) account_ids: Vec<String>,
}

/// What an account did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountSummary)]
pub(crate) struct AccountSummaryBody {
    /// The account.
    account_id: String,
    /// `last_24h`, `last_7d`, or `custom` when `from` was given.
    window: &'static str,
    /// When `custom`: first instant inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// When `custom`: first instant after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Events by type, also those without a user.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    totals: Vec<(String, u64)>,
    /// The users with most events, most first, then in order of user.
    top_users: Vec<TopUser>,
}

/// A user of an account.
#[derive(Debug, Serialize, ToSchema)]
struct TopUser {
    /// The user.
    user_id: String,
    /// The user's events.
    events: u64,
}

impl AccountSummaryBody {
    /// `custom`: the range, unless it is named by `window`.
    pub(crate) fn new(account: String, window: &'static str, custom: Option<TimeRange>, summary: Summary) -> Self {
        let top_users = summary.top_users.into_iter().map(|(user_id, events)| TopUser { user_id, events });
        Self {
            account_id: account,
            window,
            from: custom.map(TimeRange::from),
            to: custom.map(TimeRange::to),
            totals: summary.totals,
            top_users: top_users.collect(),
        }
    }
}

fn as_map<S: Serializer>(totals: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(totals.len()))?;
    for (kind, events) in totals {
        map.serialize_entry(kind, events)?;
    }
    map.end()
}
