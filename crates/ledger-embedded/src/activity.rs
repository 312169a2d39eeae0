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

use crate::memtable::{Interner, Symbol};

/// Users by day.
pub(crate) type ByDay = BTreeMap<Day, UserSet>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    project: Option<Symbol>,
    kind: Symbol,
    day: Day,
}

/// The users of one tenant by day. Symbols are those of the table around it.
#[derive(Debug)]
pub(crate) struct DayUsers {
    days: Days<'static>,
    /// Shared with the readers that took them out.
    sets: HashMap<Key, Arc<UserSet>>,
}

/// Which events count: those of a project, where the empty text means none, and of a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'q> {
    pub(crate) project: Option<&'q str>,
    pub(crate) kind: Option<&'q str>,
}

/// The same by symbols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    project: Option<Option<Symbol>>,
    kind: Option<Symbol>,
}

impl Choice<'_> {
    /// Nothing when a name stands for nothing.
    pub(crate) fn find(&self, names: &Interner) -> Option<Wanted> {
        let project = match self.project {
            None => None,
            Some("") => Some(None),
            Some(project) => Some(Some(names.find(project)?)),
        };
        let kind = match self.kind {
            None => None,
            Some(kind) => Some(names.find(kind)?),
        };
        Some(Wanted { project, kind })
    }

    /// Whether an event of this project and type counts.
    pub(crate) fn includes(&self, project: Option<&str>, kind: &str) -> bool {
        self.project.is_none_or(|wanted| project.unwrap_or("") == wanted)
            && self.kind.is_none_or(|wanted| kind == wanted)
    }
}

impl DayUsers {
    /// Nobody yet, on days of `zone`, or of UTC.
    pub(crate) fn new(zone: Option<Zone>) -> Self {
        Self { days: zone.unwrap_or_else(Zone::utc).into_days(), sets: HashMap::new() }
    }

    /// Counts a user in; says whether a set was made for that.
    pub(crate) fn add(&mut self, at: Timestamp, project: Option<Symbol>, kind: Symbol, user: UserNumber) -> bool {
        let key = Key { project, kind, day: self.days.day_of(at) };
        let sets = self.sets.len();
        Arc::make_mut(self.sets.entry(key).or_default()).insert(user);
        self.sets.len() > sets
    }

    /// Who was active on these days by events that count, some days more than once.
    pub(crate) fn share(&self, wanted: &Wanted, days: DayRange) -> Vec<(Day, Arc<UserSet>)> {
        let counts = |key: &Key| {
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
    /// Nobody yet, on days of `zone`.
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
