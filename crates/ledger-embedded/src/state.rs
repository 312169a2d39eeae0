//! What a reader sees: segments, the memtable being flushed and the one being filled. All three change
//! under one lock, so every answer comes from one state.

use std::sync::Arc;
use std::time::Duration;

use domain::calendar::Zone;
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use hashbrown::{HashMap, HashSet};
use ports::active_users::VersionedZone;
use ports::erasures::KnownErasures;

use crate::dedup::{FirstSeen, IdHash};
use crate::memtable::Memtable;
use crate::segment::Segment;
use crate::users::Users;

/// The visible state.
#[derive(Debug)]
pub(crate) struct State {
    /// The segments in order of journal position.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// The memtable that is being flushed.
    pub(crate) frozen: Option<Arc<Memtable>>,
    /// The memtable that is being filled.
    pub(crate) active: Memtable,
    /// When the first record of `active` was applied, on the monotonic clock.
    pub(crate) active_since: Option<Duration>,
    /// All users in the segments and the memtables.
    pub(crate) users: Users,
    /// Last record applied.
    pub(crate) applied: Seq,
    /// Last record in the segments.
    pub(crate) cursor: Seq,
    /// Up to when windows are closed.
    pub(crate) closed_through: Timestamp,
    /// What retention no longer shows.
    pub(crate) floors: Arc<Floors>,
    /// The applied zones of the tenants that have any.
    pub(crate) zones: Arc<HashMap<TenantId, VersionedZone>>,
    /// The customers that are counted by receive time.
    pub(crate) metered: Arc<HashMap<TenantId, HashSet<String>>>,
    /// How often a recount of days was begun or ended; odd while one is being committed.
    pub(crate) recounts: u64,
    /// What was, or is being, erased.
    pub(crate) erasures: Arc<KnownErasures>,
}

/// How far retention reaches. Raw events before a tenant's floor are not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Floors {
    /// The floor of every other tenant.
    pub(crate) server: Timestamp,
    /// The floor of each tenant that has or had its own.
    pub(crate) own: HashMap<TenantId, Timestamp>,
}

impl Floors {
    /// The floor of a tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Timestamp {
        self.own.get(tenant).copied().unwrap_or(self.server)
    }

    /// Whether any event may be gone.
    pub(crate) fn hide_any(&self) -> bool {
        self.server > Timestamp::MIN || self.own.values().any(|floor| *floor > Timestamp::MIN)
    }
}

/// The immutable part of a state.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) frozen: Option<Arc<Memtable>>,
    pub(crate) cursor: Seq,
    pub(crate) closed_through: Timestamp,
    pub(crate) floors: Arc<Floors>,
    pub(crate) zones: Arc<HashMap<TenantId, VersionedZone>>,
    pub(crate) recounts: u64,
    pub(crate) erasures: Arc<KnownErasures>,
}

impl State {
    /// The immutable part.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            segments: Arc::clone(&self.segments),
            frozen: self.frozen.clone(),
            cursor: self.cursor,
            closed_through: self.closed_through,
            floors: Arc::clone(&self.floors),
            zones: Arc::clone(&self.zones),
            recounts: self.recounts,
            erasures: Arc::clone(&self.erasures),
        }
    }
}

/// The zone that a tenant's days are counted in.
pub(crate) fn zone_of(zones: &HashMap<TenantId, VersionedZone>, tenant: &TenantId) -> Zone {
    zones.get(tenant).map_or_else(Zone::utc, |applied| applied.zone.clone())
}

impl Snapshot {
    /// The first sighting of an id in what is no longer being filled.
    pub(crate) fn find_id(&self, hash: IdHash) -> std::io::Result<Option<FirstSeen>> {
        if let Some(seen) = self.frozen.as_ref().and_then(|frozen| frozen.find_id(hash)) {
            return Ok(Some(seen));
        }
        for segment in self.segments.iter().rev() {
            if let Some(seen) = segment.ids().find(hash)? {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Whether each of `hashes` may be in some segment, as their filters say.
    pub(crate) fn marks(&self, hashes: &[IdHash]) -> Vec<bool> {
        let mut marks = vec![false; hashes.len()];
        self.segments.iter().for_each(|segment| segment.ids().mark(hashes, &mut marks));
        marks
    }

    /// [`Self::find_id`] of each of `hashes`.
    pub(crate) fn find_ids(&self, hashes: &[IdHash]) -> std::io::Result<Vec<Option<FirstSeen>>> {
        let marks = self.marks(hashes);
        let find = |(hash, is_marked): (&IdHash, bool)| match &self.frozen {
            _ if is_marked => self.find_id(*hash),
            Some(frozen) => Ok(frozen.find_id(*hash)),
            None => Ok(None),
        };
        hashes.iter().zip(marks).map(find).collect()
    }
}
