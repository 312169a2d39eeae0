//! What of a register is of no use without the master key that it was made with, and the change to another one. Under the
//! old key what was wrapped is wrapped anew; what was hashed with it cannot be, and ends, and so does all of it when the
//! old key is lost.

use std::collections::{BTreeMap, BTreeSet};

use domain::access::audit::Cause;
use domain::access::record::{
    ApiKey, DataKeyRecord, EncryptionRules, KeyOrigin, Record, Session, SessionKind, SigningSecret, TokenKeyRecord,
};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use ports::PortError;
use ports::register::{RegisterCommit, Revision};

use super::token_keys::{self, RETIRED_S};
use super::{Store, secrets};
use crate::data_keys;
use crate::failure::AccessError;
use crate::master_key::MasterKey;
use crate::random::bytes;

/// Most things that a refusal names.
const NAMED_MAX: usize = 10;

/// Whether the register holds a data key, without which properties can be neither encrypted nor read.
///
/// # Errors
/// When the store cannot be read.
pub async fn has_data_keys(store: &dyn Store) -> Result<bool, PortError> {
    let mut has = false;
    store.load(Revision::default(), &mut |record| has |= matches!(record, Record::DataKey(_))).await?;
    Ok(has)
}

/// How a master key fits the records of a register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterFit {
    /// Whether any of them is of no use without its master key.
    pub needs_one: bool,
    /// How many it opens.
    pub opened: usize,
    /// Those that it does not open, in words: first data keys, whose loss is the worst, the keys of access tokens, and
    /// signing secrets.
    pub sealed: BTreeSet<String>,
}

impl MasterFit {
    /// Counts a record; without a key, none opens.
    pub fn count(&mut self, record: &Record, master: Option<&MasterKey>) {
        self.needs_one |= ended(record.clone(), Timestamp::MIN).is_some();
        let Some((what, is_opened)) = opens_record(record, master) else { return };
        if is_opened {
            self.opened += 1;
        } else {
            self.sealed.insert(what);
        }
    }

    /// Whether the key is that of these records.
    pub fn fits(&self) -> bool {
        self.sealed.is_empty()
    }
}

/// How a master key fits what the register holds.
///
/// # Errors
/// When the store cannot be read.
pub async fn master_fit(store: &dyn Store, master: Option<&MasterKey>) -> Result<MasterFit, PortError> {
    let mut fit = MasterFit::default();
    store.load(Revision::default(), &mut |record| fit.count(&record, master)).await?;
    Ok(fit)
}

/// What is wrapped in a record, and whether the key opens it; nothing of a record that holds nothing of the kind, or has
/// ended.
fn opens_record(record: &Record, master: Option<&MasterKey>) -> Option<(String, bool)> {
    Some(match record {
        Record::DataKey(key) if key.destroyed.is_none() => {
            let what = format!("data key {} of workspace '{}'", key.number, key.workspace);
            (what, master.is_some_and(|master| data_keys::unwrap(master, key).is_ok()))
        }
        Record::SigningSecret(secret) if secret.revoked.is_none() => {
            let what = format!("signing secret {} of workspace '{}'", secret.id, secret.workspace);
            (what, master.is_some_and(|master| secrets::unwrap(master, secret).is_ok()))
        }
        Record::TokenKey(key) if !key.wrapped.is_empty() => {
            let what = format!("key {} of access tokens", key.kid);
            (what, master.is_some_and(|master| token_keys::unwrap(master, key).is_ok()))
        }
        _ => return None,
    })
}

/// What to do about what the old master key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfSealed {
    /// Change nothing: it may be the wrong key.
    Refuse,
    /// Give it up: the key that opens it is lost.
    GiveUp,
}

/// Why the master key is not changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The old key does not open everything, or is not there. Nothing has changed.
    #[error(
        "the old master key does not open {}: give the right one, or, if it is lost, say so, and what only it opens is \
         given up for good",
        named(.0)
    )]
    Sealed(Vec<String>),
    /// The new key is the one that the register is wrapped under already. Nothing has changed.
    #[error("the new master key is the one that opens the register already: put another one in its place")]
    NotNew,
    /// The register cannot be read or written.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<PortError> for ReplaceError {
    fn from(why: PortError) -> Self {
        Self::Access(why.into())
    }
}

/// The first of many things.
fn named(all: &[String]) -> String {
    let first = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What a change of the master key has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MasterReplaced {
    /// Secrets and data keys that were wrapped anew.
    pub rewrapped: usize,
    /// Records that were of no use any more and have ended.
    pub ended: usize,
    /// Data keys among them: what they have encrypted is read by nobody again.
    pub data_keys_lost: usize,
}

/// Has the register wrapped under the master key `new`. What `old` opens is wrapped anew, everything else that needs a
/// master key ends: keys that were made elsewhere and sessions that are held by tokens in any case, since they are known by
/// codes under the old one, and the keys of access tokens, of which a new one is made. That one tells from now on which of
/// the two master keys is in force, whatever else the register holds. A workspace whose data key is lost and that still
/// encrypts gets a new one.
///
/// # Errors
/// [`ReplaceError`].
pub async fn replace_master(
    store: &dyn Store,
    old: Option<&MasterKey>,
    new: &MasterKey,
    if_sealed: IfSealed,
    now: Timestamp,
) -> Result<MasterReplaced, ReplaceError> {
    let mut all = Vec::new();
    store.load(Revision::default(), &mut |record| all.push(record)).await?;
    let (mut of_old, mut of_new) = (MasterFit::default(), MasterFit::default());
    for record in &all {
        of_old.count(record, old);
        of_new.count(record, Some(new));
    }
    if of_new.opened > 0 {
        return Err(ReplaceError::NotNew);
    }
    if if_sealed == IfSealed::Refuse && !of_old.fits() {
        return Err(ReplaceError::Sealed(of_old.sealed.into_iter().collect()));
    }
    Ok(replace(store, all, old, new, now).await?)
}

async fn replace(
    store: &dyn Store,
    all: Vec<Record>,
    old: Option<&MasterKey>,
    new: &MasterKey,
    now: Timestamp,
) -> Result<MasterReplaced, AccessError> {
    let (mut rules, mut numbers) = (Vec::new(), BTreeMap::<TenantId, (u32, bool)>::new());
    let cause = Cause::command();
    let mut audit = vec![cause.draft(None, now, "master-key.replace", "server")];
    let (mut replaced, mut records) = (MasterReplaced::default(), Vec::new());
    for record in all {
        if let Record::Encryption(rules_of) = &record {
            rules.push(rules_of.clone());
        }
        let data_key =
            if let Record::DataKey(key) = &record { Some((key.workspace.clone(), key.number)) } else { None };
        let anew = match old.filter(|_| ended(record.clone(), now).is_some()) {
            Some(old) => rewrapped(&record, old, new, now)?,
            None => None,
        };
        let is_rewrapped = anew.is_some();
        if let Some((workspace, number)) = data_key {
            let newest = numbers.entry(workspace).or_default();
            *newest = if number > newest.0 { (number, is_rewrapped) } else { *newest };
        }
        if let Some(record) = anew {
            replaced.rewrapped += 1;
            records.push(record);
        } else if let Some(record) = ended(record, now) {
            replaced.ended += 1;
            replaced.data_keys_lost += usize::from(matches!(record, Record::DataKey(_)));
            audit.extend(told(&record, &cause, now));
            records.push(record);
        }
    }
    for EncryptionRules { workspace, .. } in rules.into_iter().filter(|rules| rules.paths.active().next().is_some()) {
        let (newest, is_usable) = numbers.get(&workspace).copied().unwrap_or_default();
        if !is_usable {
            let number = newest.saturating_add(1);
            let wrapped = data_keys::wrap(new, &workspace, number, &bytes()?, bytes()?)?.into();
            audit.push(cause.draft(Some(&workspace), now, "data-key.create", format!("data-key:{number}")));
            let versioned = domain::access::record::Versioned::new(now);
            records.push(Record::DataKey(DataKeyRecord { workspace, number, wrapped, destroyed: None, versioned }));
        }
    }
    let of_tokens = token_keys::generate(new, now)?;
    audit.push(cause.draft(None, now, "token-key.rotate", format!("token-key:{}", of_tokens.kid)));
    records.push(Record::TokenKey(of_tokens));
    store.commit(&RegisterCommit { records, audit, ..RegisterCommit::default() }).await?;
    Ok(replaced)
}

/// What the audit log says of a record that has ended, if it is of a workspace's.
fn told(record: &Record, cause: &Cause, now: Timestamp) -> Option<domain::access::audit::AuditDraft> {
    Some(match record {
        Record::ApiKey(key) => cause.draft(key.workspace.as_ref(), now, "key.revoke", format!("key:{}", key.id)),
        Record::SigningSecret(secret) => {
            cause.draft(Some(&secret.workspace), now, "secret.revoke", format!("secret:{}", secret.id))
        }
        Record::DataKey(key) => {
            cause.draft(Some(&key.workspace), now, "data-key.destroy", format!("data-key:{}", key.number))
        }
        _ => return None,
    })
}

/// A record in its next version, wrapped under `new`, if it is wrapped at all and `old` opens it.
fn rewrapped(record: &Record, old: &MasterKey, new: &MasterKey, now: Timestamp) -> Result<Option<Record>, AccessError> {
    Ok(match record {
        Record::DataKey(key) => match data_keys::unwrap(old, key) {
            Ok(opened) => {
                let wrapped = data_keys::wrap(new, &key.workspace, key.number, &opened, bytes()?)?.into();
                let versioned = key.versioned.next(now);
                Some(Record::DataKey(DataKeyRecord { wrapped, versioned, ..key.clone() }))
            }
            Err(_) => None,
        },
        Record::SigningSecret(secret) => match secrets::unwrap(old, secret) {
            Ok(opened) => {
                let wrapped = secrets::wrap(new, secret.id, &opened, bytes()?)?.into();
                let versioned = secret.versioned.next(now);
                Some(Record::SigningSecret(SigningSecret { wrapped, versioned, ..secret.clone() }))
            }
            Err(_) => None,
        },
        _ => None,
    })
}

/// A record after its end, if it needs the master key and has not ended.
fn ended(record: Record, now: Timestamp) -> Option<Record> {
    match record {
        Record::ApiKey(key) if key.origin == KeyOrigin::Registered && key.revoked.is_none() => {
            Some(Record::ApiKey(ApiKey { revoked: Some(now), versioned: key.versioned.next(now), ..key }))
        }
        Record::SigningSecret(secret) if secret.revoked.is_none() => {
            let versioned = secret.versioned.next(now);
            Some(Record::SigningSecret(SigningSecret { revoked: Some(now), versioned, ..secret }))
        }
        Record::Session(session) if matches!(session.kind, SessionKind::Tokens(_)) && session.ended.is_none() => {
            Some(Record::Session(Session { ended: Some(now), versioned: session.versioned.next(now), ..session }))
        }
        Record::TokenKey(key) if !key.wrapped.is_empty() => {
            // Nothing opens it any more; its tokens are not taken from now on.
            let retired = Some(Timestamp::from_micros(now.micros().saturating_sub(2 * RETIRED_S * MICROS_PER_SECOND)));
            let versioned = key.versioned.next(now);
            Some(Record::TokenKey(TokenKeyRecord { retired, wrapped: Vec::new().into(), versioned, ..key }))
        }
        Record::DataKey(key) if key.destroyed.is_none() => {
            let versioned = key.versioned.next(now);
            Some(Record::DataKey(DataKeyRecord { wrapped: Vec::new().into(), destroyed: Some(now), versioned, ..key }))
        }
        _ => None,
    }
}
