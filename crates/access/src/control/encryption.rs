//! What a workspace encrypts, and the keys for it. The first path makes the first key; a rotation makes the next one,
//! and what older ones have encrypted stays readable until all are destroyed.

use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::Cause;
use domain::access::principal::Principal;
use domain::access::record::{DataKeyRecord, EncryptionRules, Record, Versioned};
use domain::access::register::Register;
use domain::access::rights::Permission;
use domain::encryption::{EncryptedPath, EncryptedPaths, FieldEncryption, Lens};
use domain::limits::DATA_KEYS_MAX;
use domain::query::PropertyPath;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::encryption::Encryption;
use ports::{ErrorKind, PortError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{AccessControl, By, CreationKey, Plan, check_version};
use crate::data_keys::{DATA_KEY_BYTES, wrap};
use crate::failure::AccessError;
use crate::master_key::MasterKey;
use crate::random::bytes;

/// A change of what is encrypted: what is given replaces what holds.
#[derive(Debug, Clone, Default)]
pub struct EncryptionChange {
    /// The paths at which new events are encrypted, each with whether it is deterministic.
    pub paths: Option<Vec<(PropertyPath, bool)>>,
    /// Whether paths may be deterministic.
    pub allows_deterministic: Option<bool>,
}

impl AccessControl {
    /// Changes what a workspace encrypts. Events that are there stay as they are.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_encryption(
        self: &Arc<Self>,
        by: &By,
        change: EncryptionChange,
        version: Option<u64>,
    ) -> Result<Arc<EncryptionRules>, AccessError> {
        let workspace = by.workspace()?.clone();
        let new = NewKey::new()?;
        self.change_by(by, |register, now| {
            let known = register.encryption(&workspace);
            check_version(version, known.map_or(0, |rules| rules.versioned.version))?;
            let before = known.map_or_else(|| rules_of(&workspace, now), |rules| EncryptionRules::clone(rules));
            let mut after = before.clone();
            if let Some(paths) = &change.paths {
                after.paths = before.paths.replaced(paths).map_err(AccessError::Paths)?;
            }
            after.allows_deterministic = change.allows_deterministic.unwrap_or(before.allows_deterministic);
            if !after.allows_deterministic && after.paths.active().any(|path| path.is_deterministic) {
                return Err(AccessError::NoDeterministicPaths);
            }
            if after == before && known.is_some() {
                return Ok((Plan::default(), Arc::new(before)));
            }
            after.versioned = known.map_or(Versioned::new(now), |rules| rules.versioned.next(now));
            let draft = by.cause.draft(Some(&workspace), now, "encryption.change", "encryption");
            let draft = draft.changing(known.map(|rules| describe(rules)), Some(describe(&after)));
            let mut plan = Plan::of(Record::Encryption(after.clone()), draft);
            let is_needed = after.paths.active().next().is_some();
            if is_needed && register.data_keys(&workspace).all(|key| key.destroyed.is_some()) {
                new.add(&mut plan, &self.master, register, &workspace, &by.cause, now)?;
            }
            Ok((plan, Arc::new(after)))
        })
        .await
    }

    /// Makes the next version of a workspace's data key, which encrypts from now on: its number. The repetition of a
    /// request makes no other one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate_data_key(self: &Arc<Self>, by: &By, repeated: Option<CreationKey>) -> Result<u32, AccessError> {
        let workspace = by.workspace()?.clone();
        let new = NewKey::new()?;
        self.change_by(by, |register, now| {
            if let Some(made) = repeated.map(|key| key.made(register, now)).transpose()?.flatten() {
                let made = made.parse().map_err(|_| AccessError::NotFound("data key"))?;
                return Ok((Plan::default(), made));
            }
            if register.data_keys(&workspace).all(|key| key.destroyed.is_some()) {
                return Err(AccessError::State("the workspace has no data key: encrypt a property first"));
            }
            let mut plan = Plan::default();
            let number = new.add(&mut plan, &self.master, register, &workspace, &by.cause, now)?;
            let repeated = repeated.map(|key| key.record(Some(&workspace), &number.to_string(), now));
            Ok((plan.and(repeated), number))
        })
        .await
    }

    /// The rules of a workspace, and the number of its newest key that was not destroyed.
    pub fn encryption_rules(&self, scope: &TenantScope) -> (Arc<EncryptionRules>, Option<u32>) {
        let register = self.register.read();
        let rules = register.encryption(scope.tenant()).cloned();
        let rules = rules.unwrap_or_else(|| Arc::new(rules_of(scope.tenant(), Timestamp::from_micros(0))));
        let key = register.data_keys(scope.tenant()).filter(|key| key.destroyed.is_none()).last();
        (rules, key.map(|key| key.number))
    }

    /// How one who was let in sees encrypted values of the workspace.
    pub fn lens(&self, principal: &Principal) -> Lens {
        let scope = principal.workspace.as_ref().filter(|_| principal.rights.allow(Permission::Decrypt));
        let encryption = scope.and_then(|scope| self.field_encryption(scope));
        encryption.map_or(Lens::HIDING, |encryption| encryption.lens())
    }

    /// As [`Encryption::of`].
    pub fn field_encryption(&self, scope: &TenantScope) -> Option<Arc<FieldEncryption>> {
        self.ciphers.of(scope.tenant())
    }

    async fn destroy(self: &Arc<Self>, workspace: &TenantId, cause: &Cause) -> Result<(), AccessError> {
        self.change_any(|register, now| {
            let mut plan = Plan::default();
            for key in register.data_keys(workspace).filter(|key| key.destroyed.is_none()) {
                let target = format!("data-key:{}", key.number);
                plan.audit.push(cause.draft(Some(workspace), now, "data-key.destroy", target));
                plan.records.push(Record::DataKey(DataKeyRecord {
                    wrapped: Vec::new().into(),
                    destroyed: Some(now),
                    versioned: key.versioned.next(now),
                    ..key.clone()
                }));
            }
            if let Some(rules) = register.encryption(workspace).filter(|rules| rules.paths.active().next().is_some()) {
                let mut after = EncryptionRules::clone(rules);
                let idle = |path: &EncryptedPath| EncryptedPath { is_active: false, ..path.clone() };
                after.paths = EncryptedPaths::stored(after.paths.all().iter().map(idle).collect());
                after.versioned = rules.versioned.next(now);
                let draft = cause.draft(Some(workspace), now, "encryption.change", "encryption");
                plan.audit.push(draft.changing(Some(describe(rules)), Some(describe(&after))));
                plan.records.push(Record::Encryption(after));
            }
            Ok((plan, ()))
        })
        .await
    }
}

/// The register as the port of those that encrypt and decrypt.
#[derive(Debug, Clone)]
pub struct EncryptionOfRegister(pub Arc<AccessControl>);

#[async_trait]
impl Encryption for EncryptionOfRegister {
    fn of(&self, scope: &TenantScope) -> Option<Arc<FieldEncryption>> {
        self.0.field_encryption(scope)
    }

    async fn destroy_data_key(&self, scope: &TenantScope, cause: &Cause) -> Result<(), PortError> {
        self.0.destroy(scope.tenant(), cause).await.map_err(|why| match why {
            AccessError::Store(why) => why,
            AccessError::Raced => PortError::new(ErrorKind::Conflict, "destroy the data key"),
            why => PortError::new(ErrorKind::Unavailable, "destroy the data key").because(why),
        })
    }
}

/// A workspace that has decided nothing.
fn rules_of(workspace: &TenantId, now: Timestamp) -> EncryptionRules {
    EncryptionRules {
        workspace: workspace.clone(),
        paths: EncryptedPaths::default(),
        allows_deterministic: true,
        versioned: Versioned { version: 0, ..Versioned::new(now) },
    }
}

/// A key to be made, before it is known which version it is.
struct NewKey {
    key: Zeroizing<[u8; DATA_KEY_BYTES]>,
    nonce: [u8; 12],
}

impl NewKey {
    fn new() -> Result<Self, AccessError> {
        Ok(Self { key: Zeroizing::new(bytes()?), nonce: bytes()? })
    }

    /// Puts it into a plan as the next version; its number.
    fn add(
        &self,
        plan: &mut Plan,
        master: &MasterKey,
        register: &Register,
        workspace: &TenantId,
        cause: &Cause,
        now: Timestamp,
    ) -> Result<u32, AccessError> {
        let number = 1 + register.data_keys(workspace).last().map_or(0, |key| key.number);
        if register.data_keys(workspace).filter(|key| key.destroyed.is_none()).count() >= DATA_KEYS_MAX {
            return Err(AccessError::State(
                "the workspace has as many versions of its data key as one may have: no further one is made, and the \
                 newest goes on encrypting",
            ));
        }
        let wrapped = wrap(master, workspace, number, &self.key, self.nonce)?.into();
        let record = DataKeyRecord {
            workspace: workspace.clone(),
            number,
            wrapped,
            destroyed: None,
            versioned: Versioned::new(now),
        };
        plan.records.push(Record::DataKey(record));
        plan.audit.push(cause.draft(Some(workspace), now, "data-key.create", format!("data-key:{number}")));
        Ok(number)
    }
}

fn describe(rules: &EncryptionRules) -> String {
    let path = |path: &EncryptedPath| json!({ "path": path.path.to_string(), "deterministic": path.is_deterministic });
    let paths: Vec<Value> = rules.paths.active().map(path).collect();
    json!({ "paths": paths, "allow_deterministic": rules.allows_deterministic }).to_string()
}
