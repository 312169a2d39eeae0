//! Knowing what other processes over the same store have changed: how a process looks, when it does so at once, and how
//! long it has not known.

use std::time::Duration;

use domain::limits::{REGISTER_SEEK_INTERVAL, REGISTER_SEEK_WAIT_MAX, REGISTER_STALENESS_MAX};
use ports::PortError;
use ports::register::Revision;

use super::AccessControl;

impl AccessControl {
    /// Takes what other processes have changed.
    pub(super) async fn look(&self, revision: &mut Revision) -> Result<(), PortError> {
        // What is changed from here on may be missed.
        let began = self.clock.monotonic();
        let mut records = Vec::new();
        let now = self.store.load(*revision, &mut |record| records.push(record)).await?;
        self.take(records);
        *revision = now;
        if let Some(known_at) = &mut *self.known_at.lock() {
            *known_at = began;
        }
        Ok(())
    }

    /// Takes what other processes have changed by now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh(&self) -> Result<(), PortError> {
        let mut revision = self.changing.lock().await;
        self.look(&mut revision).await
    }

    /// Takes what other processes have changed by now because something is asked for that is unknown here, unless that
    /// was done within the last [`REGISTER_SEEK_INTERVAL`]: whoever makes credentials up must not keep the store busy.
    /// Says whether it may be known now.
    pub(super) async fn seek(&self) -> bool {
        let seeking = async {
            let Ok(mut sought_at) = self.sought_at.try_lock() else {
                // Another request looks: what it finds is for this one, too.
                drop(self.sought_at.lock().await);
                return true;
            };
            let now = self.clock.monotonic();
            if sought_at.is_some_and(|at| now.saturating_sub(at) < REGISTER_SEEK_INTERVAL) {
                return false;
            }
            *sought_at = Some(now);
            let looked = self.refresh().await;
            looked.inspect_err(|why| tracing::debug!(error = %why, "not looked for what is unknown")).is_ok()
        };
        tokio::select! {
            sought = seeking => sought,
            () = self.clock.sleep(REGISTER_SEEK_WAIT_MAX) => false,
        }
    }

    /// From now on this process knows what others change, and says so when it does not.
    pub(super) fn begin_to_look(&self) {
        *self.known_at.lock() = Some(self.clock.monotonic());
    }

    /// For how long others may have changed what this process does not know. Nothing for one that does not look.
    pub fn unknown_for(&self) -> Duration {
        let known_at = *self.known_at.lock();
        known_at.map_or(Duration::ZERO, |at| self.clock.monotonic().saturating_sub(at))
    }

    /// Why this process may let in whom another one has shut out, if it may.
    pub fn staleness(&self) -> Option<String> {
        let unknown_for = self.unknown_for();
        (unknown_for > REGISTER_STALENESS_MAX).then(|| {
            let bound = REGISTER_STALENESS_MAX.as_secs();
            format!(
                "not read for {} s, {bound} s are allowed: what was revoked meanwhile is taken",
                unknown_for.as_secs()
            )
        })
    }

    /// Why nothing of the register can be changed any more before a restart, if that is so.
    pub fn poisoned(&self) -> Option<String> {
        self.store.poisoned()
    }
}
