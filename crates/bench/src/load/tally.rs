//! What became of the requests of a load.

use crate::latency::Latencies;

/// What the connections of a run sent, and how the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// From the instant a request was due to its acknowledgement.
    pub(crate) latencies: Latencies,
    /// From an acknowledgement to the event's visibility, when sampled.
    pub(crate) visible: Latencies,
    /// Requests acknowledged.
    pub(crate) requests: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Events the server called accepted.
    pub(crate) accepted: u64,
    /// Events the server called duplicates.
    pub(crate) duplicates: u64,
    /// Requests answered with 429 or 503 and sent again.
    pub(crate) refused: u64,
    /// Requests whose answer was lost, sent again on a new connection.
    pub(crate) reconnects: u64,
    /// Distinct events acknowledged, per customer.
    pub(crate) calls: Vec<u64>,
    /// The last receipt of every connection.
    pub(crate) receipts: Vec<String>,
}

impl Tally {
    /// Zeros, for `customers` customers.
    pub(crate) fn new(customers: usize) -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Latencies::new()?,
            visible: Latencies::new()?,
            requests: 0,
            events: 0,
            accepted: 0,
            duplicates: 0,
            refused: 0,
            reconnects: 0,
            calls: vec![0; customers],
            receipts: Vec::new(),
        })
    }

    /// Adds the tally of another connection.
    pub(crate) fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.merge(&other.latencies)?;
        self.visible.merge(&other.visible)?;
        self.requests += other.requests;
        self.events += other.events;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.reconnects += other.reconnects;
        for (sum, more) in self.calls.iter_mut().zip(&other.calls) {
            *sum += more;
        }
        self.receipts.extend(other.receipts);
        Ok(())
    }
}
