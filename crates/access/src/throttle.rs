//! How often someone may try to sign in. Three counts, each by itself:
//!
//! - **An address** (of IPv6 its /64) has 50 attempts and gets one back every 2 seconds, whatever they are for.
//! - **An account from one address**: after 5 failures the next attempt has to wait 1 second, then 2, 4, … up to
//!   15 minutes.
//! - **An account from all addresses**: after 20 failures the next attempt has to wait 1 second, then 2, 4, … up to
//!   30 seconds. Addresses from which the account has signed in within the last 7 days do not wait for this one.
//!
//! So who fails from one address delays only that address for long; who fails from many delays others by at most 30
//! seconds at a time, and not the person at the usual address. A success forgets the failures of the account and of
//! its pair with the address, an hour without attempts forgets any. An account is the text that was typed, so one
//! that does not exist counts as one that does.
//!
//! A refusal costs no more than the request around it, which is much when somebody sends them without pause: beyond a
//! hundred at once, refusals are answered one every 5 ms, each in its turn, and none later than after a second.
//!
//! Every attempt counts as a failure until it is said to have succeeded, so attempts at the same moment do not slip
//! through. All is in memory and bounded: what would be forgotten anyway makes room first, then counts of at most 5
//! failures that are a minute old, then the usual addresses. When all 100,000 counts are others, attempts of those
//! without a count share one rate of 10 each second.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use domain::limits::LOGIN_COUNTS_MAX;
use parking_lot::Mutex;

/// Attempts that an address has, and the time in which it gets one back.
const OF_ADDRESS: Rate = Rate { burst: 50, each: Duration::from_secs(2) };
/// Attempts that all without a count have together.
const SHARED: Rate = Rate { burst: 10, each: Duration::from_millis(100) };
/// Refusals that are answered at once, and the time in which one more is.
const REFUSALS: Rate = Rate { burst: 100, each: Duration::from_millis(5) };
/// Longest that a refusal waits for its turn.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Failures of an account from one address.
const OF_PAIR: Delays = Delays { free: 5, longest: Duration::from_secs(15 * 60) };
/// Failures of an account from all addresses.
const OF_ACCOUNT: Delays = Delays { free: 20, longest: Duration::from_secs(30) };
/// Wait after the first failure that is not free.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Failures are forgotten this long after the last.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// A count of no more failures than are free makes room for others this long after the last.
const ROOM_AFTER: Duration = Duration::from_secs(60);
/// An address is a usual one of an account for this long.
const USUAL_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A full table is searched for room no more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Counts that one attempt may add.
const COUNTS_OF_ATTEMPT: usize = 3;

/// The counts of attempts to sign in. Times are readings of one clock that never steps back.
pub struct LoginThrottle {
    counts: Mutex<Counts>,
}

struct Counts {
    max: usize,
    by_key: HashMap<Key, Count>,
    shared_until: Duration,
    refusals_until: Duration,
    swept_at: Option<Duration>,
}

/// A hash of what is counted: of a fixed size, whatever was typed.
type Key = [u8; 16];

#[derive(Debug, Clone, Copy)]
enum Count {
    /// Attempts of an address: when all will be back.
    Attempts { full_at: Duration },
    /// Failures of an account or of a pair, and when the last was.
    Failures { failures: u32, at: Duration },
    /// The account signed in from there.
    Usual { at: Duration },
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self::with_max(LOGIN_COUNTS_MAX)
    }
}

impl LoginThrottle {
    fn with_max(max: usize) -> Self {
        let counts = Counts {
            max,
            by_key: HashMap::new(),
            shared_until: Duration::ZERO,
            refusals_until: Duration::ZERO,
            swept_at: None,
        };
        Self { counts: Mutex::new(counts) }
    }

    /// Asks for an attempt, which counts as a failure until [`LoginThrottle::succeeded`] says otherwise. `account` is
    /// what was typed, in the form in which accounts are looked up.
    ///
    /// # Errors
    /// The time to wait before the next attempt; nothing has been counted then.
    pub fn attempt(&self, account: &str, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let keys = Keys::of(account, address);
        let mut counts = self.counts.lock();
        let wait = counts.wait(&keys, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        if !counts.has_room(COUNTS_OF_ATTEMPT, now) {
            counts.shared_until = SHARED.take(counts.shared_until, now)?;
        }
        let full_at = OF_ADDRESS.take(counts.full_at(&keys.address), now)?;
        counts.put(keys.address, Count::Attempts { full_at });
        for key in [keys.account, keys.pair] {
            let failures = counts.failures(&key, now).map_or(0, |(failures, _)| failures).saturating_add(1);
            counts.put(key, Count::Failures { failures, at: now });
        }
        Ok(())
    }

    /// How long the answer to an attempt that is refused waits for its turn.
    pub fn refused(&self, now: Duration) -> Duration {
        let mut counts = self.counts.lock();
        let (until, wait) = REFUSALS.take_in_turn(counts.refusals_until, now, REFUSAL_WAIT_MAX);
        counts.refusals_until = until;
        wait
    }

    /// The attempt succeeded: the account's failures are forgotten, and those of its pair with the address, which is
    /// a usual one from now on.
    pub fn succeeded(&self, account: &str, address: IpAddr, now: Duration) {
        let keys = Keys::of(account, address);
        let mut counts = self.counts.lock();
        counts.by_key.remove(&keys.account);
        counts.by_key.remove(&keys.pair);
        counts.put(keys.usual, Count::Usual { at: now });
    }

    /// The attempt was never decided, since too much was going on: it counts as a failure no more.
    pub fn undecided(&self, account: &str, address: IpAddr) {
        let keys = Keys::of(account, address);
        let mut counts = self.counts.lock();
        for key in [keys.account, keys.pair] {
            if let Some(Count::Failures { failures, .. }) = counts.by_key.get_mut(&key) {
                *failures = failures.saturating_sub(1);
            }
        }
    }
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginThrottle").finish_non_exhaustive()
    }
}

impl Counts {
    /// How long the attempt has to wait, zero when it need not.
    fn wait(&self, keys: &Keys, now: Duration) -> Duration {
        let of_address = OF_ADDRESS.take(self.full_at(&keys.address), now).err().unwrap_or_default();
        let of_pair = OF_PAIR.wait(self.failures(&keys.pair, now), now);
        let is_usual = self.by_key.get(&keys.usual).is_some_and(|count| !count.is_over(now));
        let of_account =
            if is_usual { Duration::ZERO } else { OF_ACCOUNT.wait(self.failures(&keys.account, now), now) };
        of_address.max(of_pair).max(of_account)
    }

    fn full_at(&self, key: &Key) -> Duration {
        match self.by_key.get(key) {
            Some(Count::Attempts { full_at }) => *full_at,
            _ => Duration::ZERO,
        }
    }

    fn failures(&self, key: &Key, now: Duration) -> Option<(u32, Duration)> {
        match self.by_key.get(key) {
            Some(count @ Count::Failures { failures, at }) if !count.is_over(now) => Some((*failures, *at)),
            _ => None,
        }
    }

    /// Whether there is room for as many more, made if need be.
    fn has_room(&mut self, more: usize, now: Duration) -> bool {
        if self.by_key.len() + more <= self.max {
            return true;
        }
        if self.swept_at.is_some_and(|at| now.saturating_sub(at) < SWEEP_EVERY) {
            return false;
        }
        self.swept_at = Some(now);
        self.by_key.retain(|_, count| !count.is_over(now));
        // Room for a while, not only for this one.
        if self.by_key.len() > self.max / 2 {
            self.by_key.retain(|_, count| !count.is_slight(now));
        }
        if self.by_key.len() + more > self.max {
            self.by_key.retain(|_, count| !matches!(count, Count::Usual { .. }));
        }
        self.by_key.len() + more <= self.max
    }

    /// Counts, if it is counted already or there is room.
    fn put(&mut self, key: Key, count: Count) {
        let has_room = self.by_key.len() < self.max;
        if let Some(known) = self.by_key.get_mut(&key) {
            *known = count;
        } else if has_room {
            self.by_key.insert(key, count);
        }
    }
}

impl Count {
    /// Whether it says no more than no count.
    fn is_over(&self, now: Duration) -> bool {
        match self {
            Self::Attempts { full_at } => *full_at <= now,
            Self::Failures { failures, at } => *failures == 0 || now.saturating_sub(*at) >= FORGOTTEN_AFTER,
            Self::Usual { at } => now.saturating_sub(*at) >= USUAL_FOR,
        }
    }

    /// Whether forgetting it gives little away: to fill the table with such counts again and again takes more
    /// attempts than are decided in that time.
    fn is_slight(&self, now: Duration) -> bool {
        let is_settled = |at: &Duration| now.saturating_sub(*at) >= ROOM_AFTER;
        matches!(self, Self::Failures { failures, at } if *failures <= OF_PAIR.free && is_settled(at))
    }
}

/// So many at once, and one more after each while.
struct Rate {
    burst: u32,
    each: Duration,
}

impl Rate {
    /// Takes one: when all will be back, or how long until there is one.
    fn take(&self, full_at: Duration, now: Duration) -> Result<Duration, Duration> {
        let after = full_at.max(now).saturating_add(self.each);
        let all = self.each.saturating_mul(self.burst);
        match after.saturating_sub(now).checked_sub(all) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(after),
        }
    }

    /// Takes one ahead of time, if need be: when all will be back, and how long until there is this one, at most
    /// `longest`.
    fn take_in_turn(&self, full_at: Duration, now: Duration, longest: Duration) -> (Duration, Duration) {
        let all = self.each.saturating_mul(self.burst);
        let after = full_at.max(now).saturating_add(self.each).min(now.saturating_add(all).saturating_add(longest));
        (after, after.saturating_sub(now).saturating_sub(all))
    }
}

/// So many failures are free; after each further one the wait is twice as long.
struct Delays {
    free: u32,
    longest: Duration,
}

impl Delays {
    fn wait(&self, failures: Option<(u32, Duration)>, now: Duration) -> Duration {
        let Some((failures, at)) = failures else { return Duration::ZERO };
        let Some(dear) = failures.checked_sub(self.free) else { return Duration::ZERO };
        let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(dear)).min(self.longest);
        at.saturating_add(delay).saturating_sub(now)
    }
}

/// What an attempt is counted under.
struct Keys {
    address: Key,
    account: Key,
    pair: Key,
    usual: Key,
}

impl Keys {
    fn of(account: &str, address: IpAddr) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => [&[4], address.octets().as_slice()].concat(),
            IpAddr::V6(address) => [&[6], &address.octets()[..8]].concat(),
        };
        // The network has a length of its own kind and stands first, so that no two are the same bytes.
        let key = |kind: u8, network: &[u8], account: &str| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&[kind]).update(network).update(account.as_bytes());
            let mut key = [0; 16];
            hasher.finalize_xof().fill(&mut key);
            key
        };
        Self {
            address: key(0, &network, ""),
            account: key(1, &[], account),
            pair: key(2, &network, account),
            usual: key(3, &network, account),
        }
    }
}

#[cfg(test)]
mod tests;
