//! What tenants hold of something that all of them share: memory, or room in the backlog. A tenant may take more as
//! long as it then holds no more than is left to the others (dynamic thresholds: Choudhury and Hahne, 1998). So one
//! alone has half of all, of `n` who take what they can each has one part of `n + 1`, and the next always finds room.
//! A tenant that holds nothing gets what fits.

mod backlog;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use domain::tenant::TenantId;
use parking_lot::Mutex;

use crate::rate_limits::Network;

pub use backlog::BacklogShares;

/// What tenants hold of so many bytes.
#[derive(Debug)]
pub struct Shares {
    bytes_max: u64,
    /// Whether what one holds is bounded by what is left.
    is_fair: bool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: u64,
    /// Those who hold something.
    by_holder: HashMap<Holder, u64>,
}

/// Who holds something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A tenant.
    Tenant(TenantId),
    /// An address, or the network that it is one with.
    Network(Network),
    /// All who have shown a credential that could not be checked yet.
    Unproven,
    /// All others who are not known.
    Unknown,
}

impl Holder {
    /// Whoever sends from `address`.
    pub fn at(address: Option<IpAddr>) -> Self {
        Self::Network(address.map_or(Network::UNKNOWN, Network::of))
    }
}

impl From<Option<&TenantId>> for Holder {
    fn from(tenant: Option<&TenantId>) -> Self {
        tenant.map_or(Self::Unknown, |tenant| Self::Tenant(tenant.clone()))
    }
}

/// What one holds, until it is dropped.
#[derive(Debug)]
pub struct Share {
    of: Arc<Shares>,
    holder: Holder,
    bytes: u64,
}

impl Shares {
    /// Nobody holds anything.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, is_fair: true, held: Mutex::default() })
    }

    /// Nobody holds anything; whoever comes gets what is there, since something else bounds what one may ask for.
    pub fn first_come(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, is_fair: false, held: Mutex::default() })
    }

    /// Takes `bytes` for a tenant; `None` when it may not.
    pub fn take(self: &Arc<Self>, tenant: Option<&TenantId>, bytes: u64) -> Option<Share> {
        self.take_as(tenant.into(), bytes)
    }

    /// Takes `bytes` for a holder; `None` when it may not.
    pub fn take_as(self: &Arc<Self>, holder: Holder, bytes: u64) -> Option<Share> {
        let mut share = Share { of: Arc::clone(self), holder, bytes: 0 };
        share.grow(bytes).then_some(share)
    }

    /// Whether a tenant may take nothing more now.
    pub fn is_over(&self, tenant: Option<&TenantId>) -> bool {
        let held = self.held.lock();
        let own = held.by_holder.get(&Holder::from(tenant)).copied().unwrap_or(0);
        !self.allows(held.total, own, 1)
    }

    fn allows(&self, total: u64, own: u64, bytes: u64) -> bool {
        // What is larger than all of it has to fit too, alone.
        let Some(left) = self.bytes_max.checked_sub(total.saturating_add(bytes)) else { return total == 0 };
        own == 0 || !self.is_fair || own.saturating_add(bytes) <= left
    }
}

impl Share {
    /// Takes so many bytes more; says whether it may, as if all of it were taken now: what fits when it comes at once fits
    /// as well piece by piece.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let mut held = self.of.held.lock();
        let own = held.by_holder.get(&self.holder).copied().unwrap_or(0);
        let (others, besides) = (held.total.saturating_sub(self.bytes), own.saturating_sub(self.bytes));
        if !self.of.allows(others, besides, self.bytes.saturating_add(bytes)) {
            return false;
        }
        held.total += bytes;
        *held.by_holder.entry(self.holder.clone()).or_default() += bytes;
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.of.held.lock();
        held.total = held.total.saturating_sub(self.bytes);
        let holder = std::mem::replace(&mut self.holder, Holder::Unknown);
        if let Entry::Occupied(mut own) = held.by_holder.entry(holder) {
            *own.get_mut() = own.get().saturating_sub(self.bytes);
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str) -> Option<TenantId> {
        Some(TenantId::parse(name).unwrap())
    }

    /// Takes pieces until there is no more.
    fn flood(shares: &Arc<Shares>, name: &str, piece: u64) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(tenant(name).as_ref(), piece)).collect()
    }

    #[test]
    fn f43_one_alone_has_half_and_each_further_one_finds_room() {
        let shares = Shares::new(1_200);
        let a = flood(&shares, "a", 1);
        assert_eq!(a.len(), 600);
        let b = flood(&shares, "b", 1);
        assert_eq!(b.len(), 300);
        assert_eq!(flood(&shares, "c", 1).len(), 150);
        assert!(shares.is_over(tenant("a").as_ref()) && !shares.is_over(tenant("d").as_ref()));
        drop((a, b));
        assert_eq!(flood(&shares, "d", 1).len(), 600);
        assert!(shares.held.lock().by_holder.is_empty());
    }

    #[test]
    fn i6_whoever_holds_nothing_gets_what_fits_and_what_is_larger_than_all_gets_in_alone() {
        let shares = Shares::new(100);
        let (a, b) = (tenant("a"), tenant("b"));
        let larger = shares.take(a.as_ref(), 150).unwrap();
        assert!(shares.take(b.as_ref(), 1).is_none() && shares.take(a.as_ref(), 1).is_none());
        drop(larger);
        let held = shares.take(a.as_ref(), 60).unwrap();
        assert!(shares.take(a.as_ref(), 1).is_none());
        assert!(shares.take(b.as_ref(), 41).is_none());
        let other = shares.take(b.as_ref(), 40).unwrap();
        assert!(shares.take(None, 1).is_none());
        drop((held, other));
        assert!(shares.take(None, 100).is_some());
    }

    /// Found in November 2026: what grew was refused for what it held itself.
    #[test]
    fn i6_what_fits_at_once_fits_piece_by_piece() {
        let shares = Shares::new(100);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut one = shares.take(a.as_ref(), 40).unwrap();
        assert!(one.grow(50), "alone it has what there is, as one that comes at once");
        let mut other = shares.take(b.as_ref(), 5).unwrap();
        assert!(other.grow(5) && !other.grow(1) && !one.grow(1));
        drop(other);
        assert!(shares.take(a.as_ref(), 1).is_none(), "a second one of the same is held to what is left");
        drop(one);
        let (first, mut second) = (shares.take(a.as_ref(), 30).unwrap(), shares.take(a.as_ref(), 10).unwrap());
        assert!(second.grow(10) && !second.grow(1));
        drop(first);
    }

    proptest! {
        /// What is held never exceeds all, and one who takes what it can leaves as much as it holds.
        #[test]
        fn what_one_holds_is_left_to_the_others(steps in proptest::collection::vec((0_usize..3, 1_u64..40), 1..200)) {
            let shares = Shares::new(500);
            let mut held: Vec<(usize, Share)> = Vec::new();
            for (step, (who, bytes)) in steps.into_iter().enumerate() {
                if step % 5 == 4 && !held.is_empty() {
                    held.remove(step % held.len());
                    continue;
                }
                let had: u64 = held.iter().filter(|(of, _)| *of == who).map(|(_, share)| share.bytes).sum();
                if let Some(share) = shares.take(tenant(["a", "b", "c"][who]).as_ref(), bytes) {
                    held.push((who, share));
                    let total: u64 = held.iter().map(|(_, share)| share.bytes).sum();
                    prop_assert!(total <= 500);
                    prop_assert!(had == 0 || had + bytes <= 500 - total);
                }
            }
        }
    }
}
