//! Users of one tenant as small numbers, for as long as they are needed. A slot whose user has not
//! acted within what is kept goes to somebody else.
//!
//! A user is known by 128 bits of a keyed hash of the name, so that one look into memory is enough; the
//! key is drawn at the start, so that nobody can choose names that collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;

/// Memory that a slot takes beside its user's name, about.
const SLOT_BYTES: usize = 96;

/// Who has which slot.
#[derive(Debug)]
pub(crate) struct Slots {
    places: HashTable<Place>,
    hasher: SipHasher13,
    /// By slot; `None` when it is free.
    names: Vec<Option<Arc<str>>>,
    free: Vec<u32>,
    slots_max: usize,
    bytes: usize,
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
            free: Vec::new(),
            slots_max: slots_max.min(u32::MAX as usize),
            bytes: 0,
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
            Some(slot) => slot,
            None if self.names.len() < self.slots_max => {
                self.names.push(None);
                self.bytes += SLOT_BYTES;
                u32::try_from(self.names.len() - 1).ok()?
            }
            None => return None,
        };
        self.names[slot as usize] = Some(Arc::from(user));
        self.bytes += user.len();
        self.places.insert_unique(hash.0, Place { hash, latest: second, slot }, |place| place.hash.0);
        Some(Found::New(slot))
    }

    /// Frees the slots of users who have not acted since `floor`; returns those slots.
    pub(crate) fn sweep(&mut self, floor: i64) -> &[u32] {
        let first = self.free.len();
        let (names, free, bytes) = (&mut self.names, &mut self.free, &mut self.bytes);
        self.places.retain(|place| {
            let stays = place.latest >= floor;
            if !stays {
                let name = names[place.slot as usize].take();
                *bytes -= name.map_or(0, |name| name.len());
                free.push(place.slot);
            }
            stays
        });
        &self.free[first..]
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
        self.bytes
    }
}
