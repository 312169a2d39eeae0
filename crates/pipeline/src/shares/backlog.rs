//! How much of the backlog is whose: the bytes of records that were journaled and not applied. A record that waits lies
//! behind those before it, whosever they are, so what one tenant may have there is what another may have to wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::position::Seq;
use domain::tenant::TenantId;
use parking_lot::Mutex;

use super::{Share, Shares};

/// How long nothing is applied until who has its share is refused for want of a worker, not for what it sends. Far longer
/// than a flush or a merge holds the worker: one tenant that floods meanwhile must not take the server from all others.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Whose the records are that wait. Those of an earlier process are nobody's.
#[derive(Debug)]
pub struct BacklogShares {
    shares: Arc<Shares>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    by_record: BTreeMap<Seq, Share>,
    applied: Seq,
    /// When something was applied, or began to wait.
    moved_at: Duration,
    /// Whether a tenant was refused since.
    has_refused: bool,
}

impl BacklogShares {
    /// Nothing waits that tenants are held to; records up to `applied` are applied.
    pub fn new(bytes_max: u64, applied: Seq) -> Self {
        let waiting = Waiting { by_record: BTreeMap::new(), applied, moved_at: Duration::ZERO, has_refused: false };
        Self { shares: Shares::new(bytes_max), waiting: Mutex::new(waiting) }
    }

    /// Whether so much of a tenant waits that no more of it is taken.
    pub fn is_over(&self, tenant: &TenantId) -> bool {
        let is_over = self.shares.is_over(Some(tenant));
        if is_over {
            self.waiting.lock().has_refused = true;
        }
        is_over
    }

    /// Takes room for a record of `bytes`; `None` when the tenant may not.
    pub fn take(&self, tenant: &TenantId, bytes: usize) -> Option<Share> {
        let share = self.shares.take(Some(tenant), bytes as u64);
        if share.is_none() {
            self.waiting.lock().has_refused = true;
        }
        share
    }

    /// Whether tenants are refused because nothing is applied any more.
    pub fn is_stuck(&self, now: Duration) -> bool {
        let waiting = self.waiting.lock();
        let stands = !waiting.by_record.is_empty() && now.saturating_sub(waiting.moved_at) >= STUCK_AFTER;
        stands && waiting.has_refused
    }

    /// The record that the room was taken for waits under this number.
    pub fn journaled(&self, seq: Seq, share: Share, now: Duration) {
        let mut waiting = self.waiting.lock();
        if waiting.by_record.is_empty() {
            waiting.moved_at = now;
        }
        // The worker may have been faster.
        if seq > waiting.applied {
            waiting.by_record.insert(seq, share);
        }
    }

    /// All records up to `through` wait no longer.
    pub fn applied(&self, through: Seq, now: Duration) {
        let done = {
            let mut waiting = self.waiting.lock();
            (waiting.moved_at, waiting.has_refused) = (now, false);
            waiting.applied = waiting.applied.max(through);
            let rest = waiting.by_record.split_off(&Seq(through.0.saturating_add(1)));
            std::mem::replace(&mut waiting.by_record, rest)
        };
        drop(done);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn i6_room_is_given_back_when_its_record_is_applied_even_before_that_is_known() {
        let a = TenantId::parse("a").unwrap();
        let (backlog, now) = (BacklogShares::new(100, Seq(7)), Duration::ZERO);
        let [first, second] = [8, 9].map(|seq| (Seq(seq), backlog.take(&a, 25).unwrap()));
        assert!(backlog.is_over(&a));
        backlog.journaled(second.0, second.1, now);
        backlog.applied(Seq(8), now);
        assert!(backlog.is_over(&a), "what is applied is not yet known to be that record");
        backlog.journaled(first.0, first.1, now);
        assert!(!backlog.is_over(&a));
        backlog.applied(Seq(9), now);
        assert!(backlog.take(&a, 50).is_some() && backlog.waiting.lock().by_record.is_empty());
    }

    /// Found in November 2026: a flush of a second and one workspace that flooded took the server from all others.
    #[test]
    fn i6_one_who_floods_while_the_worker_is_held_up_for_some_seconds_leaves_the_server_ready() {
        let a = TenantId::parse("a").unwrap();
        let (backlog, second) = (BacklogShares::new(100, Seq(7)), Duration::from_secs(1));
        backlog.journaled(Seq(8), backlog.take(&a, 50).unwrap(), Duration::ZERO);
        assert!(backlog.is_over(&a));
        assert!(!backlog.is_stuck(second * 9));
        assert!(backlog.is_stuck(second * 10));
    }

    #[test]
    fn f28_who_has_its_share_while_nothing_is_applied_shows_that_the_worker_is_stuck() {
        let a = TenantId::parse("a").unwrap();
        let (backlog, second) = (BacklogShares::new(100, Seq(7)), STUCK_AFTER);
        backlog.journaled(Seq(8), backlog.take(&a, 30).unwrap(), second);
        assert!(!backlog.is_stuck(second * 9), "nobody is refused");
        backlog.journaled(Seq(9), backlog.take(&a, 15).unwrap(), second * 9);
        assert!(!backlog.is_stuck(second * 9) && backlog.take(&a, 20).is_none());
        assert!(backlog.is_stuck(second * 9));
        backlog.applied(Seq(8), second * 10);
        backlog.journaled(Seq(10), backlog.take(&a, 35).unwrap(), second * 10);
        assert!(backlog.is_over(&a) && !backlog.is_stuck(second * 10), "it floods, and the worker works");
        assert!(backlog.is_stuck(second * 11));
    }
}
