//! What the bodies of both versions are made of: their flags, and short texts.

/// What the flags of a body say.
pub(super) mod flag {
    pub(in crate::record) const TIME_ASSIGNED: u32 = 1;
    pub(in crate::record) const PROJECT: u32 = 1 << 1;
    pub(in crate::record) const CUSTOMER: u32 = 1 << 2;
    pub(in crate::record) const USER: u32 = 1 << 3;
    pub(in crate::record) const ENDPOINT: u32 = 1 << 4;
    pub(in crate::record) const PROPERTIES: u32 = 1 << 5;
    pub(in crate::record) const TOKENS: u32 = 1 << 6;
    pub(in crate::record) const INPUT: u32 = 1 << 7;
    pub(in crate::record) const OUTPUT: u32 = 1 << 8;
    pub(in crate::record) const LATENCY: u32 = 1 << 9;
    pub(in crate::record) const MODEL: u32 = 1 << 10;
    pub(in crate::record) const CACHE_READ: u32 = 1 << 11;
    pub(in crate::record) const CACHE_WRITE: u32 = 1 << 12;
    pub(in crate::record) const REASONING: u32 = 1 << 13;
    pub(in crate::record) const FORMER: u32 = 1 << 14;
    /// Set in every body since version 2, never before.
    pub(in crate::record) const VERSION_2: u32 = 1 << 15;
    /// The payload hash is of the rule for events with encrypted values.
    pub(in crate::record) const SEALED: u32 = 1 << 16;
    /// The measures, a number each.
    pub(in crate::record) const NUMBERS: u32 = TOKENS | INPUT | OUTPUT | LATENCY | CACHE_READ | CACHE_WRITE | REASONING;
    pub(in crate::record) const KNOWN: u32 = (1 << 17) - 1;
}

/// Appends a text of at most 65,535 bytes behind its length.
pub(super) fn put_short(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
