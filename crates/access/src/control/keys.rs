//! API keys: making, registering, changing, rotating and revoking them. Nobody makes a key that may do more than the
//! key that it was made with.

use std::sync::Arc;

use domain::access::address::AddressRange;
use domain::access::ids::{ID_CHARS, KeyId};
use domain::access::key_text::{KEY_PREFIX, KeyPurpose, KeyText, SECRET_CHARS};
use domain::access::principal::{Refusal, Subject};
use domain::access::record::{ApiKey, KeyOrigin, Record, Versioned};
use domain::access::register::Register;
use domain::access::rights::{KeyScope, KeyScopes};
use domain::limits::{KEYS_KEPT_MAX, KEYS_MAX};
use domain::rate::Rate;
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde_json::json;

use super::creation::refuse_repeated;
use super::joining::check_may_let_decrypt;
use super::{AccessControl, By, CreationKey, Plan, check_name, check_version, json};
use crate::failure::AccessError;
use crate::random::base62;
use crate::secret_text::SecretText;

/// Shortest key that was made elsewhere, in bytes.
const REGISTERED_BYTES_MIN: usize = 8;
/// Longest key that was made elsewhere, in bytes.
const REGISTERED_BYTES_MAX: usize = 512;
/// Below so many bytes a key that was made elsewhere may be guessed.
const STRONG_BYTES_MIN: usize = 20;
/// Most ranges of addresses of one key.
const ADDRESSES_MAX: usize = 64;
/// Longest time that a rotated key goes on beside the new one, in seconds.
pub(crate) const OVERLAP_S_MAX: u32 = 30 * 24 * 3_600;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may be used for.
    pub scopes: KeyScopes,
    /// The one project that it is for.
    pub project: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Where it may be used from.
    pub addresses: Vec<AddressRange>,
    /// The word in its text.
    pub purpose: KeyPurpose,
    /// The text of a key that was made elsewhere, to be registered instead of a new one.
    pub registered: Option<SecretText>,
    /// Whether such a key may be so short that it could be guessed; it can then only send events.
    pub allows_weak: bool,
}

/// A change of a key: what is given replaces what holds.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// What people call it.
    pub name: Option<String>,
    /// When it ends.
    pub expires: Option<Option<Timestamp>>,
    /// Where it may be used from.
    pub addresses: Option<Vec<AddressRange>>,
    /// How many requests a second it may make; none: as many as the server says. For the operator alone.
    pub rate: Option<Option<Rate>>,
}

/// A key that was made. Its text cannot be had again.
#[derive(Debug, Clone)]
pub struct MadeKey {
    /// Its record.
    pub key: Arc<ApiKey>,
    /// Its text; none for one that was made elsewhere.
    pub text: Option<SecretText>,
}

impl AccessControl {
    /// Makes a key for a workspace, or for the operator when there is none.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_key(
        self: &Arc<Self>,
        by: &By,
        workspace: Option<&TenantId>,
        new: NewKey,
        repeated: Option<CreationKey>,
    ) -> Result<MadeKey, AccessError> {
        let text = Text::of(self, &new)?;
        let made = self.change_by(by, |register, now| {
            refuse_repeated(repeated, register, now)?;
            let key = new_key(register, by, workspace, &new, &text, now)?;
            let draft = by.cause.draft(workspace, now, "key.create", format!("key:{}", key.id));
            let draft = draft.changing(None, describe(&key));
            let plan = Plan::of(Record::ApiKey(key.clone()), draft);
            let plan = plan.and(repeated.map(|repeated| repeated.record(workspace, key.id.as_str(), now)));
            Ok((plan, MadeKey { key: Arc::new(key), text: text.shown() }))
        });
        let made = made.await;
        if let (Err(AccessError::Exists { field: "key", .. }), Text::Registered { id: _, hash, configured }) =
            (&made, &text)
        {
            self.note_held_text(by, workspace, hash, configured.as_ref()).await;
        }
        made
    }

    /// Changes a key of a workspace.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_key(
        self: &Arc<Self>,
        by: &By,
        workspace: Option<&TenantId>,
        id: &str,
        change: KeyChange,
        version: Option<u64>,
    ) -> Result<Arc<ApiKey>, AccessError> {
        self.change_by(by, |register, now| {
            let before = find(register, workspace, id)?;
            check_version(version, before.versioned.version)?;
            if before.revoked.is_some() {
                return Err(AccessError::State("a revoked key cannot be changed"));
            }
            check_within(register, by, before)?;
            if change.rate.is_some() && !by.principal.rights.is_operator {
                return Err(AccessError::Forbidden("only the operator of the server changes the limit of a key"));
            }
            let mut after = ApiKey::clone(&register.as_used(before));
            after.rate = change.rate.unwrap_or(after.rate);
            if let Some(name) = &change.name {
                after.name = check_name("name", name)?;
            }
            if let Some(expires) = change.expires {
                after.expires = check_expiry(expires, now)?;
            }
            if let Some(addresses) = &change.addresses {
                after.addresses = check_addresses(addresses)?;
            }
            if after == *register.as_used(before) {
                return Ok((Plan::default(), Arc::new(after)));
            }
            check_within(register, by, &after)?;
            // Another limit lets nobody see more.
            let is_limit_alone = change.name.is_none() && change.expires.is_none() && change.addresses.is_none();
            if !is_limit_alone {
                check_decrypting(by, &after)?;
            }
            after.versioned = before.versioned.next(now);
            let draft = by.cause.draft(workspace, now, "key.change", format!("key:{id}"));
            let draft = draft.changing(describe(before), describe(&after));
            Ok((Plan::of(Record::ApiKey(after.clone()), draft), Arc::new(after)))
        })
        .await
    }

    /// Revokes a key; it opens nothing from then on.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn revoke_key(
        self: &Arc<Self>,
        by: &By,
        workspace: Option<&TenantId>,
        id: &str,
        version: Option<u64>,
    ) -> Result<Arc<ApiKey>, AccessError> {
        self.change_by(by, |register, now| {
            let before = find(register, workspace, id)?;
            check_version(version, before.versioned.version)?;
            if before.revoked.is_some() {
                return Ok((Plan::default(), register.as_used(before)));
            }
            check_within(register, by, before)?;
            let versioned = before.versioned.next(now);
            let after = ApiKey { revoked: Some(now), versioned, ..ApiKey::clone(&register.as_used(before)) };
            let draft = by.cause.draft(workspace, now, "key.revoke", format!("key:{id}"));
            let draft = draft.changing(describe(before), describe(&after));
            Ok((Plan::of(Record::ApiKey(after.clone()), draft), Arc::new(after)))
        })
        .await
    }

    /// Makes a key that may do what an old one may, which goes on for `overlap_s` seconds.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate_key(
        self: &Arc<Self>,
        by: &By,
        workspace: Option<&TenantId>,
        id: &str,
        overlap_s: u32,
        version: Option<u64>,
        repeated: Option<CreationKey>,
    ) -> Result<MadeKey, AccessError> {
        if overlap_s > OVERLAP_S_MAX {
            return Err(AccessError::invalid(
                "overlap_sec",
                format!("must be a whole number from 0 to {OVERLAP_S_MAX}"),
            ));
        }
        let (fresh, secret) = (KeyId::parse(&base62(ID_CHARS)?), base62(SECRET_CHARS)?);
        self.change_by(by, |register, now| {
            refuse_repeated(repeated, register, now)?;
            let before = find(register, workspace, id)?;
            check_version(version, before.versioned.version)?;
            let KeyOrigin::Made(purpose) = before.origin else {
                return Err(AccessError::State("a key that was made elsewhere is rotated by registering the next one"));
            };
            let is_over = before.revoked.is_some() || before.expires.is_some_and(|expires| now >= expires);
            if is_over {
                return Err(AccessError::State("a key that has ended cannot be rotated; make a new one"));
            }
            check_within(register, by, before)?;
            // One that is revoked by this makes its room for the next.
            check_room(register, workspace, if overlap_s == 0 { KEYS_MAX + 1 } else { KEYS_MAX })?;
            check_decrypting(by, before)?;
            let text = fresh.ok().and_then(|fresh| KeyText::compose(purpose, fresh, &secret).ok());
            let text = text.ok_or(AccessError::State("no key could be made"))?;
            let overlap = i64::from(overlap_s) * MICROS_PER_SECOND;
            let until = Timestamp::from_micros(now.micros().saturating_add(overlap));
            let mut old = ApiKey::clone(before);
            old.versioned = before.versioned.next(now);
            match overlap_s {
                0 => old.revoked = Some(now),
                _ => old.expires = Some(old.expires.map_or(until, |expires| expires.min(until))),
            }
            let new = ApiKey {
                id: text.id(),
                hash: *blake3::hash(text.expose().as_bytes()).as_bytes(),
                created_by: by.cause.actor.to_string(),
                last_used: None,
                versioned: Versioned::new(now),
                ..ApiKey::clone(before)
            };
            let draft = by.cause.draft(workspace, now, "key.rotate", format!("key:{id}"));
            let after = json(&json!({ "successor": new.id.as_str(), "overlap_sec": overlap_s }));
            let mut plan = Plan::of(Record::ApiKey(old), draft.changing(describe(before), after));
            let created = by.cause.draft(workspace, now, "key.create", format!("key:{}", new.id));
            plan.audit.push(created.changing(None, describe(&new)));
            let plan = plan.and(Some(Record::ApiKey(new.clone())));
            let plan = plan.and(repeated.map(|repeated| repeated.record(workspace, new.id.as_str(), now)));
            Ok((plan, MadeKey { key: Arc::new(new), text: Some(text.expose().to_owned().into()) }))
        })
        .await
    }

    /// A key of a workspace, or of the operator.
    ///
    /// # Errors
    /// [`AccessError::NotFound`].
    pub fn key(&self, workspace: Option<&TenantId>, id: &str) -> Result<Arc<ApiKey>, AccessError> {
        let register = self.register.read();
        find(&register, workspace, id).map(|key| register.as_used(key))
    }
}

/// The text of a key to be made, and what it is found by.
enum Text {
    Made(KeyText, KeyPurpose),
    Registered {
        id: KeyId,
        hash: [u8; 32],
        /// Whose the text is by the configuration.
        configured: Option<TenantId>,
    },
}

impl Text {
    fn of(control: &AccessControl, new: &NewKey) -> Result<Self, AccessError> {
        let id = KeyId::parse(&base62(ID_CHARS)?).map_err(|why| AccessError::Failed("make a key", why.into()))?;
        let Some(text) = new.registered.as_ref().map(SecretText::expose) else {
            let text = KeyText::compose(new.purpose, id, &base62(SECRET_CHARS)?);
            return text
                .map(|text| Self::Made(text, new.purpose))
                .map_err(|why| AccessError::Failed("make a key", why.into()));
        };
        let refused = |why: &str| Err(AccessError::invalid("key", why));
        if text.starts_with(KEY_PREFIX) {
            return refused("must not begin with 'nm_': such keys are made here");
        }
        if !(REGISTERED_BYTES_MIN..=REGISTERED_BYTES_MAX).contains(&text.len()) {
            return refused("must have 8 to 512 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refused("must not hold spaces or control characters");
        }
        if looks_like_token(text) {
            return refused("must not have the form of a token");
        }
        let is_weak = text.len() < STRONG_BYTES_MIN;
        if is_weak && !new.allows_weak {
            return refused("has less than 20 bytes and may be guessed; allow a weak key to register it all the same");
        }
        if is_weak && new.scopes != KeyScopes::of(&[KeyScope::Ingest]) {
            return Err(AccessError::invalid("scopes", "must be 'ingest' alone for a key of less than 20 bytes"));
        }
        let configured = control.configured.authenticate(Some(text)).ok().map(|scope| scope.tenant().clone());
        Ok(Self::Registered { id, hash: control.master.hash_foreign_key(text), configured })
    }

    fn shown(&self) -> Option<SecretText> {
        match self {
            Self::Made(text, _) => Some(text.expose().to_owned().into()),
            Self::Registered { .. } => None,
        }
    }
}

/// Whether a text has the form of a JSON web token.
pub(super) fn looks_like_token(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn new_key(
    register: &Register,
    by: &By,
    workspace: Option<&TenantId>,
    new: &NewKey,
    text: &Text,
    now: Timestamp,
) -> Result<ApiKey, AccessError> {
    if workspace.is_some_and(|workspace| register.workspace(workspace).is_none()) {
        return Err(AccessError::NotFound("workspace"));
    }
    if (new.scopes == KeyScopes::NONE) != workspace.is_none() {
        return Err(AccessError::invalid(
            "scopes",
            "must name at least one of 'ingest', 'read', 'admin' and 'decrypt'",
        ));
    }
    if new.project.is_some() && new.scopes.contains(KeyScope::Admin) {
        return Err(AccessError::invalid("scopes", "must not hold 'admin' for a key that is bound to a project"));
    }
    let project = check_project(register, workspace, new.project.as_deref())?;
    check_room(register, workspace, KEYS_MAX)?;
    let (id, origin, hash) = match text {
        Text::Made(text, purpose) => {
            (text.id(), KeyOrigin::Made(*purpose), *blake3::hash(text.expose().as_bytes()).as_bytes())
        }
        Text::Registered { id, hash, configured } => {
            check_free(register, workspace, hash, configured.as_ref())?;
            (*id, KeyOrigin::Registered, *hash)
        }
    };
    let key = ApiKey {
        id,
        origin,
        hash,
        workspace: workspace.cloned(),
        project,
        name: check_name("name", &new.name)?,
        scopes: new.scopes,
        expires: check_expiry(new.expires, now)?,
        addresses: check_addresses(&new.addresses)?,
        rate: None,
        revoked: None,
        last_used: None,
        created_by: by.cause.actor.to_string(),
        versioned: Versioned::new(now),
    };
    check_within(register, by, &key)?;
    check_decrypting(by, &key)?;
    Ok(key)
}

/// Refuses one more key to a workspace that has `max` which were not revoked, or as many as it may with those that were.
fn check_room(register: &Register, workspace: Option<&TenantId>, max: usize) -> Result<(), AccessError> {
    if register.keys_kept(workspace) >= KEYS_KEPT_MAX {
        let why = "the workspace has as many keys as one may have with those that have ended, which are forgotten 30 \
                   days after their end";
        return Err(AccessError::State(why));
    }
    if register.has_room_for_key(workspace, max) {
        return Ok(());
    }
    Err(AccessError::State("the workspace has as many keys as one may have"))
}

/// Refuses a text that somebody holds: requests show it alone, so it can lead to one workspace only. Whose it is is
/// said of the workspace's own; of all others the answer is one, be it of another workspace or of the configuration.
fn check_free(
    register: &Register,
    workspace: Option<&TenantId>,
    hash: &[u8; 32],
    configured: Option<&TenantId>,
) -> Result<(), AccessError> {
    let registered = register.registered_key(hash).map(|key| key.workspace.as_ref());
    let why = match configured.map(Some).or(registered) {
        None => return Ok(()),
        Some(holder) if holder == workspace => "is a key of this workspace already",
        Some(_) => "cannot be registered: make another one",
    };
    Err(AccessError::Exists { field: "key", why })
}

/// The project that a credential is to be bound to, which has to be there.
pub(super) fn check_project(
    register: &Register,
    workspace: Option<&TenantId>,
    project: Option<&str>,
) -> Result<Option<Arc<str>>, AccessError> {
    let Some(id) = project else { return Ok(None) };
    let known = workspace.and_then(|workspace| register.project(workspace, id)).filter(|project| !project.is_removed);
    known
        .map(|project| Some(Arc::clone(&project.id)))
        .ok_or_else(|| AccessError::invalid("project", "is no project of the workspace; make it first"))
}

fn check_expiry(expires: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, AccessError> {
    if expires.is_some_and(|expires| expires <= now) {
        return Err(AccessError::invalid("expires", "must be in the future"));
    }
    Ok(expires)
}

fn check_addresses(addresses: &[AddressRange]) -> Result<Box<[AddressRange]>, AccessError> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(AccessError::invalid("addresses", format!("must be at most {ADDRESSES_MAX} ranges")));
    }
    Ok(addresses.into())
}

/// Refuses a key that may do more than the key that it is made or changed with: more scopes, a longer life, more
/// addresses.
fn check_within(register: &Register, by: &By, key: &ApiKey) -> Result<(), AccessError> {
    let Subject::Key(id) = &by.principal.subject else { return Ok(()) };
    let own = register.key(*id).ok_or(Refusal::UnknownKey)?;
    if own.workspace.is_none() && key.workspace.is_some() {
        // What a workspace's key may do, the operator's may not: it is no narrower one, but another.
        return Ok(());
    }
    if !own.scopes.covers(key.scopes) {
        return Err(AccessError::Forbidden("a key may only manage keys within its own scopes"));
    }
    if own.expires.is_some_and(|own| key.expires.is_none_or(|expires| expires > own)) {
        return Err(AccessError::Forbidden("a key may only manage keys that end with it or before"));
    }
    let is_within = |range: &AddressRange| own.addresses.iter().any(|own| own.covers(range));
    if !own.addresses.is_empty() && (key.addresses.is_empty() || !key.addresses.iter().all(is_within)) {
        return Err(AccessError::Forbidden("a key may only manage keys for its own addresses"));
    }
    Ok(())
}

/// Refuses a key that shows encrypted properties to all who may not let others see them. Whoever rotates or changes one
/// has its use.
fn check_decrypting(by: &By, key: &ApiKey) -> Result<(), AccessError> {
    if key.scopes.contains(KeyScope::Decrypt) { check_may_let_decrypt(by) } else { Ok(()) }
}

/// Refuses a signing secret, which sends events from anywhere, that may do more than the key that makes it.
pub(super) fn check_secret_within(register: &Register, by: &By, expires: Option<Timestamp>) -> Result<(), AccessError> {
    let Subject::Key(id) = &by.principal.subject else { return Ok(()) };
    let own = register.key(*id).ok_or(Refusal::UnknownKey)?;
    let is_longer = own.expires.is_some_and(|own| expires.is_none_or(|expires| expires > own));
    if !own.scopes.contains(KeyScope::Ingest) || !own.addresses.is_empty() || is_longer {
        let why =
            "a key may only manage signing secrets if it may send events from anywhere, and no longer than it lasts";
        return Err(AccessError::Forbidden(why));
    }
    Ok(())
}

fn find<'r>(register: &'r Register, workspace: Option<&TenantId>, id: &str) -> Result<&'r Arc<ApiKey>, AccessError> {
    let key = KeyId::parse(id).ok().and_then(|id| register.key(id));
    key.filter(|key| key.workspace.as_ref() == workspace).ok_or(AccessError::NotFound("key"))
}

/// What the audit log says of a key: everything but its hash.
fn describe(key: &ApiKey) -> Option<String> {
    let addresses: Vec<_> = key.addresses.iter().map(AddressRange::to_string).collect();
    json(&json!({
        "name": key.name,
        "scopes": key.scopes.iter().map(KeyScope::name).collect::<Vec<_>>(),
        "project": key.project.as_deref(),
        "expires": key.expires.map(|at| at.to_string()),
        "revoked": key.revoked.map(|at| at.to_string()),
        "addresses": addresses,
        "requests_per_sec": key.rate.map(Rate::get),
        "registered": key.origin == KeyOrigin::Registered,
    }))
}
