//! What is done from time to time: looking for what other processes have changed, storing when keys were last used,
//! and forgetting what has expired.

use std::sync::Arc;

use domain::access::ids::KeyId;
use domain::time::{MICROS_PER_SECOND, Timestamp};

use super::{AccessControl, LOOK_INTERVAL};

/// How exactly it is known when a key was last used, in seconds.
const LAST_USED_S: i64 = 60;
/// How long what has expired is still kept, in seconds.
const KEPT_S: i64 = 7 * 24 * 3_600;
/// Looks between two rounds of forgetting.
const PURGE_LOOKS: u32 = 360;

impl AccessControl {
    /// Keeps the register up to date for as long as this is polled.
    pub async fn keep_up(self: Arc<Self>) {
        for look in 0_u32.. {
            self.clock.sleep(LOOK_INTERVAL).await;
            if let Err(why) = self.refresh().await {
                tracing::warn!(error = %why, "what others have changed in the register is not known");
            }
            self.store_uses().await;
            if look % PURGE_LOOKS == 0 {
                self.purge().await;
            }
        }
    }

    /// Notes that a key was used; stored later.
    pub(super) fn note_use(&self, key: KeyId, last: Option<Timestamp>, now: Timestamp) {
        let is_known = last.is_some_and(|last| now.micros() - last.micros() < LAST_USED_S * MICROS_PER_SECOND);
        if !is_known {
            self.register.write().touch(key, now);
            self.used.lock().insert(key, now);
        }
    }

    /// Stores when keys were last used.
    pub async fn store_uses(&self) {
        let used: Vec<_> = std::mem::take(&mut *self.used.lock()).into_iter().collect();
        if used.is_empty() {
            return;
        }
        if let Err(why) = self.store.touch_keys(&used).await {
            tracing::warn!(error = %why, keys = used.len(), "when keys were last used is not stored");
        }
    }

    async fn purge(&self) {
        let before = Timestamp::from_micros(self.clock.now().micros() - KEPT_S * MICROS_PER_SECOND);
        if self.clock.doubt().is_some() {
            // Nothing is forgotten by a clock that is not believed.
            return;
        }
        match self.store.purge(before).await {
            Ok(()) => self.register.write().purge(before),
            Err(why) => tracing::warn!(error = %why, "what has expired in the register is not removed"),
        }
    }
}
