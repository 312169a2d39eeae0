//! Signing secrets as they were decrypted, so that not every signed request decrypts its own.

use std::sync::Arc;

use domain::access::ids::SecretId;
use domain::access::record::{Record, SigningSecret};
use domain::limits::SECRETS_OPENED_MAX;
use quick_cache::sync::Cache;

use crate::failure::AccessError;
use crate::signatures;

/// Signing secrets that were decrypted, each with the version of its record. The least used give way to others; what
/// gives way is wiped when the last request that holds it is done.
#[derive(Debug)]
pub(crate) struct OpenedSecrets(Cache<SecretId, (u64, Arc<signatures::SigningSecret>)>);

impl Default for OpenedSecrets {
    fn default() -> Self {
        Self(Cache::new(SECRETS_OPENED_MAX))
    }
}

impl OpenedSecrets {
    /// The secret of a record, decrypted with `open` if it is not there.
    pub(crate) fn get(
        &self,
        record: &SigningSecret,
        open: impl FnOnce() -> Result<signatures::SigningSecret, AccessError>,
    ) -> Result<Arc<signatures::SigningSecret>, AccessError> {
        let version = record.versioned.version;
        if let Some((_, known)) = self.0.get(&record.id).filter(|(known, _)| *known == version) {
            return Ok(known);
        }
        let opened = Arc::new(open()?);
        self.0.insert(record.id, (version, Arc::clone(&opened)));
        Ok(opened)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives up those whose records have changed: they may have been revoked.
    pub(crate) fn close(&self, changed: &[Record]) {
        for record in changed {
            if let Record::SigningSecret(secret) = record {
                self.0.remove(&secret.id);
            }
        }
    }
}
