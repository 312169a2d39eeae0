//! What is done from time to time: looking for what other processes have changed, storing when keys were last used, and
//! removing what ended long ago.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::access::audit::Cause;
use domain::access::register::Register;
use domain::access::removal::Removal;
use domain::limits::{KEY_USES_AT_ONCE_MAX, KEY_USES_STORED_EVERY, REGISTER_STALENESS_MAX, REMOVED_AT_ONCE_MAX};
use domain::time::Timestamp;
use serde_json::json;

use super::{AccessControl, Plan, json};
use crate::failure::AccessError;

/// The longest that a process does not look, a third of what the port allows.
const LOOK_INTERVAL: Duration = Duration::from_secs(REGISTER_STALENESS_MAX.as_secs() / 3);
/// Time between two rounds of removing.
const REMOVE_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long after its removal is due a record is forgotten by processes that do not remove.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

impl AccessControl {
    /// Keeps the register of this process up to date for as long as this is polled.
    pub async fn keep_up(self: Arc<Self>) {
        self.begin_to_look();
        tokio::join!(self.keep_looking(), self.keep_storing_uses(), self.keep_forgetting());
    }

    async fn keep_looking(&self) {
        loop {
            self.clock.sleep(LOOK_INTERVAL).await;
            if let Err(why) = self.refresh().await {
                tracing::warn!(error = %why, "what others have changed in the register is not known");
            }
        }
    }

    async fn keep_storing_uses(&self) {
        loop {
            self.clock.sleep(KEY_USES_STORED_EVERY).await;
            self.store_uses().await;
        }
    }

    async fn keep_forgetting(&self) {
        loop {
            self.clock.sleep(REMOVE_INTERVAL).await;
            self.forget_ended();
        }
    }

    /// Forgets what another process has removed, which nobody tells of. A while later than that does it, so that what
    /// could not be removed yet is not forgotten here.
    fn forget_ended(&self) {
        if self.clock.doubt().is_some() {
            return;
        }
        let later_us = i64::try_from(FORGOTTEN_AFTER.as_micros()).unwrap_or(i64::MAX);
        let ended = self.register.read().ended(self.clock.now().plus_micros(-later_us));
        ended.chunks(REMOVED_AT_ONCE_MAX).for_each(|some| self.forget(some));
    }

    /// Removes what ended long ago from the store for as long as this is polled: the work of one process over a store.
    pub async fn keep_clearing(self: Arc<Self>) {
        loop {
            self.clock.sleep(LOOK_INTERVAL).await;
            if let Err(why) = self.remove_ended().await {
                tracing::warn!(error = %why, "what has ended in the register is not removed");
            }
            self.clock.sleep(REMOVE_INTERVAL).await;
        }
    }

    /// Stores when keys were last used. What cannot be stored is tried again the next time.
    pub async fn store_uses(&self) {
        let used = self.register.read().unstored_uses();
        for some in used.chunks(KEY_USES_AT_ONCE_MAX) {
            if let Err(why) = self.store.touch_keys(some).await {
                tracing::warn!(error = %why, keys = used.len(), "when keys were last used is not stored yet");
                return;
            }
            self.register.write().uses_stored(some);
        }
    }

    /// Removes what ended long ago, some at a time, with an entry in the server's audit log for each time.
    ///
    /// # Errors
    /// When the store cannot be written. What was removed before stays so.
    pub async fn remove_ended(self: &Arc<Self>) -> Result<(), AccessError> {
        if self.clock.doubt().is_some() {
            // Nothing is forgotten by a clock that is not believed.
            return Ok(());
        }
        let ended = self.register.read().ended(self.clock.now());
        for some in ended.chunks(REMOVED_AT_ONCE_MAX) {
            self.change(|register, now| Ok((removal_of(register, some, now), ()))).await?;
        }
        Ok(())
    }
}

/// The removal of those that still are to be removed.
fn removal_of(register: &Register, some: &[Removal], now: Timestamp) -> Plan {
    let removals: Vec<_> = some.iter().filter(|removal| register.is_ended(removal, now)).cloned().collect();
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for kind in removals.iter().filter_map(Removal::kind) {
        *counts.entry(kind).or_default() += 1;
    }
    let told = (!counts.is_empty()).then(|| {
        let draft = Cause::server().draft(None, now, "register.remove-ended", "server");
        draft.changing(json(&json!(counts)), None)
    });
    Plan { removals, audit: told.into_iter().collect(), ..Plan::default() }
}
