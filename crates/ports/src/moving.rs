//! What one ledger hands to another that takes its place: everything of its tenants, in rows. A folder is moved stage by
//! stage; what a stage hands over comes in the same order each time, as long as the folder is not changed.

use domain::admit::Dimension;
use domain::aggregate::{Aggregate, SumNumbers};
use domain::dedup::IdHash;
use domain::payload::PayloadHash;
use domain::position::{Position, Seq};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;

use crate::active_users::VersionedZone;
use crate::manifest::{ActivityFilter, TenantRetention};
use crate::reports::StoredEvent;

/// What is moved next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum MoveStage {
    /// Raw events, each with the entry of its id.
    Events,
    /// The other entries of ids.
    Ids,
    /// Usage windows.
    Windows,
    /// Customers with everything they ever used.
    Customers,
    /// Rollups of hours; those of days are made of them.
    Rollups,
    /// What was received.
    Received,
    /// Users by number.
    Users,
    /// Who was active on which day.
    UserDays,
    /// Who was active by events that were erased.
    ErasedUserDays,
    /// Sums of events that were erased.
    Residuals,
    /// Erasures.
    Erasures,
    /// Records that could not be applied.
    DeadLetters,
    /// Workspaces, people, keys and everything else that is no event.
    Catalog,
    /// Both sides are verified and compared.
    Verify,
    /// Nothing.
    Done,
}

impl MoveStage {
    /// All stages in order.
    pub const ALL: [Self; 15] = [
        Self::Events,
        Self::Ids,
        Self::Windows,
        Self::Customers,
        Self::Rollups,
        Self::Received,
        Self::Users,
        Self::UserDays,
        Self::ErasedUserDays,
        Self::Residuals,
        Self::Erasures,
        Self::DeadLetters,
        Self::Catalog,
        Self::Verify,
        Self::Done,
    ];

    /// What is moved in it, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Ids => "ids",
            Self::Windows => "windows",
            Self::Customers => "customers",
            Self::Rollups => "rollups",
            Self::Received => "received",
            Self::Users => "users",
            Self::UserDays => "days of users",
            Self::ErasedUserDays => "days of erased users",
            Self::Residuals => "sums of erased events",
            Self::Erasures => "erasures",
            Self::DeadLetters => "dead letters",
            Self::Catalog => "catalog",
            Self::Verify => "verification",
            Self::Done => "nothing",
        }
    }

    /// Its number, which is stored.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The stage with this number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What is moved, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedLedger {
    /// Keys the hashes of ids and of users' names, and names the ledger.
    pub key: [u8; 16],
    /// Length and grace of windows.
    pub rule: WindowRule,
    /// The last record.
    pub last: Seq,
    /// Up to when windows are closed.
    pub closed_through: Timestamp,
    /// Raw events before it may be gone, of tenants that have no floor of their own.
    pub floor: Timestamp,
    /// Records that were given up.
    pub dead_letters: u64,
    /// Whether any id has a payload hash of the first rule.
    pub holds_former_ids: bool,
    /// What was received is counted of records after this one, and of none before it.
    pub received_after: Seq,
    /// Tells whether anything has changed since.
    pub fingerprint: u128,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTenant {
    /// Who it is.
    pub tenant: TenantId,
    /// Its retention, if it has or had one of its own.
    pub retention: Option<TenantRetention>,
    /// The zone that its days are counted in.
    pub zone: VersionedZone,
    /// How many users are numbered.
    pub users: u32,
    /// The customers that are counted by receive time, in order.
    pub metered: Vec<String>,
    /// The names that it uses, in order.
    pub names: Vec<(Dimension, String)>,
}

/// A raw event, with what the ledger has decided of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it stands.
    pub position: Position,
    /// The event.
    pub event: StoredEvent,
    /// Its user's number.
    pub user: Option<UserNumber>,
    /// Whether it came after the grace of its window.
    pub is_late: bool,
    /// What dedup knows its id by.
    pub hash: IdHash,
    /// What dedup compares a second event of its id with.
    pub payload: PayloadHash,
}

/// The entry of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedId {
    /// What dedup knows it by.
    pub hash: IdHash,
    /// What a second one is compared with.
    pub payload: PayloadHash,
    /// Where it was seen first; 0 when it was erased.
    pub position: Position,
    /// Whose it is; unknown when no raw event of its record is left.
    pub tenant: Option<TenantId>,
    /// When its request came in, as far as that is known.
    pub received_at: Option<Timestamp>,
}

/// The sum of a window, or of everything of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedSum {
    /// Whose it is.
    pub tenant: TenantId,
    /// The customer; empty for events without one.
    pub customer: String,
    /// The start of the window; of everything the epoch.
    pub start: Timestamp,
    /// The sums.
    pub aggregate: Aggregate,
    /// When the first and the last of its events were received.
    pub received: (Timestamp, Timestamp),
}

/// Users active on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct MovedDay {
    /// Whose users.
    pub tenant: TenantId,
    /// Which events count.
    pub filter: ActivityFilter,
    /// Days since 1970-01-01.
    pub day: i32,
    /// The users.
    pub users: UserSet,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedUser {
    /// Whose user.
    pub tenant: TenantId,
    /// The number.
    pub number: UserNumber,
    /// The name, unless it was erased.
    pub name: Option<String>,
}

/// What erased events of one cell add to sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedResidual {
    /// Whose events they were.
    pub tenant: TenantId,
    /// The customer, or what stands for one that was erased itself.
    pub customer: String,
    /// The beginning of the cell.
    pub start: Timestamp,
    /// The project; empty for none, here and in those that follow.
    pub project: String,
    /// The type.
    pub kind: String,
    /// The endpoint.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// The sums.
    pub numbers: SumNumbers,
}
