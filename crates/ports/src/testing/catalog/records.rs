//! The records of the twin, by their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use domain::access::record::{ApiKey, KeyOrigin, Record, User, Workspace};
use domain::access::removal::Removal;
use domain::tenant::TenantId;
use domain::time::Timestamp;

use crate::register::Revision;
use crate::{ErrorKind, PortError};

/// By what a record is found, and in which order records are handed over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Workspace(TenantId),
    Project(TenantId, Arc<str>),
    User(UserId),
    Membership(TenantId, UserId),
    Api(KeyId),
    SigningSecret(SecretId),
    Invitation(InvitationId),
    PasswordReset(UserId),
    Session(SessionId),
    Token(String),
    Encryption(TenantId),
    Data(TenantId, u32),
    Creation([u8; 32]),
    Customer(TenantId, String),
}

/// The records, each with the revision that it has come with.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    revision: Revision,
    stored: BTreeMap<Key, (Record, Revision)>,
}

impl Records {
    /// The revision of what was stored last.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Begins the next revision, which records get from here on.
    pub(super) fn begin(&mut self) -> Revision {
        self.revision.0 += 1;
        self.revision
    }

    /// The records that have come after `after`.
    pub(super) fn since(&self, after: Revision) -> impl Iterator<Item = &Record> {
        let is_wanted = move |(_, revision): &&(Record, Revision)| *revision > after;
        self.stored.values().filter(is_wanted).map(|(record, _)| record)
    }

    /// The workspaces in order of id.
    pub(super) fn workspaces(&self) -> Vec<Workspace> {
        let workspace = |record: &Record| match record {
            Record::Workspace(workspace) => Some(workspace.clone()),
            _ => None,
        };
        self.since(Revision(0)).filter_map(workspace).collect()
    }

    /// Whether a workspace is known.
    pub(super) fn has_workspace(&self, id: &TenantId) -> bool {
        self.stored.contains_key(&Key::Workspace(id.clone()))
    }

    /// Takes a record in place of the one with the same key.
    pub(super) fn store(&mut self, record: &Record) -> Result<(), PortError> {
        let key = key(record);
        let mut record = record.clone();
        let stored = self.stored.get(&key).map(|(record, _)| record);
        match (stored, version(&record)) {
            (None, Some(1)) => {}
            (Some(Record::PasswordReset(known)), Some(1)) if known.expires <= made(&record) => {}
            (Some(stored), Some(next)) => {
                if version(stored).and_then(|version| version.checked_add(1)) != Some(next) {
                    return Err(conflict("it is another version"));
                }
            }
            (stored, None) => {
                if let (Some(Record::Creation(known)), Record::Creation(new)) = (stored, &record)
                    && known.expires > new.created
                {
                    return Err(conflict("it was made before"));
                }
            }
            (None, Some(_)) => return Err(conflict("there is no version before it")),
        }
        if stored.is_some_and(|stored| workspace(stored) != workspace(&record)) {
            return Err(conflict("it is of another workspace"));
        }
        if let (Some(Record::ApiKey(stored)), Record::ApiKey(key)) = (stored, &mut record) {
            key.last_used = key.last_used.max(stored.last_used);
        }
        if self.stored.iter().any(|(other, (stored, _))| *other != key && are_one(stored, &record)) {
            return Err(conflict("another has that already"));
        }
        self.stored.insert(key, (record, self.revision));
        Ok(())
    }

    /// Notes when a key was used.
    pub(super) fn touch(&mut self, id: KeyId, used: Timestamp) {
        if let Some((Record::ApiKey(key), _)) = self.stored.get_mut(&Key::Api(id)) {
            key.last_used = key.last_used.max(Some(used));
        }
    }

    /// Removes the profile of a customer.
    pub(super) fn forget_customer(&mut self, of: &TenantId, customer: &str) {
        let is_it = |record: &Record| match record {
            Record::Customer(profile) => profile.workspace == *of && profile.customer == customer,
            _ => false,
        };
        self.stored.retain(|_, (record, _)| !is_it(record));
    }

    /// Removes all that is of a workspace, but the workspace itself.
    pub(super) fn forget_workspace(&mut self, of: &TenantId) {
        let is_of = |record: &Record| match record {
            Record::Project(it) => it.workspace == *of,
            Record::Membership(it) => it.workspace == *of,
            Record::Creation(it) => it.workspace.as_ref() == Some(of),
            Record::Customer(it) => it.workspace == *of,
            Record::Encryption(it) => it.workspace == *of,
            Record::DataKey(it) => it.workspace == *of,
            record => workspace(record) == Some(of),
        };
        self.stored.retain(|_, (record, _)| !is_of(record));
    }

    /// Removes a record that is still as it is to be removed.
    pub(super) fn remove(&mut self, removal: &Removal) {
        let (key, wanted) = match removal {
            Removal::ApiKey(id, version) => (Key::Api(*id), *version),
            Removal::SigningSecret(id, version) => (Key::SigningSecret(*id), *version),
            Removal::Invitation(id, version) => (Key::Invitation(*id), *version),
            Removal::PasswordReset(user, version) => (Key::PasswordReset(*user), *version),
            Removal::Session(id, version) => (Key::Session(*id), *version),
            Removal::TokenKey(kid, version) => (Key::Token(kid.clone()), *version),
            Removal::Creation(hash, expires) => {
                let is_it = |record: &Record| matches!(record, Record::Creation(it) if it.expires == *expires);
                let key = Key::Creation(*hash);
                if self.stored.get(&key).is_some_and(|(record, _)| is_it(record)) {
                    self.stored.remove(&key);
                }
                return;
            }
        };
        if self.stored.get(&key).is_some_and(|(record, _)| version(record) == Some(wanted)) {
            self.stored.remove(&key);
        }
    }
}

fn key(record: &Record) -> Key {
    match record {
        Record::Workspace(it) => Key::Workspace(it.id.clone()),
        Record::Project(it) => Key::Project(it.workspace.clone(), Arc::clone(&it.id)),
        Record::User(it) => Key::User(it.id),
        Record::Membership(it) => Key::Membership(it.workspace.clone(), it.user),
        Record::ApiKey(it) => Key::Api(it.id),
        Record::SigningSecret(it) => Key::SigningSecret(it.id),
        Record::Invitation(it) => Key::Invitation(it.id),
        Record::PasswordReset(it) => Key::PasswordReset(it.user),
        Record::Session(it) => Key::Session(it.id),
        Record::TokenKey(it) => Key::Token(it.kid.clone()),
        Record::Encryption(it) => Key::Encryption(it.workspace.clone()),
        Record::DataKey(it) => Key::Data(it.workspace.clone(), it.number),
        Record::Creation(it) => Key::Creation(it.key_hash),
        Record::Customer(it) => Key::Customer(it.workspace.clone(), it.customer.clone()),
    }
}

/// A creation is made once and has no versions.
fn version(record: &Record) -> Option<u64> {
    let versioned = match record {
        Record::Workspace(it) => it.versioned,
        Record::Project(it) => it.versioned,
        Record::User(it) => it.versioned,
        Record::Membership(it) => it.versioned,
        Record::ApiKey(it) => it.versioned,
        Record::SigningSecret(it) => it.versioned,
        Record::Invitation(it) => it.versioned,
        Record::PasswordReset(it) => it.versioned,
        Record::Session(it) => it.versioned,
        Record::TokenKey(it) => it.versioned,
        Record::Customer(it) => it.versioned,
        Record::Encryption(it) => it.versioned,
        Record::DataKey(it) => it.versioned,
        Record::Creation(_) => return None,
    };
    Some(versioned.version)
}

/// The workspace of a record that is found without it; it never becomes another's.
fn workspace(record: &Record) -> Option<&TenantId> {
    match record {
        Record::ApiKey(it) => it.workspace.as_ref(),
        Record::SigningSecret(it) => Some(&it.workspace),
        Record::Invitation(it) => Some(&it.workspace),
        _ => None,
    }
}

/// When a record was made that may take the place of an expired one.
fn made(record: &Record) -> Timestamp {
    match record {
        Record::PasswordReset(it) => it.versioned.created,
        _ => Timestamp::MIN,
    }
}

/// Whether two records, which have different keys, may not both be there.
fn are_one(one: &Record, other: &Record) -> bool {
    let registered = |key: &ApiKey| key.origin == KeyOrigin::Registered && key.revoked.is_none();
    match (one, other) {
        (Record::User(User { email: one, .. }), Record::User(User { email: other, .. })) => one == other,
        (Record::ApiKey(one), Record::ApiKey(other)) => registered(one) && registered(other) && one.hash == other.hash,
        _ => false,
    }
}

/// The refusal of a change that does not fit what is stored.
pub(super) fn conflict(reason: &str) -> PortError {
    PortError::new(ErrorKind::Conflict, format!("write to the catalog: {reason}"))
}
