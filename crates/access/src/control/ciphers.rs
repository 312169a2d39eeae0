//! The data keys of all workspaces, opened, beside the register that they are of. Asked once for each request.

use std::collections::HashMap;
use std::sync::Arc;

use domain::access::record::Record;
use domain::access::register::Register;
use domain::encryption::FieldEncryption;
use domain::tenant::TenantId;
use parking_lot::RwLock;

use crate::data_keys::WorkspaceCipher;
use crate::failure::AccessError;
use crate::master_key::{MasterKey, WrapError};

/// The ciphers of all workspaces that have a key.
#[derive(Debug, Default)]
pub(super) struct Ciphers(RwLock<HashMap<TenantId, Arc<FieldEncryption>>>);

impl Ciphers {
    /// Opens the keys of all workspaces.
    ///
    /// # Errors
    /// [`AccessError::DataKey`] for the first key that does not open.
    pub(super) fn open_all(&self, master: &MasterKey, register: &Register) -> Result<(), AccessError> {
        for workspace in register.workspaces_with_data_keys() {
            if let Some((number, why)) = self.open(master, register, workspace).into_iter().next() {
                return Err(AccessError::DataKey { workspace: workspace.clone(), number, why });
            }
        }
        Ok(())
    }

    /// What a workspace encrypts, and with what.
    pub(super) fn of(&self, workspace: &TenantId) -> Option<Arc<FieldEncryption>> {
        self.0.read().get(workspace).cloned()
    }

    /// Opens the keys of a workspace, in place of what was open of them. Says which do not open; the others are used.
    fn open(&self, master: &MasterKey, register: &Register, workspace: &TenantId) -> Vec<(u32, WrapError)> {
        let (cipher, failed) = WorkspaceCipher::open(master, workspace, register.data_keys(workspace));
        let paths = register.encryption(workspace).map(|rules| rules.paths.clone()).unwrap_or_default();
        self.0.write().insert(workspace.clone(), Arc::new(FieldEncryption::new(paths, Arc::new(cipher))));
        failed
    }

    /// Takes what has changed.
    pub(super) fn take(&self, master: &MasterKey, register: &Register, changed: &[TenantId]) {
        for workspace in changed {
            for (number, why) in self.open(master, register, workspace) {
                tracing::error!(%workspace, number, error = %why, "a data key in the register cannot be used");
            }
        }
    }
}

/// The workspace whose encryption a record is of.
pub(super) fn concerns(record: &Record) -> Option<&TenantId> {
    match record {
        Record::Encryption(rules) => Some(&rules.workspace),
        Record::DataKey(key) => Some(&key.workspace),
        _ => None,
    }
}
