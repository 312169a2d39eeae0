//! The events of one second: who acted, and how many events had no user.
//!
//! Users are slots, once per event. New ones are in a plain list; once the second has settled they are
//! packed: sorted, each as the distance from the one before, in LEB128, so that an event takes about one
//! byte. An event that comes late goes to the plain list again, until there are enough to pack anew.

/// One second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Second {
    packed: Box<[u8]>,
    loose: Vec<u32>,
    /// Events whose user has a slot.
    pub(crate) placed: u64,
    /// Events without a user.
    pub(crate) anonymous: u64,
    /// Events of users for whom no slot was left.
    pub(crate) homeless: u64,
}

impl Second {
    /// Counts an event of the user in `slot`.
    pub(crate) fn add(&mut self, slot: u32) {
        self.loose.push(slot);
        self.placed += 1;
    }

    /// All events.
    pub(crate) fn events(&self) -> u64 {
        self.placed + self.anonymous + self.homeless
    }

    /// Packs what is loose when that is worth the pass over what is packed.
    pub(crate) fn settle(&mut self) {
        if self.loose.is_empty() || self.loose.len() * 16 < self.packed.len() {
            return;
        }
        let mut slots = std::mem::take(&mut self.loose);
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

    /// Whether anything is loose.
    pub(crate) fn is_loose(&self) -> bool {
        !self.loose.is_empty()
    }

    /// The slot of each event that has one.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u32)) {
        self.loose.iter().for_each(|slot| visit(*slot));
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

    /// Memory taken, about.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.len() + self.loose.capacity() * 4
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
                second.settle();
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
        second.settle();
        assert!(second.bytes() <= 52_000, "{}", second.bytes());
    }
}
