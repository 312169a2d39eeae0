//! The grain of a partial aggregate: the length of the time that one row sums.

use domain::rollup::hour_of;
use domain::time::Timestamp;

/// What a row sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Grain {
    /// Everything of a customer; its start is the epoch.
    Total,
    /// An hour in UTC.
    Hour,
    /// A window.
    Window,
}

impl Grain {
    /// All grains, in order of code.
    pub(crate) const ALL: [Self; 3] = [Self::Total, Self::Hour, Self::Window];

    /// The stored form of the grain.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Total => 0,
            Self::Hour => 1,
            Self::Window => 2,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|grain| grain.code() == code)
    }

    /// Where the row begins that the window starting at `start` is summed in.
    pub(crate) fn start_of(self, start: Timestamp) -> Timestamp {
        match self {
            Self::Total => Timestamp::default(),
            Self::Hour => hour_of(start),
            Self::Window => start,
        }
    }
}
