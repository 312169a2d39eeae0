//! Where an event stands in the journal: the one order that everything is derived from.

use crate::limits::RECORD_EVENTS_MAX;

/// Number of a journal record, counted from 1 without gaps. 0 stands before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// The record after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// Position of one event: its record's number and its index in the record, packed into 64 bits so
/// that positions order as (record, index). A record number has 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(u64);

impl Position {
    /// The position of event `index` of record `seq`.
    pub const fn new(seq: Seq, index: u16) -> Self {
        Self((seq.0 << 16) | index as u64)
    }

    /// From its packed form.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The packed form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The record.
    pub const fn seq(self) -> Seq {
        Seq(self.0 >> 16)
    }

    /// The index in the record.
    pub const fn index(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

const _: () = assert!(RECORD_EVENTS_MAX == 1 << 16);
