//! A whole number of 256 bits, for sums that 128 do not hold. Knows only what a sum needs.

/// Digits of a limb.
pub(super) const LIMB_DIGITS: u32 = 19;
/// What a limb holds at most, and one.
pub(super) const LIMB: u64 = 10_u64.pow(LIMB_DIGITS);
/// The lower half of 128 bits.
const HALF: u128 = u64::MAX as u128;

/// A number in two's complement. It wraps; who adds keeps within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wide {
    high: i128,
    low: u128,
}

impl From<i128> for Wide {
    fn from(value: i128) -> Self {
        Self { high: value >> 127, low: value.cast_unsigned() }
    }
}

impl Wide {
    /// The number, if 128 bits hold it.
    pub(super) const fn narrow(self) -> Option<i128> {
        let low = self.low.cast_signed();
        if self.high == low >> 127 { Some(low) } else { None }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high.wrapping_add(other.high).wrapping_add(carry as i128), low }
    }

    pub(super) const fn times(self, factor: u64) -> Self {
        let factor = factor as u128;
        let first = (self.low & HALF) * factor;
        let second = (self.low >> 64) * factor + (first >> 64);
        let high = self.high.wrapping_mul(factor.cast_signed()).wrapping_add((second >> 64).cast_signed());
        Self { high, low: (second << 64) | (first & HALF) }
    }

    /// Multiplied with so many tens.
    pub(super) fn times_tens(mut self, mut count: u32) -> Self {
        while count > 0 {
            let step = count.min(LIMB_DIGITS);
            self = self.times(10_u64.pow(step));
            count -= step;
        }
        self
    }

    pub(super) const fn is_negative(self) -> bool {
        self.high < 0
    }

    /// The magnitude to the base of [`LIMB`], the greatest limb first and not 0.
    pub(super) fn limbs(self) -> Vec<u64> {
        let (mut high, mut low) = if self.is_negative() {
            let (low, carry) = (!self.low).overflowing_add(1);
            ((!self.high).wrapping_add(i128::from(carry)).cast_unsigned(), low)
        } else {
            (self.high.cast_unsigned(), self.low)
        };
        let mut limbs = Vec::new();
        while high != 0 || low != 0 {
            let mut rest = 0_u128;
            let mut divide = |half: u128| {
                let value = (rest << 64) | half;
                rest = value % u128::from(LIMB);
                value / u128::from(LIMB)
            };
            high = (divide(high >> 64) << 64) | divide(high & HALF);
            low = (divide(low >> 64) << 64) | divide(low & HALF);
            limbs.push(u64::try_from(rest).unwrap_or_default());
        }
        limbs.reverse();
        limbs
    }

    /// The bytes of [`Wide::of_bytes`].
    pub(super) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.high.to_le_bytes());
        bytes[16..].copy_from_slice(&self.low.to_le_bytes());
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8; 32]) -> Self {
        let (high, low) = bytes.split_at(16);
        let half = |half: &[u8]| half.try_into().unwrap_or_default();
        Self { high: i128::from_le_bytes(half(high)), low: u128::from_le_bytes(half(low)) }
    }
}
