//! Counts how often each slot occurred in a block of seconds. Counts are additive, quick to add up, and small
//! when few slots occurred.
//!
//! Slots are cut into chunks of 4,096. A chunk is a list of occurrences (two bytes each) until it
//! would be longer than half an array of 16-bit counts, then that array. A count that outgrows 16
//! bits carries into a map on the side.

use std::collections::BTreeMap;

/// Slots in a chunk.
pub(crate) const CHUNK: usize = 4_096;
/// Occurrences that a chunk lists before it becomes an array.
const LIST_MAX: usize = CHUNK / 2;
/// What adding an array costs, in single occurrences added: eight counts go in one step.
const ARRAY_COST: usize = CHUNK / 8;

/// Occurrences by slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    chunks: Vec<Chunk>,
    /// Slot → how often its 16-bit count has run over.
    carries: BTreeMap<u32, u32>,
    bytes: usize,
    cost: usize,
}

#[derive(Debug, Clone)]
enum Chunk {
    /// Occurrences, each as a slot within the chunk.
    List(Vec<u16>),
    /// Counts by slot within the chunk.
    Array(Box<[u16]>),
}

impl Counts {
    /// Counts one more occurrence of `slot`.
    pub(crate) fn add(&mut self, slot: u32) {
        let at = slot as usize / CHUNK;
        let local = (slot % 4_096) as u16;
        if at >= self.chunks.len() {
            let before = self.chunks.capacity();
            self.chunks.resize_with(at + 1, || Chunk::List(Vec::new()));
            self.bytes += (self.chunks.capacity() - before) * size_of::<Chunk>();
        }
        let chunk = &mut self.chunks[at];
        if let Chunk::List(list) = chunk {
            if list.len() < LIST_MAX {
                let before = list.capacity();
                list.push(local);
                self.bytes += (list.capacity() - before) * 2;
                self.cost += 1;
                return;
            }
            let mut counts = vec![0_u16; CHUNK].into_boxed_slice();
            for slot in &*list {
                counts[usize::from(*slot)] += 1;
            }
            self.bytes += CHUNK * 2 - list.capacity() * 2;
            self.cost += ARRAY_COST;
            self.cost -= list.len();
            *chunk = Chunk::Array(counts);
        }
        if let Chunk::Array(counts) = chunk {
            let count = &mut counts[usize::from(local)];
            *count = count.wrapping_add(1);
            if *count == 0 {
                *self.carries.entry(slot).or_default() += 1;
            }
        }
    }

    /// Adds all counts to `sums`, which has an element for every slot up to the end of its chunk, or
    /// subtracts them. Sums wrap around.
    pub(crate) fn add_to(&self, sums: &mut [u32], subtract: bool) {
        for (chunk, sums) in self.chunks.iter().zip(sums.chunks_exact_mut(CHUNK)) {
            match (chunk, subtract) {
                (Chunk::List(list), false) => list.iter().for_each(|slot| step(&mut sums[usize::from(*slot)], 1)),
                (Chunk::List(list), true) => list.iter().for_each(|slot| step(&mut sums[usize::from(*slot)], u32::MAX)),
                (Chunk::Array(counts), false) => {
                    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.wrapping_add(u32::from(*count)));
                }
                (Chunk::Array(counts), true) => {
                    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.wrapping_sub(u32::from(*count)));
                }
            }
        }
        for (slot, times) in &self.carries {
            let carried = times.wrapping_shl(16);
            step(&mut sums[*slot as usize], if subtract { carried.wrapping_neg() } else { carried });
        }
    }

    /// About the memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes + self.carries.len() * 16
    }

    /// What [`Counts::add_to`] costs, in single occurrences added.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }
}

/// Adds `by`, wrapping around: adding 2^32 - 1 subtracts one.
fn step(sum: &mut u32, by: u32) {
    *sum = sum.wrapping_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_change_of_form_and_sixteen_bits() {
        let mut counts = Counts::default();
        let occurrences: [(u32, u32); 4] = [(3, 1), (4_095, 70_000), (4_096, 140_000), (9_000, 2)];
        for (slot, times) in occurrences {
            (0..times).for_each(|_| counts.add(slot));
        }
        let mut sums = vec![0; 3 * CHUNK];
        counts.add_to(&mut sums, false);
        for (slot, times) in occurrences {
            assert_eq!(sums[slot as usize], times);
        }
        assert_eq!(sums.iter().sum::<u32>(), occurrences.iter().map(|(_, times)| times).sum::<u32>());
        counts.add_to(&mut sums, true);
        assert!(sums.iter().all(|sum| *sum == 0));
    }

    #[test]
    fn i6_a_block_costs_no_more_than_its_events_or_its_slots_ask_for() {
        let mut few = Counts::default();
        (0..1_000_u32).for_each(|n| few.add(n * 2_000));
        assert!(few.bytes() < 50_000, "{}", few.bytes());
        let mut many = Counts::default();
        (0..1_000_000_u32).for_each(|n| many.add(n % 10_000));
        assert!(many.bytes() < 30_000, "{}", many.bytes());
    }
}
