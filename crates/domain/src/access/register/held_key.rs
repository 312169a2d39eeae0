//! A key as the register holds it: its record, and beside it the time of its last use, which changes without the record.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::access::record::ApiKey;
use crate::limits::KEY_USE_INTERVAL;
use crate::time::Timestamp;

/// A key that was never used.
const NEVER: i64 = i64::MIN;

/// A key of the register, and when it was last used, in microseconds, which its record may not say yet.
#[derive(Debug)]
pub(super) struct HeldKey {
    pub(super) key: Arc<ApiKey>,
    used_us: AtomicI64,
}

impl HeldKey {
    /// A key in place of what was there before.
    pub(super) fn after(before: Option<Self>, key: ApiKey) -> Self {
        let noted = before.map_or(NEVER, |before| before.used_us.into_inner());
        let stored = key.last_used.map_or(NEVER, Timestamp::micros);
        Self { key: Arc::new(key), used_us: AtomicI64::new(noted.max(stored)) }
    }

    fn used(&self) -> Option<Timestamp> {
        let used_us = self.used_us.load(Ordering::Relaxed);
        (used_us != NEVER).then_some(Timestamp::from_micros(used_us))
    }

    /// The use that the record does not say yet.
    pub(super) fn unstored(&self) -> Option<Timestamp> {
        self.used().filter(|used| self.key.last_used.is_none_or(|stored| *used > stored))
    }

    /// Notes a use, unless one of almost the same time is noted.
    pub(super) fn note_use(&self, now: Timestamp) {
        let interval_us = i64::try_from(KEY_USE_INTERVAL.as_micros()).unwrap_or(i64::MAX);
        let noted = self.used_us.load(Ordering::Relaxed);
        if noted == NEVER || now.micros().saturating_sub(noted) >= interval_us {
            self.used_us.fetch_max(now.micros(), Ordering::Relaxed);
        }
    }
}
