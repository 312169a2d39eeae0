//! Users of one tenant as small numbers, for as long as they are needed. A slot whose user has not
//! acted within what is kept goes to somebody else, the lowest first, so that those at the end become
//! free after a crowd has gone and their memory is given back.
//!
//! A user is known by 128 bits of a keyed hash of the name, so that one look into memory is enough; the
//! key is drawn at the start, so that nobody can choose names that collide.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;

/// Memory that a slot takes, in bytes: the pointer to its name, its place among the free ones, and the
/// combination that the timeline keeps for it.
const SLOT_BYTES: usize = 24;
/// Memory that a user takes beside its name's text: what is counted in front of it, and its rounding.
const USER_BYTES: usize = 24;
/// Memory of a place in the table, which is at most seven eighths full.
const PLACE_BYTES: usize = (size_of::<Place>() + 1) * 8 / 7;
/// What is less full than one part in so many is made smaller.
const FULL_MIN: usize = 4;

/// Who has which slot.
#[derive(Debug)]
pub(crate) struct Slots {
    places: HashTable<Place>,
    hasher: SipHasher13,
    /// By slot; `None` when it is free.
    names: Vec<Option<Arc<str>>>,
    free: BinaryHeap<Reverse<u32>>,
    slots_max: usize,
    /// Of the names of all users.
    text_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: (u64, u64),
    /// The latest second that the user acted in.
    latest: i64,
    slot: u32,
}

/// A user's slot, and whether it was given just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Known(u32),
    New(u32),
}

impl Slots {
    pub(crate) fn new(slots_max: usize) -> Self {
        let random = RandomState::new();
        Self {
            places: HashTable::new(),
            hasher: SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)),
            names: Vec::new(),
            free: BinaryHeap::new(),
            slots_max: slots_max.min(u32::MAX as usize),
            text_bytes: 0,
        }
    }

    /// The slot of `user`, who acts in `second`; `None` when there is none left.
    pub(crate) fn of(&mut self, user: &str, second: i64) -> Option<Found> {
        let hash = self.hasher.hash(user.as_bytes()).as_u64();
        if let Some(place) = self.places.find_mut(hash.0, |place| place.hash == hash) {
            place.latest = second.max(place.latest);
            return Some(Found::Known(place.slot));
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
        self.places.insert_unique(hash.0, Place { hash, latest: second, slot }, |place| place.hash.0);
        Some(Found::New(slot))
    }

    /// Frees the slots of users who have not acted since `floor`; returns those of them that are still
    /// there.
    pub(crate) fn sweep(&mut self, floor: i64) -> Vec<u32> {
        let mut freed = Vec::new();
        let (names, text_bytes) = (&mut self.names, &mut self.text_bytes);
        self.places.retain(|place| {
            let stays = place.latest >= floor;
            if !stays {
                let name = names[place.slot as usize].take();
                *text_bytes -= name.map_or(0, |name| name.len());
                freed.push(place.slot);
            }
            stays
        });
        if !freed.is_empty() {
            self.free.extend(freed.iter().copied().map(Reverse));
            self.give_back();
        }
        freed.retain(|slot| (*slot as usize) < self.names.len());
        freed
    }

    /// Takes away the free slots at the end, and memory of which little is used.
    fn give_back(&mut self) {
        let used = self.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if used < self.names.len() {
            self.names.truncate(used);
            self.free.retain(|Reverse(slot)| (*slot as usize) < used);
        }
        if self.places.len() < self.places.capacity() / FULL_MIN {
            self.places.shrink_to(self.places.len() * 2, |place| place.hash.0);
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

    /// Memory taken, about.
    pub(crate) fn bytes(&self) -> usize {
        let users = self.text_bytes + self.places.len() * USER_BYTES;
        users + self.places.capacity() * PLACE_BYTES + self.names.capacity() * SLOT_BYTES
    }
}
