//! Random numbers that a seed repeats for ever.

use crate::testing::ledger::records::EventSpec;

/// A small generator (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number from 0 up to but without `bound`.
    pub(super) fn below(&mut self, bound: u32) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        i64::try_from(high % u64::from(bound)).unwrap_or(0)
    }

    /// The event with so many tokens, and mostly with parts of them.
    pub(super) fn tokens(&mut self, event: EventSpec, input: u64, output: u64) -> EventSpec {
        let event = event.tokens(input, output);
        if self.below(3) == 0 {
            return event;
        }
        let cache_read = self.pick(&[0, input / 2, input]);
        let left = input - cache_read;
        let (cache_write, reasoning) = (self.pick(&[0, left / 3, left]), self.pick(&[0, output / 2, output]));
        event.token_parts(cache_read, cache_write, reasoning)
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(u32::try_from(choices.len()).unwrap_or(1));
        choices[usize::try_from(index).unwrap_or(0)]
    }
}
