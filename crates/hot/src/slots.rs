//! Users of one tenant as small numbers, for as long as they are needed. A slot whose user has not
//! acted within what is kept goes to somebody else.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

/// Memory that a slot takes beside its user's name, about.
const SLOT_BYTES: usize = 64;

/// Who has which slot.
#[derive(Debug)]
pub(crate) struct Slots {
    places: HashTable<Place>,
    /// Keyed at random, so that nobody can choose names that collide.
    hasher: RandomState,
    /// By slot; `None` when it is free.
    names: Vec<Option<Arc<str>>>,
    /// By slot: the latest second that its user acted in.
    latest: Vec<i64>,
    free: Vec<u32>,
    slots_max: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
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
        Self {
            places: HashTable::new(),
            hasher: RandomState::new(),
            names: Vec::new(),
            latest: Vec::new(),
            free: Vec::new(),
            slots_max: slots_max.min(u32::MAX as usize),
            bytes: 0,
        }
    }

    /// The slot of `user`, who acts in `second`; `None` when there is none left.
    pub(crate) fn of(&mut self, user: &str, second: i64) -> Option<Found> {
        let hash = self.hasher.hash_one(user);
        let names = &self.names;
        let is_it = |place: &Place| place.hash == hash && names[place.slot as usize].as_deref() == Some(user);
        if let Some(place) = self.places.find(hash, is_it) {
            let latest = &mut self.latest[place.slot as usize];
            *latest = second.max(*latest);
            return Some(Found::Known(place.slot));
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.names.len() < self.slots_max => {
                self.names.push(None);
                self.latest.push(second);
                self.bytes += SLOT_BYTES;
                u32::try_from(self.names.len() - 1).ok()?
            }
            None => return None,
        };
        self.names[slot as usize] = Some(Arc::from(user));
        self.latest[slot as usize] = second;
        self.bytes += user.len();
        self.places.insert_unique(hash, Place { hash, slot }, |place| place.hash);
        Some(Found::New(slot))
    }

    /// Frees the slots of users who have not acted since `floor`; returns those slots.
    pub(crate) fn sweep(&mut self, floor: i64) -> &[u32] {
        let first = self.free.len();
        let (names, latest, free, bytes) = (&mut self.names, &self.latest, &mut self.free, &mut self.bytes);
        self.places.retain(|place| {
            let stays = latest[place.slot as usize] >= floor;
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
