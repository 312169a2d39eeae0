//! The data keys of all workspaces, opened, beside the register that they are of. Asked once for each request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::access::record::{DataKeyRecord, Record};
use domain::access::register::Register;
use domain::encryption::{EncryptedPaths, FieldEncryption};
use domain::tenant::TenantId;
use parking_lot::RwLock;

use crate::data_keys::WorkspaceCipher;
use crate::failure::AccessError;
use crate::master_key::MasterKey;

/// The ciphers of all workspaces that have a key.
#[derive(Debug, Default)]
pub(super) struct Ciphers(RwLock<HashMap<TenantId, Open>>);

/// What a workspace encrypts, and with what.
#[derive(Debug, Clone)]
struct Open {
    cipher: Arc<WorkspaceCipher>,
    encryption: Arc<FieldEncryption>,
}

impl Open {
    fn new(cipher: WorkspaceCipher, paths: EncryptedPaths) -> Self {
        let cipher = Arc::new(cipher);
        Self { encryption: Arc::new(FieldEncryption::new(paths, cipher.clone())), cipher }
    }
}

/// What the register is to say of the encryption of a workspace.
#[derive(Debug)]
pub(super) struct Changed {
    workspace: TenantId,
    paths: EncryptedPaths,
    keys: BTreeMap<u32, DataKeyRecord>,
}

/// What is open of a workspace, to be put in the place of what is in use.
#[derive(Debug)]
pub(super) struct Opened(Vec<(TenantId, Open)>);

impl Ciphers {
    /// Opens the keys of all workspaces.
    ///
    /// # Errors
    /// [`AccessError::DataKey`] for the first key that does not open.
    pub(super) fn open_all(&self, master: &MasterKey, register: &Register) -> Result<(), AccessError> {
        for workspace in register.workspaces_with_data_keys() {
            let (cipher, failed) = WorkspaceCipher::open(master, workspace, register.data_keys(workspace), None);
            if let Some((number, why)) = failed.into_iter().next() {
                return Err(AccessError::DataKey { workspace: workspace.clone(), number, why });
            }
            self.0.write().insert(workspace.clone(), Open::new(cipher, paths_of(register, workspace)));
        }
        Ok(())
    }

    /// What a workspace encrypts, and with what.
    pub(super) fn of(&self, workspace: &TenantId) -> Option<Arc<FieldEncryption>> {
        self.0.read().get(workspace).map(|open| Arc::clone(&open.encryption))
    }

    /// Opens the keys that have changed, beside the others that are open. Takes some time for each, so no lock that
    /// requests wait for may be held.
    pub(super) fn open(&self, master: &MasterKey, changed: Vec<Changed>) -> Opened {
        let open = |Changed { workspace, paths, keys }| {
            let known = self.0.read().get(&workspace).map(|open| Arc::clone(&open.cipher));
            let (cipher, failed) = WorkspaceCipher::open(master, &workspace, keys.values(), known.as_deref());
            for (number, why) in failed {
                tracing::error!(%workspace, number, error = %why, "a data key in the register cannot be used");
            }
            (workspace, Open::new(cipher, paths))
        };
        Opened(changed.into_iter().map(open).collect())
    }

    /// Uses what was opened from now on.
    pub(super) fn put(&self, Opened(opened): Opened) {
        if !opened.is_empty() {
            self.0.write().extend(opened);
        }
    }
}

/// What the register will say of the encryption that these records are of.
pub(super) fn changed(register: &Register, records: &[Record]) -> Vec<Changed> {
    let mut changed: BTreeMap<&TenantId, Changed> = BTreeMap::new();
    for record in records {
        let workspace = match record {
            Record::Encryption(rules) => &rules.workspace,
            Record::DataKey(key) => &key.workspace,
            _ => continue,
        };
        let of = changed.entry(workspace).or_insert_with(|| Changed {
            workspace: workspace.clone(),
            paths: paths_of(register, workspace),
            keys: register.data_keys(workspace).map(|key| (key.number, key.clone())).collect(),
        });
        match record {
            Record::Encryption(rules) => of.paths = rules.paths.clone(),
            Record::DataKey(key) => drop(of.keys.insert(key.number, key.clone())),
            _ => {}
        }
    }
    changed.into_values().collect()
}

fn paths_of(register: &Register, workspace: &TenantId) -> EncryptedPaths {
    register.encryption(workspace).map(|rules| rules.paths.clone()).unwrap_or_default()
}
