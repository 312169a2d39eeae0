//! What of a register is of no use without the master key that it was made with, and the change to another one. Under the
//! old key what was wrapped is wrapped anew; what was hashed with it cannot be, and ends, and so does all of it when the
//! old key is lost.

use std::collections::BTreeMap;

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

/// Whether anything in the register is of no use without its master key.
///
/// # Errors
/// When the store cannot be read.
pub async fn needs_master(store: &dyn Store) -> Result<bool, PortError> {
    let mut needs = false;
    store.load(Revision::default(), &mut |record| needs |= ended(record, Timestamp::MIN).is_some()).await?;
    Ok(needs)
}

/// Whether the register holds a data key, without which properties can be neither encrypted nor read.
///
/// # Errors
/// When the store cannot be read.
pub async fn has_data_keys(store: &dyn Store) -> Result<bool, PortError> {
    let mut has = false;
    store.load(Revision::default(), &mut |record| has |= matches!(record, Record::DataKey(_))).await?;
    Ok(has)
}

/// Whether a master key opens what the register holds: the newest data key of each workspace, signing secrets, the keys of
/// access tokens.
///
/// # Errors
/// When the store cannot be read.
pub async fn opens(store: &dyn Store, master: &MasterKey) -> Result<bool, PortError> {
    let mut opens = true;
    store.load(Revision::default(), &mut |record| opens &= opens_record(master, &record)).await?;
    Ok(opens)
}

fn opens_record(master: &MasterKey, record: &Record) -> bool {
    match record {
        Record::DataKey(key) if key.destroyed.is_none() => data_keys::unwrap(master, key).is_ok(),
        Record::SigningSecret(secret) if secret.revoked.is_none() => secrets::unwrap(master, secret).is_ok(),
        Record::TokenKey(key) if !key.wrapped.is_empty() => token_keys::unwrap(master, key).is_ok(),
        _ => true,
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
/// codes under the old one. A workspace whose data key is lost and that still encrypts gets a new one.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn replace_master(
    store: &dyn Store,
    old: Option<&MasterKey>,
    new: &MasterKey,
    now: Timestamp,
) -> Result<MasterReplaced, AccessError> {
    let (mut all, mut rules, mut numbers) = (Vec::new(), Vec::new(), BTreeMap::<TenantId, (u32, bool)>::new());
    store.load(Revision::default(), &mut |record| all.push(record)).await?;
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
