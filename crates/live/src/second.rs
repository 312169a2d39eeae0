//! The events of one second: the users who acted, and how many events had no user.
//!
//! A user is a slot, listed once per event. New events are in a plain list. Once the second is over they are
//! packed: sorted, each slot as the distance from the one before, in LEB128, so that an event takes about
//! one byte. An event that comes late goes to the plain list again, until packing anew is worth it.

/// One second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Second {
    packed: Box<[u8]>,
    /// Slots that are not packed yet.
    unpacked: Vec<u32>,
    /// Events whose user has a slot.
    pub(crate) with_slot: u64,
    /// Events without a user.
    pub(crate) anonymous: u64,
    /// Events of users for whom no slot was left.
    pub(crate) without_slot: u64,
}

impl Second {
    /// Counts an event of the user in `slot`.
    pub(crate) fn add(&mut self, slot: u32) {
        self.unpacked.push(slot);
        self.with_slot += 1;
    }

    /// The number of all events.
    pub(crate) fn events(&self) -> u64 {
        self.with_slot + self.anonymous + self.without_slot
    }

    /// Packs the plain list when that is worth a pass over what is packed already.
    pub(crate) fn pack(&mut self) {
        if self.unpacked.is_empty() || self.unpacked.len() * 16 < self.packed.len() {
            return;
        }
        let mut slots = std::mem::take(&mut self.unpacked);
        self.unpack(|slot| slots.push(slot));
        slots.sort_unstable();
        let mut packed = Vec::with_capacity(slots.len() + slots.len() / 8);
        let mut before = 0;
        for slot in slots {
            let mut rest = slot - before;
            while rest >= 0x80 {
                packed.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            packed.push((rest & 0x7f) as u8);
            before = slot;
        }
        self.packed = packed.into_boxed_slice();
    }

    /// Whether the plain list holds any events.
    pub(crate) fn has_unpacked(&self) -> bool {
        !self.unpacked.is_empty()
    }

    /// The slot of each event that has one.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u32)) {
        self.unpacked.iter().for_each(|slot| visit(*slot));
        self.unpack(visit);
    }

    fn unpack(&self, mut visit: impl FnMut(u32)) {
        let (mut slot, mut part, mut shift) = (0_u32, 0_u32, 0);
        for byte in &self.packed {
            part |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                slot += part;
                visit(slot);
                (part, shift) = (0, 0);
            } else {
                shift += 7;
            }
        }
    }

    /// About the memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.len() + self.unpacked.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(parts in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![0_u32..300, any::<u32>()], 0..60), 1..5))
        {
            let mut second = Second::default();
            for part in &parts {
                part.iter().for_each(|slot| second.add(*slot));
                second.pack();
            }
            let mut slots = Vec::new();
            second.for_each(|slot| slots.push(slot));
            slots.sort_unstable();
            let mut expected = parts.concat();
            expected.sort_unstable();
            prop_assert_eq!(slots, expected);
        }
    }

    #[test]
    fn an_event_of_a_busy_second_takes_about_a_byte() {
        let mut second = Second::default();
        (0..50_000_u32).for_each(|n| second.add(n.wrapping_mul(2_654_435_761) % 100_000));
        second.pack();
        assert!(second.bytes() <= 52_000, "{}", second.bytes());
    }
}
