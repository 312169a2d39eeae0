//! When keys were last used. Noted beside the records, without holding up those who read them; stored now and then.

use std::sync::Arc;

use super::Register;
use super::held_key::HeldKey;
use crate::access::ids::KeyId;
use crate::access::record::ApiKey;
use crate::time::Timestamp;

impl Register {
    /// Notes that a key was used, unless a use of almost the same time is noted.
    pub fn note_use(&self, id: KeyId, now: Timestamp) {
        if let Some(held) = self.keys.get(&id) {
            held.note_use(now);
        }
    }

    /// A key with its last use, as it is shown.
    pub fn as_used(&self, key: &Arc<ApiKey>) -> Arc<ApiKey> {
        match self.keys.get(&key.id).and_then(HeldKey::unstored) {
            None => Arc::clone(key),
            last_used => Arc::new(ApiKey { last_used, ..ApiKey::clone(key) }),
        }
    }

    /// The uses that are noted and not stored.
    pub fn unstored_uses(&self) -> Vec<(KeyId, Timestamp)> {
        self.keys.iter().filter_map(|(id, held)| Some((*id, held.unstored()?))).collect()
    }

    /// Takes note that these uses are stored.
    pub fn uses_stored(&mut self, uses: &[(KeyId, Timestamp)]) {
        for (id, used) in uses {
            if let Some(held) = self.keys.get_mut(id) {
                let key = Arc::make_mut(&mut held.key);
                key.last_used = key.last_used.max(Some(*used));
            }
        }
    }
}
