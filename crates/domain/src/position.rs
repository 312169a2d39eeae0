//! How records and events are named: [`RecordId`] and [`EventPosition`] for those who only pass them
//! on, and [`Seq`] and [`Position`] inside an ordered log and the ledger that keeps its order.

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

/// Names one durable record. Opaque: only the journal that made it and the ledger that applies its
/// records know what is inside, and ids of two journals are not comparable. An ordered log keeps the
/// record's [`Seq`] in it; a broker may keep anything that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordId(u128);

impl RecordId {
    /// For adapters: an id that holds `bits`.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// For adapters: what the id holds.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl From<Seq> for RecordId {
    fn from(seq: Seq) -> Self {
        Self(u128::from(seq.0))
    }
}

impl Seq {
    /// The number that an ordered log has put into the id of one of its records. Only such a log and
    /// the ledger that keeps its order may ask; others ask `OrderedJournal::seq`.
    pub const fn of_record(id: RecordId) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "an ordered log fills the low half alone")]
        Self(id.0 as u64)
    }
}

/// Where a stored event stands among all those of its tenant. Opaque and ordered: an event that is
/// counted later has a greater one, and none has the position of another. Only the ledger makes one
/// and can take it apart; everyone else compares it, or keeps its bytes in a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventPosition(u128);

impl EventPosition {
    /// Bytes of a position.
    pub const BYTES: usize = 16;

    /// The position whose bytes these are.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Its bytes, which have the order of positions.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_be_bytes()
    }
}

impl From<Position> for EventPosition {
    fn from(position: Position) -> Self {
        Self(u128::from(position.0))
    }
}

/// Position of one event in an ordered log: its record's number and its index in the record, packed into 64 bits so
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

    /// The position that a ledger over an ordered log has put into an event's opaque one. Only that
    /// ledger may ask.
    // public for tests: the twin of a ledger keeps opaque positions alone
    pub const fn of_event(position: EventPosition) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "such a ledger fills the low half alone")]
        Self(position.0 as u64)
    }

    /// The packed form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The record.
    pub const fn seq(self) -> Seq {
        Seq(self.0 >> 16)
    }
}

const _: () = assert!(RECORD_EVENTS_MAX == 1 << 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_positions_and_their_bytes_keep_the_order_of_the_log() {
        let ascending = [
            Position::new(Seq(1), 0),
            Position::new(Seq(1), 1),
            Position::new(Seq(255), u16::MAX),
            Position::new(Seq(256), 0),
            Position::new(Seq((1 << 48) - 1), u16::MAX),
        ];
        let opaque = ascending.map(EventPosition::from);
        assert!(opaque.is_sorted());
        assert!(opaque.map(EventPosition::to_bytes).is_sorted());
        assert_eq!(opaque.map(Position::of_event), ascending);
        assert_eq!(opaque.map(|position| EventPosition::from_bytes(position.to_bytes())), opaque);
    }

    #[test]
    fn a_record_id_gives_back_the_number_that_a_log_has_put_into_it() {
        for seq in [Seq::ZERO, Seq(1), Seq(u64::MAX)] {
            assert_eq!(Seq::of_record(RecordId::from(seq)), seq);
        }
    }
}
