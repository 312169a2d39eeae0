//! Numbers the users of one tenant: each user who has acted within the retention has a slot. The slot of a
//! user who has not goes to another user, the lowest first, so that after a crowd has gone the slots at the
//! end become free and their memory is given back.
//!
//! A user is known by 128 bits of a keyed hash of the name, so that one look into memory is enough; the
//! key is drawn at the start, so that no client can choose names that collide.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;

/// Memory that a slot takes, in bytes: the pointer to its name, its place among the free ones, and the
/// combination that the timeline keeps for it.
const SLOT_BYTES: usize = 24;
/// Memory that a user takes beside its name's text: reference counts and rounding.
const USER_BYTES: usize = 24;
/// Memory of an entry in the table, which is at most seven eighths full.
const ENTRY_BYTES: usize = (size_of::<UserEntry>() + 1) * 8 / 7;
/// A table or list that is less full than one part in this many is made smaller.
const FULL_MIN: usize = 4;

/// The slots of one tenant's users.
#[derive(Debug)]
pub(crate) struct Slots {
    users: HashTable<UserEntry>,
    hasher: SipHasher13,
    /// By slot; `None` when it is free.
    names: Vec<Option<Arc<str>>>,
    free: BinaryHeap<Reverse<u32>>,
    slots_max: usize,
    /// Length of the names of all users together.
    text_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct UserEntry {
    hash: (u64, u64),
    /// The latest second that the user acted in.
    latest: i64,
    slot: u32,
}

/// A user's slot: one that the user had, or one assigned now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assignment {
    Existing(u32),
    New(u32),
}

impl Slots {
    pub(crate) fn new(slots_max: usize) -> Self {
        let random = RandomState::new();
        Self {
            users: HashTable::new(),
            hasher: SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)),
            names: Vec::new(),
            free: BinaryHeap::new(),
            slots_max: slots_max.min(u32::MAX as usize),
            text_bytes: 0,
        }
    }

    /// The slot of `user`, who acts in `second`; `None` when there is none left.
    pub(crate) fn of(&mut self, user: &str, second: i64) -> Option<Assignment> {
        let hash = self.hasher.hash(user.as_bytes()).as_u64();
        if let Some(entry) = self.users.find_mut(hash.0, |entry| entry.hash == hash) {
            entry.latest = second.max(entry.latest);
            return Some(Assignment::Existing(entry.slot));
        }
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None if self.names.len() < self.slots_max => {
                self.names.push(None);
                u32::try_from(self.names.len() - 1).ok()?
            }
            None => return None,
        };
        self.names[slot as usize] = Some(Arc::from(user));
        self.text_bytes += user.len();
        self.users.insert_unique(hash.0, UserEntry { hash, latest: second, slot }, |entry| entry.hash.0);
        Some(Assignment::New(slot))
    }

    /// Frees the slots of users who have not acted since `floor`; returns the freed slots that still exist.
    pub(crate) fn sweep(&mut self, floor: i64) -> Vec<u32> {
        let mut freed = Vec::new();
        let (names, text_bytes) = (&mut self.names, &mut self.text_bytes);
        self.users.retain(|entry| {
            let stays = entry.latest >= floor;
            if !stays {
                let name = names[entry.slot as usize].take();
                *text_bytes -= name.map_or(0, |name| name.len());
                freed.push(entry.slot);
            }
            stays
        });
        if !freed.is_empty() {
            self.free.extend(freed.iter().copied().map(Reverse));
            self.shrink();
        }
        freed.retain(|slot| (*slot as usize) < self.names.len());
        freed
    }

    /// Removes the free slots at the end, and gives back memory of which little is used.
    fn shrink(&mut self) {
        let used = self.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if used < self.names.len() {
            self.names.truncate(used);
            self.free.retain(|Reverse(slot)| (*slot as usize) < used);
        }
        if self.users.len() < self.users.capacity() / FULL_MIN {
            self.users.shrink_to(self.users.len() * 2, |entry| entry.hash.0);
        }
        if self.names.len() < self.names.capacity() / FULL_MIN {
            self.names.shrink_to(self.names.len() * 2);
            self.free.shrink_to(self.names.len() * 2);
        }
    }

    /// How many slots there are, free ones included.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The users of the slots from `from` on, at most `count`.
    pub(crate) fn names(&self, from: usize, count: usize) -> Vec<Option<Arc<str>>> {
        self.names.iter().skip(from).take(count).cloned().collect()
    }

    /// The user in a slot.
    pub(crate) fn name(&self, slot: u32) -> Option<&str> {
        self.names.get(slot as usize)?.as_deref()
    }

    /// About the memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let names = self.text_bytes + self.users.len() * USER_BYTES;
        names + self.users.capacity() * ENTRY_BYTES + self.names.capacity() * SLOT_BYTES
    }
}
