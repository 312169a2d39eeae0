//! The JSON bodies of the API, in and out, field for field. In an answer an absent value is `null` unless said
//! otherwise.

mod access;
mod account;
mod erasure;
mod event;
mod object;
mod people;
mod query;
mod quota;
mod series;
mod stats;
mod live;
mod usage;
mod verdict;

pub(crate) use access::{
    AuditBody, CurrentWorkspaceBody, InvitationBody, KeyBody, MadeInvitationBody, MadeKeyBody, MadeSecretBody,
    ProjectBody, SecretBody, WorkspaceBody, scopes,
};
pub(crate) use account::{AccountSampleBody, AccountSummaryBody};
pub(crate) use erasure::ErasureBody;
pub use event::{EventBody, shown_properties};
pub(crate) use live::{LiveBody, TableChangedBody, TableView};
pub(crate) use object::{Object, given};
pub(crate) use people::{
    LoginBody, MadeMemberBody, MadeResetBody, MeBody, MemberBody, MyWorkspaceBody, TokensBody, UserBody,
};
pub(crate) use query::{NUMBERS, QueryAnswerBody, QueryBody};
pub(crate) use quota::{QuotaBody, QuotaStateBody};
pub(crate) use series::SeriesBody;
pub(crate) use stats::{ActiveUsersBody, RetentionBody, TopEventsBody};
pub(crate) use usage::{CustomerBody, UsageBody, WindowBody};
pub(crate) use verdict::{JobBody, TakenBody, Verdict, VerdictFormat, Verdicts, quota_bodies};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// One page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    /// The rows, in order.
    pub(crate) data: Vec<T>,
    /// Give it as `cursor` to get the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// Milliseconds as a whole number when they are one, else with up to three decimals.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn millis<S: Serializer>(millis: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match millis {
        #[expect(clippy::cast_possible_truncation, reason = "latencies are at most 1e9 ms")]
        Some(whole) if whole.fract() == 0.0 => serializer.serialize_i64(*whole as i64),
        other => other.serialize(serializer),
    }
}
