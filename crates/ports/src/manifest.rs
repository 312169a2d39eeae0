//! Private to the embedded ledger; another ledger does not implement it. The ledger's one commit point:
//! what one transaction changes counts as one. Also keeps what must never differ between two runs over the
//! same folder.

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange};
#[cfg(doc)]
use domain::limits::HOUR_SUMS_MAX;
use domain::position::Seq;
use domain::quota::Amounts;
use domain::retention::RetentionWait;
use domain::rollup::Rollup;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;

use crate::PortError;
use crate::active_users::VersionedZone;

pub use crate::erasures::StoredErasure;

/// What a segment's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Raw events.
    Events,
    /// Partial aggregates per customer: windows, hours, totals.
    Windows,
    /// Ids of the events.
    Ids,
    /// Sums of events that were erased. Only a segment that lost some has such a file.
    Residuals,
}

impl FileKind {
    /// All kinds of files.
    pub const ALL: [Self; 4] = [Self::Events, Self::Windows, Self::Ids, Self::Residuals];

    /// The name used in file names and in the manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Windows => "windows",
            Self::Ids => "ids",
            Self::Residuals => "residuals",
        }
    }
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// What it holds.
    pub kind: FileKind,
    /// Its name in the segments folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub blake3: [u8; 32],
    /// Rows in it.
    pub rows: u64,
}

/// A segment: the files of one flush, or of several merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// Unique for ever.
    pub id: String,
    /// 0 from a flush, one more than its parts when merged.
    pub level: u32,
    /// First record in it.
    pub first_seq: Seq,
    /// Last record in it.
    pub last_seq: Seq,
    /// Earliest time of its events.
    pub time_min: Timestamp,
    /// Latest time of its events.
    pub time_max: Timestamp,
    /// Its files. After retention the events file is gone.
    pub files: Vec<FileMeta>,
}

/// A name that a tenant uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// What it names.
    pub dimension: Dimension,
    /// The name.
    pub name: String,
}

/// What is fixed when a folder is first opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Secret key of the hash of event ids and of receipts.
    pub key: [u8; 16],
    /// Length and grace of windows.
    pub rule: WindowRule,
}

/// Everything the ledger needs at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestState {
    /// What was fixed when the folder was first opened.
    pub identity: Identity,
    /// All segments, in order of `first_seq`.
    pub segments: Vec<SegmentMeta>,
    /// The last record whose effects are in the segments.
    pub cursor: Seq,
    /// Up to when windows are closed.
    pub closed_through: Timestamp,
    /// Raw events before this instant may be gone and are no longer shown.
    pub retention_floor: Timestamp,
    /// What retention will drop after a wait.
    pub retention_wait: RetentionWait,
    /// How far retention reaches for the tenants that have ever had their own, in order of tenant.
    pub tenant_retention: Vec<TenantRetention>,
    /// What is received is counted of records after this one, and of none before it: an earlier release did not.
    pub received_after: Seq,
    /// The customers that are counted by receive time, in order of tenant and customer.
    pub metered: Vec<(TenantId, String)>,
    /// Known names.
    pub names: Vec<Name>,
    /// How many dead letters there are.
    pub dead_letters: u64,
    /// The users of every tenant that has any: their names in order of number, empty for those that were erased.
    pub users: Vec<(TenantId, Vec<String>)>,
    /// The applied zones of the tenants that have any: their days of users are counted in them.
    pub zones: Vec<(TenantId, VersionedZone)>,
    /// All erasures, in order of request.
    pub erasures: Vec<StoredErasure>,
}

/// How far retention reaches for a tenant that has had its own: the server's floor is not this tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRetention {
    /// Whose events.
    pub tenant: TenantId,
    /// The tenant's raw events before this instant may be gone and are no longer shown.
    pub floor: Timestamp,
    /// What will be dropped after a wait.
    pub wait: RetentionWait,
}

/// What was received in a quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSum {
    /// By whom.
    pub tenant: TenantId,
    /// By which customer; the empty one stands for the tenant as a whole.
    pub customer: String,
    /// The start of the quarter.
    pub start: Timestamp,
    /// How much.
    pub amounts: Amounts,
}

/// Which sums of hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourSumsQuery {
    /// Hours that begin inside.
    pub range: TimeRange,
    /// Only of this project.
    pub project: Option<String>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Whether projects are told apart.
    pub by_project: bool,
    /// Whether types are told apart.
    pub by_kind: bool,
}

/// A change that counts whole or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Moves the cursor from the first value, which must be the stored one, to the second.
    pub cursor: Option<(Seq, Seq)>,
    /// Segments to add.
    pub add: Vec<SegmentMeta>,
    /// Segments to remove, by id; each must be stored.
    pub remove: Vec<String>,
    /// Segments, by id, whose events file is to be forgotten.
    pub forget_events: Vec<String>,
    /// Sums to add to the rollups.
    pub rollups: Vec<Rollup>,
    /// Names to add; known ones are ignored.
    pub names: Vec<Name>,
    /// Users to add to the dictionary, in this order.
    pub users: Vec<NewUsers>,
    /// Users to add to those active on a day.
    pub activity: Vec<Activity>,
    /// A tenant's new applied zone: all activity stored for it is dropped before `activity` is added.
    pub zone: Option<(TenantId, VersionedZone)>,
    /// Sets `closed_through` back; ignored when not earlier than the stored one.
    pub reopen_after: Option<Timestamp>,
    /// New `closed_through`; ignored when not later than the stored one.
    pub closed_through: Option<Timestamp>,
    /// New `retention_floor`; ignored when not later than the stored one.
    pub retention_floor: Option<Timestamp>,
    /// What is to be added to the sums of what was received.
    pub received: Vec<ReceivedSum>,
    /// Customers that are counted by receive time from now on; known ones are ignored.
    pub metered: Vec<(TenantId, String)>,
    /// New `retention_wait`.
    pub retention_wait: Option<RetentionWait>,
    /// New `tenant_retention` of these tenants; a floor that is not later than the stored one is ignored.
    pub tenant_retention: Vec<TenantRetention>,
    /// A tenant of which nothing is to be left but its erasures: sums, names, users, days and dead letters go, and what was received, before
    /// anything of this change is added.
    pub erased_tenants: Vec<TenantId>,
    /// Customers of whom nothing is to be left that is counted by receive time: their sums go before anything of this
    /// change is added, and they are not counted apart any more.
    pub erased_customers: Vec<(TenantId, String)>,
    /// Erasures to add, or to replace by id.
    pub erasures: Vec<StoredErasure>,
    /// Users whose names go; their numbers stay taken.
    pub erased_users: Vec<(TenantId, Vec<UserNumber>)>,
    /// Users to add to those whose activity was erased: they stay among those active on that day, whatever raw
    /// events say.
    pub erased_activity: Vec<Activity>,
    /// Dead letters whose payload and reason are to be emptied.
    pub emptied_letters: Vec<Seq>,
}

/// Users of one tenant that are new, to be numbered from `first` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUsers {
    /// The tenant that they belong to.
    pub tenant: TenantId,
    /// The number of the first; must be how many the tenant has so far, those before it in the same
    /// change included.
    pub first: u32,
    /// Their names, in order of number.
    pub names: Vec<String>,
}

/// Which of a tenant's events make a user active.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActivityFilter {
    /// All events.
    All,
    /// The events of a project; the empty text means events without one.
    Project(String),
    /// The events of a type.
    Type(String),
}

/// The users that were active on a day of the tenant's applied zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The tenant of the users.
    pub tenant: TenantId,
    /// Which events count.
    pub filter: ActivityFilter,
    /// On which day.
    pub day: Day,
    /// The users.
    pub users: UserSet,
}

/// A record that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record.
    pub seq: Seq,
    /// The tenant of its events, as far as it can be told.
    pub tenant: Option<TenantId>,
    /// Why it could not be applied.
    pub reason: String,
    /// When it was given up.
    pub dead_lettered_at: Timestamp,
    /// The record's payload.
    pub payload: Vec<u8>,
}

/// The commit point.
#[async_trait]
pub trait Manifest: Send + Sync + std::fmt::Debug {
    /// Everything, as of the last commit. The first call on an empty store fixes `identity`; later
    /// ones return the one fixed then.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the store cannot be read.
    async fn load(&self, identity: &Identity) -> Result<ManifestState, PortError>;

    /// Makes the change durable, whole. After `Conflict` and `Full` nothing has changed; after any
    /// other error the outcome is unknown and the store refuses further commits until it is opened
    /// again.
    ///
    /// # Errors
    /// `Conflict` when the stored cursor, segments or numbers of users are not what the change
    /// believes, `Full` without disk space, `Poisoned` when the store fails.
    async fn commit(&self, change: &Commit) -> Result<(), PortError>;

    /// One tenant's rollups whose hour begins inside `range`, in order of (project, type, hour), and
    /// the cursor of that same moment.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    async fn rollups(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<Rollup>), PortError>;

    /// One tenant's rollups that `query` asks for, each hour's added up over the projects and types that
    /// it does not tell apart; these are empty texts in the key. In order of (project, type, hour), with the
    /// cursor of that same moment.
    ///
    /// # Errors
    /// `Exhausted` when there are more than [`HOUR_SUMS_MAX`]. As [`Manifest::rollups`] otherwise.
    async fn hour_sums(&self, scope: &TenantScope, query: &HourSumsQuery) -> Result<(Seq, Vec<Rollup>), PortError>;

    /// One tenant's sums per type over all hours inside `range`, of one project or of all, in order of
    /// type, and the cursor of that same moment.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn type_sums(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
    ) -> Result<(Seq, Vec<(String, Totals)>), PortError>;

    /// Who was active on each of these days, in order of day, and the cursor of that same moment.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn activity(
        &self,
        scope: &TenantScope,
        filter: &ActivityFilter,
        days: DayRange,
    ) -> Result<(Seq, Vec<(Day, UserSet)>), PortError>;

    /// What was received of one tenant and its customers in the quarters that begin inside `range`, in order of (start,
    /// customer), and the cursor of that same moment.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<ReceivedSum>), PortError>;

    /// The names of users by number, as far as they are stored, in the same order; empty for those that were erased.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn user_names(&self, scope: &TenantScope, users: &[UserNumber]) -> Result<Vec<Option<String>>, PortError>;

    /// Who was active by events that were erased, in order of filter and day.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn erased_activity(&self, scope: &TenantScope) -> Result<Vec<Activity>, PortError>;

    /// The dead letters of a tenant, and those of which nobody can tell whose they are, in order of number.
    ///
    /// # Errors
    /// As [`Manifest::rollups`].
    async fn dead_letters(&self, scope: &TenantScope) -> Result<Vec<DeadLetter>, PortError>;

    /// Leaves nothing of what commits have removed in the files of the store. Takes as long as writing them anew.
    ///
    /// # Errors
    /// `Full` without space to write them anew, `Unavailable` when they cannot be; try again.
    async fn scrub(&self) -> Result<(), PortError>;

    /// Keeps a dead letter; one that is kept already is left as it is.
    ///
    /// # Errors
    /// `Full` or `Unavailable` when it cannot be stored.
    async fn store_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError>;

    /// The dead letter of this tenant with this number.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    async fn dead_letter(&self, scope: &TenantScope, seq: Seq) -> Result<Option<DeadLetter>, PortError>;
}
