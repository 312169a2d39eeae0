//! The numbered promises of the product, in one place, so that asserts, tests, the simulation
//! and metrics name the same thing.
//!
//! | | promise |
//! |---|---|
//! | I1 | No acknowledged loss: an event answered `accepted` is in every aggregate, after any crash. |
//! | I2 | No double count: one (tenant, event id) is counted once, whatever the retries and replays. |
//! | I3 | One truth: raw events = windows = hourly rollups = totals = API answers, once applied. |
//! | I4 | No phantom: nothing is counted that no client sent; a rejected event leaves no trace. |
//! | I5 | Isolation: the tenant comes from the credential; every key begins with it. |
//! | I6 | Bounded: everything has a limit, and reaching one gives a clear answer. |
//! | I7 | Self-recovery: after any single fault ends, service returns without a person. |
//! | I8 | Honest ack: `202` only after durability; a failed fsync poisons the journal. |
//! | I9 | Graceful: bad input gets a problem document that names the field; no panic, no 500. |
//! | I10 | Monotonic: a closed window's numbers change only with a higher revision. |

use std::fmt;

/// One of the ten promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: an acknowledged event is never lost.
    NoAcknowledgedLoss,
    /// I2: an event id is counted once per tenant.
    NoDoubleCount,
    /// I3: raw events and every aggregate agree.
    OneTruth,
    /// I4: nothing is counted that no client sent.
    NoPhantom,
    /// I5: a tenant never sees or changes another's data.
    Isolation,
    /// I6: everything has a limit.
    Bounded,
    /// I7: service returns without a person after a fault ends.
    SelfRecovery,
    /// I8: `202` only after durability.
    HonestAck,
    /// I9: bad input is answered, never crashed on.
    Graceful,
    /// I10: a closed window changes only with a higher revision.
    Monotonic,
}

impl Invariant {
    /// The short name used in logs and metric labels: `I1` to `I10`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoAcknowledgedLoss => "I1",
            Self::NoDoubleCount => "I2",
            Self::OneTruth => "I3",
            Self::NoPhantom => "I4",
            Self::Isolation => "I5",
            Self::Bounded => "I6",
            Self::SelfRecovery => "I7",
            Self::HonestAck => "I8",
            Self::Graceful => "I9",
            Self::Monotonic => "I10",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
