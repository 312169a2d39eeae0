//! What can happen in a world. A list of actions is a whole story: a random one from
//! [`crate::Workload`], or one written down by hand.

use std::time::Duration;

use crate::world::Trouble;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A client sends a request and waits for the answer.
    Send(Request),
    /// Several clients send at once. They are stamped in this order, with a little time in between;
    /// the last one is written alone, and the others after it as one group, last first. The
    /// trouble strikes while the group is written.
    SendTogether(Vec<Request>, Option<Trouble>),
    /// A client sends a request, and the sync that should make it durable fails.
    SendOverFailingSync(Request),
    /// A client repeats the request that has waited longest for an answer.
    Retry,
    /// The worker applies up to this many records.
    Work(usize),
    /// The ledger flushes what is old and merges what is due.
    Maintain,
    /// The ledger makes everything durable.
    Flush,
    /// The closer draws a watermark, which takes effect when the worker has caught up.
    Close,
    /// Time passes.
    Wait(Duration),
    /// The clock is set back.
    SetBack(Duration),
    /// A reader looks at all windows.
    Read,
    /// Something begins to go wrong.
    Cause(Trouble),
    /// The disk works again.
    Heal,
    /// The process ends as it should, and starts again.
    Restart,
    /// The process is killed, and starts again.
    Kill,
    /// The power goes, and comes back.
    PowerLoss,
    /// Trouble ends, the worker catches up, and everything is checked.
    Check,
}

/// What one client sends at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose: an index of the simulation's tenants.
    pub tenant: usize,
    /// Its events, at least one.
    pub events: Vec<EventPlan>,
    /// Whether ids that are known to be counted are answered at once, as the request path does.
    pub ask_first: bool,
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPlan {
    /// With an id that the tenant has not used.
    New(Shape),
    /// One that the tenant has sent before, as it was. The number picks it.
    Again(usize),
    /// Another one under an id that the tenant has sent before. The number picks it.
    Changed(usize),
}

/// What a new event says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Seconds from when it happened to now, negative for the future; `None` leaves its time to the
    /// receiver.
    pub age_sec: Option<i64>,
    /// Its customer, by number.
    pub customer: Option<u8>,
    /// What it measured and is broken down by, drawn from this number.
    pub variety: u64,
}
