//! A checksum over the values of a row. SQLite has none for what is in its pages, and a flipped bit
//! in a cursor or in the times of a segment would silently change what is counted.

/// CRC-32C over values in a fixed order; it catches every error of up to 32 adjacent bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seal(u32);

impl Seal {
    /// Covers a number as well.
    #[must_use]
    pub fn int(self, value: i64) -> Self {
        Self(crc32c::crc32c_append(self.0, &value.to_le_bytes()))
    }

    /// Covers bytes as well, and how many they are.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        let length = self.int(i64::try_from(value.len()).unwrap_or(i64::MAX));
        Self(crc32c::crc32c_append(length.0, value))
    }

    /// As it is stored.
    pub fn value(self) -> i64 {
        i64::from(self.0)
    }
}
