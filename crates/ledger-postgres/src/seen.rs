//! Which keys a table has, as far as this process knows, in a few bits per key. It decides nothing: what it does not know
//! may be stored all the same, by an earlier process or before it forgot, so what it takes for new only goes in where the
//! table's index refuses what is there; and what it knows may never have been stored, so that is read.
//!
//! A filter of Bloom's kind in blocks of one cache line (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom
//! Filters", 2007), in generations, each larger than the one before. When all of them are full, the oldest is forgotten.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use domain::limits::LEDGER_SEEN_BYTES_MAX;
use hashbrown::DefaultHashBuilder;

/// Bits of a block, as a power of two; a place inside has as many.
const BLOCK_BITS: u32 = 9;
const BLOCK_BYTES: usize = 1 << (BLOCK_BITS - 3);
/// Keys of a block: 12 bits each, so that about one key in 200 is taken for known without being it.
const BLOCK_KEYS: usize = (1 << BLOCK_BITS) / 12;
/// Bits that are set for a key.
const PROBES: u32 = 6;
/// Blocks of the first generation.
const FIRST_BLOCKS: usize = 2_048;
/// How much larger each generation is than the one before.
const GROWTH: usize = 4;

/// What was seen of each table.
#[derive(Debug, Default)]
pub(crate) struct SeenKeys {
    pub(crate) ids: Seen,
    pub(crate) windows: Seen,
    pub(crate) customers: Seen,
    pub(crate) rollups: Seen,
    pub(crate) received: Seen,
    pub(crate) user_days: Seen,
    pub(crate) erased_user_days: Seen,
}

/// Keys that were seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The newest, and largest, comes first.
    generations: VecDeque<Generation>,
    hasher: DefaultHashBuilder,
    is_trusted: bool,
}

#[derive(Debug)]
struct Generation {
    blocks: Vec<[u64; BLOCK_BYTES / 8]>,
    keys: usize,
}

impl Seen {
    /// Whether keys that it does not know are to be taken for new: it was right about the last batch.
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Notes whether it knew all keys of a batch that were stored.
    pub(crate) fn judge(&mut self, is_right: bool) {
        self.is_trusted = is_right;
    }

    /// Whether it knows the key, or one that looks like it.
    pub(crate) fn has(&self, key: &impl Hash) -> bool {
        let hash = self.hasher.hash_one(key);
        self.generations.iter().any(|generation| generation.has(hash))
    }

    /// Notes a key.
    pub(crate) fn add(&mut self, key: &impl Hash) {
        let hash = self.hasher.hash_one(key);
        if self.generations.iter().any(|generation| generation.has(hash)) {
            return;
        }
        if self.generations.front().is_none_or(Generation::is_full) {
            self.grow();
        }
        if let Some(newest) = self.generations.front_mut() {
            newest.add(hash);
        }
    }

    fn grow(&mut self) {
        let blocks_max = LEDGER_SEEN_BYTES_MAX / BLOCK_BYTES;
        let last = self.generations.front().map_or(FIRST_BLOCKS / GROWTH, |newest| newest.blocks.len());
        let blocks = (last * GROWTH).min(blocks_max / 2);
        let held = |generations: &VecDeque<Generation>| generations.iter().map(|g| g.blocks.len()).sum::<usize>();
        while held(&self.generations) + blocks > blocks_max {
            self.generations.pop_back();
        }
        self.generations.push_front(Generation { blocks: vec![[0; BLOCK_BYTES / 8]; blocks], keys: 0 });
    }
}

impl Generation {
    fn is_full(&self) -> bool {
        self.keys >= self.blocks.len() * BLOCK_KEYS
    }

    fn has(&self, hash: u64) -> bool {
        let block = &self.blocks[self.place(hash)];
        probes(hash).all(|(word, bit)| block[word] & bit != 0)
    }

    fn add(&mut self, hash: u64) {
        let place = self.place(hash);
        let block = &mut self.blocks[place];
        probes(hash).for_each(|(word, bit)| block[word] |= bit);
        self.keys += 1;
    }

    /// The block of a hash, by its upper half.
    fn place(&self, hash: u64) -> usize {
        let blocks = self.blocks.len() as u64;
        usize::try_from(((hash >> 32) * blocks) >> 32).unwrap_or(0)
    }
}

/// The bits of a hash inside its block, by all of it mixed again: of each the word, and the bit in the word.
fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (1..=PROBES).map(move |probe| {
        let place = (mixed >> (u64::BITS - probe * BLOCK_BITS)) & ((1 << BLOCK_BITS) - 1);
        (usize::try_from(place >> 6).unwrap_or(0), 1 << (place & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_and_little_else_is() {
        let mut seen = Seen::default();
        let keys = 500_000_u64;
        (0..keys).for_each(|key| seen.add(&key));
        assert!((0..keys).all(|key| seen.has(&key)));
        let mistaken = (keys..2 * keys).filter(|key| seen.has(key)).count();
        assert!(mistaken < 10_000, "{mistaken} of {keys}");
    }

    #[test]
    fn i6_it_grows_up_to_its_limit_and_forgets_the_oldest() {
        let mut seen = Seen::default();
        for _ in 0..12 {
            seen.grow();
            let blocks: usize = seen.generations.iter().map(|generation| generation.blocks.len()).sum();
            assert!(blocks * BLOCK_BYTES <= LEDGER_SEEN_BYTES_MAX);
        }
        assert!(seen.generations.iter().all(|generation| generation.blocks.len() > FIRST_BLOCKS));
    }

    #[test]
    fn nothing_is_trusted_before_it_was_right_once() {
        let mut seen = Seen::default();
        assert!(!seen.is_trusted());
        seen.judge(true);
        assert!(seen.is_trusted());
    }
}
