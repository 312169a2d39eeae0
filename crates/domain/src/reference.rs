//! A reference table: what is known of users (plan, region, anything), replaced whole or changed in
//! part, with a version time and a generation. Decides which change is stale; stores nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::limits::{
    NAME_BYTES_MAX, REFERENCE_ATTRIBUTES_MAX, REFERENCE_COMBINATIONS_MAX, REFERENCE_NAME_BYTES_MAX,
    REFERENCE_USERS_MAX, REFERENCE_VALUE_BYTES_MAX, REFERENCE_VALUES_BYTES_MAX, REFERENCE_VALUES_MAX,
};
use crate::time::Timestamp;

/// What a distinct value counts for beside its text, in bytes.
const VALUE_OVERHEAD_BYTES: usize = 16;
/// How much of a name that is too long an answer shows.
const NAME_SHOWN_CHARS: usize = 40;

/// What is known of one user: attribute → value, a scalar written as text.
pub type Attributes = BTreeMap<String, String>;

/// User → what is known of it. In a table that was replaced or changed here, users of whom the same is
/// known share it: there are a few plans and regions, and a million users.
pub type Users = BTreeMap<String, Arc<Attributes>>;

/// What changes of one user: attribute → value. `None` takes the attribute away.
pub type Change = BTreeMap<String, Option<String>>;

/// A change in part: user → what changes, shared by users of whom the same changes. `None` takes the user
/// away.
pub type Patch = BTreeMap<String, Option<Arc<Change>>>;

/// One tenant's table of users, as of one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferenceTable {
    /// 1 for the first table, one more with every change; 0 when there never was one.
    pub generation: u64,
    /// The version time of the last change.
    pub ts: Timestamp,
    /// All users with their attributes.
    pub users: Users,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The table is that already.
    Unchanged,
    /// This is the table of the next generation.
    Changed(ReferenceTable),
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableRefusal {
    /// The change is older than the table.
    #[error("'ts' is {ts}, the stored table is of {stored}")]
    Stale {
        /// The version time of the change.
        ts: Timestamp,
        /// The version time of the stored table.
        stored: Timestamp,
    },
    /// Two different tables of one time: there is no telling which one is right.
    #[error("the stored table has the same 'ts', {ts}, and other content")]
    SameTime {
        /// The version time of both tables.
        ts: Timestamp,
    },
    /// The change was made for another generation.
    #[error("the stored table has generation {stored}, not {expected}")]
    Generation {
        /// The one the change was made for.
        expected: u64,
        /// The one there is.
        stored: u64,
    },
    /// A name or value is not allowed.
    #[error("{why}")]
    Invalid {
        /// Where: `user_metadata`, a user in it, or an attribute of one.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is too much of something.
    #[error("{why}")]
    TooLarge {
        /// Where.
        field: String,
        /// How much there may be.
        why: String,
    },
}

impl ReferenceTable {
    /// Puts `users` in place of all there is, as of `ts`. `expected` is the generation that the change
    /// was made for, if it says so.
    ///
    /// # Errors
    /// [`TableRefusal`]; the table stays as it is.
    pub fn replace(&self, ts: Timestamp, mut users: Users, expected: Option<u64>) -> Result<Decision, TableRefusal> {
        self.check_generation(expected)?;
        let mut shared = Shared::default();
        users.values_mut().for_each(|attributes| shared.share(attributes));
        check(&users)?;
        self.decide(ts, users)
    }

    /// Merges `patch`, as of `ts`; without it, as of `now` or right after the last change, whichever is
    /// later.
    ///
    /// # Errors
    /// [`TableRefusal`]; the table stays as it is.
    pub fn patch(
        &self,
        ts: Option<Timestamp>,
        now: Timestamp,
        patch: Patch,
        expected: Option<u64>,
    ) -> Result<Decision, TableRefusal> {
        self.check_generation(expected)?;
        let ts = ts.unwrap_or_else(|| if self.generation == 0 { now } else { now.max(self.ts.plus_micros(1)) });
        let mut users = self.users.clone();
        let mut shared = Shared::default();
        users.values_mut().for_each(|attributes| shared.share(attributes));
        for (user, change) in patch {
            let Some(change) = change else {
                users.remove(&user);
                continue;
            };
            let attributes = users.entry(user).or_default();
            let mut changed = Attributes::clone(attributes);
            for (name, value) in change.iter() {
                match value {
                    Some(value) => changed.insert(name.clone(), value.clone()),
                    None => changed.remove(name),
                };
            }
            *attributes = Arc::new(changed);
            shared.share(attributes);
        }
        if users == self.users && ts >= self.ts {
            return Ok(Decision::Unchanged);
        }
        check(&users)?;
        self.decide(ts, users)
    }

    /// The table without a user. Of the same time as before: what is loaded from elsewhere goes on as if nobody had gone.
    #[must_use]
    pub fn without(&self, user: &str) -> Decision {
        if !self.users.contains_key(user) {
            return Decision::Unchanged;
        }
        let mut users = self.users.clone();
        users.remove(user);
        Decision::Changed(Self { generation: self.generation + 1, ts: self.ts, users })
    }

    fn check_generation(&self, expected: Option<u64>) -> Result<(), TableRefusal> {
        match expected {
            Some(expected) if expected != self.generation => {
                Err(TableRefusal::Generation { expected, stored: self.generation })
            }
            _ => Ok(()),
        }
    }

    fn decide(&self, ts: Timestamp, users: Users) -> Result<Decision, TableRefusal> {
        if self.generation > 0 && ts < self.ts {
            return Err(TableRefusal::Stale { ts, stored: self.ts });
        }
        if self.generation > 0 && ts == self.ts {
            let same = users == self.users;
            return if same { Ok(Decision::Unchanged) } else { Err(TableRefusal::SameTime { ts }) };
        }
        Ok(Decision::Changed(Self { generation: self.generation + 1, ts, users }))
    }
}

/// The attributes that users share, each once.
#[derive(Debug, Default)]
struct Shared {
    known: HashSet<Arc<Attributes>>,
    /// Where those are, which is quicker to look up.
    addresses: HashSet<*const Attributes>,
}

impl Shared {
    /// Puts what is known already in place of the same.
    fn share(&mut self, attributes: &mut Arc<Attributes>) {
        if self.addresses.contains(&Arc::as_ptr(attributes)) {
            return;
        }
        match self.known.get(attributes) {
            Some(known) => *attributes = Arc::clone(known),
            None => {
                self.addresses.insert(Arc::as_ptr(attributes));
                self.known.insert(Arc::clone(attributes));
            }
        }
    }
}

/// Checks names, values and how many there are (I6).
fn check(users: &Users) -> Result<(), TableRefusal> {
    if users.len() > REFERENCE_USERS_MAX {
        return Err(too_large("user_metadata", format!("at most {REFERENCE_USERS_MAX} users fit in a table")));
    }
    let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
    let (mut checked, mut bytes) = (HashSet::new(), 0);
    for (user, attributes) in users {
        if user.is_empty() || user.len() > NAME_BYTES_MAX {
            let begin: String = user.chars().take(NAME_SHOWN_CHARS).collect();
            let why = format!("a user's id must have 1 to {NAME_BYTES_MAX} bytes, '{begin}…' has {}", user.len());
            return Err(invalid("user_metadata", why));
        }
        if !checked.insert(Arc::as_ptr(attributes)) {
            continue;
        }
        for (name, value) in attributes.iter() {
            let known = match values.get_mut(name.as_str()) {
                Some(known) => known,
                None => {
                    check_name(user, name)?;
                    values.entry(name).or_default()
                }
            };
            if !known.contains(value.as_str()) {
                if value.len() > REFERENCE_VALUE_BYTES_MAX {
                    let why = format!("a value must have at most {REFERENCE_VALUE_BYTES_MAX} bytes");
                    return Err(invalid(&format!("user_metadata.{user}.{name}"), why));
                }
                known.insert(value);
                bytes += value.len() + VALUE_OVERHEAD_BYTES;
            }
            if known.len() > REFERENCE_VALUES_MAX {
                let why = format!(
                    "'{name}' has more than {REFERENCE_VALUES_MAX} distinct values, too many to group events by"
                );
                return Err(too_large(name, why));
            }
        }
        if bytes > REFERENCE_VALUES_BYTES_MAX {
            let why =
                format!("the distinct values take more than {REFERENCE_VALUES_BYTES_MAX} bytes, too many to group by");
            return Err(too_large("user_metadata", why));
        }
        if checked.len() > REFERENCE_COMBINATIONS_MAX {
            let why =
                format!("at most {REFERENCE_COMBINATIONS_MAX} different combinations of attributes fit in a table");
            return Err(too_large("user_metadata", why));
        }
        if values.len() > REFERENCE_ATTRIBUTES_MAX {
            let why = format!("at most {REFERENCE_ATTRIBUTES_MAX} different attributes fit in a table");
            return Err(too_large("user_metadata", why));
        }
    }
    Ok(())
}

fn check_name(user: &str, name: &str) -> Result<(), TableRefusal> {
    let fits = (1..=REFERENCE_NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if fits && plain {
        return Ok(());
    }
    let why = format!("an attribute's name must be 1 to {REFERENCE_NAME_BYTES_MAX} of A-Z a-z 0-9 _ . -");
    Err(invalid(&format!("user_metadata.{user}"), why))
}

fn invalid(field: &str, why: String) -> TableRefusal {
    TableRefusal::Invalid { field: field.to_owned(), why }
}

fn too_large(field: &str, why: String) -> TableRefusal {
    TableRefusal::TooLarge { field: field.to_owned(), why }
}

#[cfg(test)]
mod tests;
