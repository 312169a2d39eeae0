//! How a CRC-32C is stored in the journal's files, for headers and records alike.

/// Keeps a checksum of bytes that hold checksums themselves from being weak, as in `LevelDB`.
pub(crate) const fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
