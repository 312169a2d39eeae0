//! Who was active on which day. Sets are kept by (project, type, day) while they are in memory, so that
//! an event goes into one set only; what is committed and asked for is all, one project or one type.
//! What a day is, the zone given at first decides: a set never has days of two zones.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::calendar::{Day, DayRange, Days, Zone};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::users::{UserNumber, UserSet};
use hashbrown::HashMap;
use ports::manifest::{Activity, ActivityFilter};

use crate::intern::{Interner, Symbol};

/// Users by day.
pub(crate) type ByDay = BTreeMap<Day, UserSet>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ActivityKey {
    project: Option<Symbol>,
    kind: Symbol,
    day: Day,
}

/// The users of one tenant by day. Symbols are those of the memtable or recount that has it.
#[derive(Debug)]
pub(crate) struct DayUsers {
    days: Days<'static>,
    /// Shared with readers.
    sets: HashMap<ActivityKey, Arc<UserSet>>,
}

/// Which events count: those of a project, where the empty text means none, and of a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserEventFilter<'q> {
    pub(crate) project: Option<&'q str>,
    pub(crate) kind: Option<&'q str>,
}

/// A [`UserEventFilter`] by symbols of the names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SymbolFilter {
    project: Option<Option<Symbol>>,
    kind: Option<Symbol>,
}

impl UserEventFilter<'_> {
    /// The filter by symbols; `None` when a name has none, so that no event counts.
    pub(crate) fn find(&self, names: &Interner) -> Option<SymbolFilter> {
        let project = match self.project {
            None => None,
            Some("") => Some(None),
            Some(project) => Some(Some(names.find(project)?)),
        };
        let kind = match self.kind {
            None => None,
            Some(kind) => Some(names.find(kind)?),
        };
        Some(SymbolFilter { project, kind })
    }

    /// Whether an event of this project and type counts.
    pub(crate) fn includes(&self, project: Option<&str>, kind: &str) -> bool {
        self.project.is_none_or(|wanted| project.unwrap_or("") == wanted)
            && self.kind.is_none_or(|wanted| kind == wanted)
    }
}

impl DayUsers {
    /// No users yet, on days of `zone`, or of UTC.
    pub(crate) fn new(zone: Option<Zone>) -> Self {
        Self { days: zone.unwrap_or_else(Zone::utc).into_days(), sets: HashMap::new() }
    }

    /// Counts a user in; says whether a set was made for that.
    pub(crate) fn add(&mut self, at: Timestamp, project: Option<Symbol>, kind: Symbol, user: UserNumber) -> bool {
        let key = ActivityKey { project, kind, day: self.days.day_of(at) };
        let sets = self.sets.len();
        Arc::make_mut(self.sets.entry(key).or_default()).insert(user);
        self.sets.len() > sets
    }

    /// Who was active on these days by events that count, some days more than once.
    pub(crate) fn share(&self, wanted: &SymbolFilter, days: DayRange) -> Vec<(Day, Arc<UserSet>)> {
        let counts = |key: &ActivityKey| {
            days.contains(key.day)
                && wanted.project.is_none_or(|project| project == key.project)
                && wanted.kind.is_none_or(|kind| kind == key.kind)
        };
        self.sets.iter().filter(|(key, _)| counts(key)).map(|(key, users)| (key.day, Arc::clone(users))).collect()
    }

    /// Everything as it is stored, in order of (filter, day).
    pub(crate) fn activity(&self, tenant: &TenantId, names: &Interner) -> Vec<Activity> {
        let text = |symbol: Symbol| names.text(symbol).to_owned();
        let mut sets: BTreeMap<(ActivityFilter, Day), UserSet> = BTreeMap::new();
        for (key, users) in &self.sets {
            let filters = [
                ActivityFilter::All,
                ActivityFilter::Project(key.project.map(text).unwrap_or_default()),
                ActivityFilter::Type(text(key.kind)),
            ];
            for filter in filters {
                sets.entry((filter, key.day)).or_default().merge(users);
            }
        }
        let activity = |((filter, day), users): (_, UserSet)| Activity { tenant: tenant.clone(), filter, day, users };
        sets.into_iter().map(activity).collect()
    }
}

/// The days of one tenant's users, counted again from raw events.
#[derive(Debug)]
pub(crate) struct Recount {
    names: Interner,
    users: DayUsers,
}

impl Recount {
    /// No users yet, on days of `zone`.
    pub(crate) fn new(zone: Zone) -> Self {
        Self { names: Interner::default(), users: DayUsers::new(Some(zone)) }
    }

    /// Counts an event's user in.
    pub(crate) fn add(&mut self, at: Timestamp, project: Option<&str>, kind: &str, user: UserNumber) {
        let project = project.filter(|project| !project.is_empty()).map(|project| self.names.intern(project).0);
        let kind = self.names.intern(kind).0;
        self.users.add(at, project, kind, user);
    }

    /// Everything as it is stored, in order of (filter, day).
    pub(crate) fn activity(&self, tenant: &TenantId) -> Vec<Activity> {
        self.users.activity(tenant, &self.names)
    }
}
