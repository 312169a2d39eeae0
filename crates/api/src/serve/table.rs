//! The connections that are open, and who makes room when they are too many: those with no request under way, the
//! one that waits longest first. One address never has all of them, and some are set aside for probes: without
//! them nobody could see how the server is. Only the accept loop has the table; the connections
//! themselves say whether they are idle.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use domain::limits::PROBE_CONNECTIONS_MAX;
use pipeline::Metrics;
use tokio::task::Id;
use tokio_util::sync::CancellationToken;

use super::timed_stream::ActiveRequests;

/// Most connections that make room at once, so that looking for them costs little for each new one.
const CLOSED_AT_ONCE_MAX: usize = 64;
/// Connections for probes that stay free as far as those with nothing to do can be closed.
const PROBES_FREE: usize = 16;

/// Whom a connection comes from: an IPv4 address, or the first half of an IPv6 address, of which one customer of a
/// provider has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// Everything.
    Ordinary,
    /// One probe: it is one of those on top of the largest number.
    Probe,
}

/// A new connection's own part of its entry.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) seat: Seat,
    pub(super) requests: Arc<ActiveRequests>,
    /// Asks it to end.
    pub(super) close: CancellationToken,
    source: Source,
}

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Table {
    connections_max: usize,
    entries: HashMap<Id, Ticket>,
    /// How many of a source are open and not asked to end, those for probes left out.
    by_source: HashMap<Source, usize>,
    /// How many of each seat are open and not asked to end.
    ordinary: usize,
    probes: usize,
    order: Arc<AtomicU64>,
    episode: Option<Episode>,
    metrics: Arc<Metrics>,
}

/// What has happened since there was too little room.
#[derive(Debug, Default)]
struct Episode {
    closed: usize,
    refused: usize,
    for_probes: usize,
}

impl Table {
    pub(super) fn new(connections_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            connections_max,
            entries: HashMap::new(),
            by_source: HashMap::new(),
            ordinary: 0,
            probes: 0,
            order: Arc::default(),
            episode: None,
            metrics,
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether another could be open, if only for a probe.
    pub(super) fn has_room(&self) -> bool {
        self.len() < self.connections_max + PROBE_CONNECTIONS_MAX
    }

    /// Decides on a new connection; others may be asked to end for it. `None` when it cannot be served.
    pub(super) fn admit(&mut self, address: IpAddr) -> Option<Ticket> {
        let source = Source::from(address);
        let is_ordinary = self.has_place(Some(source)) && self.has_place(None);
        let seat = if is_ordinary { Seat::Ordinary } else { Seat::Probe };
        if !is_ordinary {
            if self.probes + PROBES_FREE >= PROBE_CONNECTIONS_MAX {
                self.close_idle(1, |ticket| ticket.seat == Seat::Probe);
            }
            let is_full = self.probes >= PROBE_CONNECTIONS_MAX;
            let episode = self.episode();
            *(if is_full { &mut episode.refused } else { &mut episode.for_probes }) += 1;
            if is_full {
                self.metrics.connection_refused();
                return None;
            }
        }
        let requests = Arc::new(ActiveRequests::new(&self.order));
        Some(Ticket { seat, requests, close: CancellationToken::new(), source })
    }

    /// Enters a connection that was admitted.
    pub(super) fn enter(&mut self, id: Id, ticket: Ticket) {
        self.count(&ticket, true);
        self.entries.insert(id, ticket);
        self.metrics.connections_open(self.len());
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&mut self, id: Id) {
        let Some(ticket) = self.entries.remove(&id) else { return };
        if !ticket.close.is_cancelled() {
            self.count(&ticket, false);
        }
        self.metrics.connections_open(self.len());
        // Well below the share of one address, or each closed connection would end it.
        if self.ordinary < self.connections_max - self.connections_max * 3 / 8
            && let Some(Episode { closed, refused, for_probes }) = self.episode.take()
        {
            let open = self.len();
            tracing::info!(open, closed, refused, for_probes, "there is room for connections again");
        }
    }

    /// Whether there is a place, of a source or at all, after the idle have made room.
    fn has_place(&mut self, source: Option<Source>) -> bool {
        let share = self.connections_max - self.connections_max / 4;
        let most = source.map_or(self.connections_max, |_| share);
        let taken = |table: &Self| match source {
            Some(source) => table.by_source.get(&source).copied().unwrap_or(0),
            None => table.ordinary,
        };
        if taken(self) >= most {
            let at_once = (most / CLOSED_AT_ONCE_MAX).clamp(1, CLOSED_AT_ONCE_MAX);
            let is_one =
                |ticket: &Ticket| ticket.seat == Seat::Ordinary && source.is_none_or(|source| ticket.source == source);
            self.close_idle(at_once, is_one);
        }
        taken(self) < most
    }

    /// Asks those that wait longest to end.
    fn close_idle(&mut self, at_once: usize, is_one: impl Fn(&Ticket) -> bool) {
        let open = self.entries.iter().filter(|(_, ticket)| !ticket.close.is_cancelled() && is_one(ticket));
        let mut idle: Vec<(u64, Id)> =
            open.filter_map(|(id, ticket)| Some((ticket.requests.idle_since()?, *id))).collect();
        if idle.len() > at_once {
            idle.select_nth_unstable(at_once);
            idle.truncate(at_once);
        }
        let closed: Vec<Ticket> = idle.iter().filter_map(|(_, id)| self.entries.get(id).cloned()).collect();
        for ticket in &closed {
            ticket.close.cancel();
            self.count(ticket, false);
        }
        self.metrics.connections_closed_idle(closed.len());
        self.episode().closed += closed.len();
    }

    fn count(&mut self, ticket: &Ticket, is_more: bool) {
        let change = |number: &mut usize| *number = if is_more { *number + 1 } else { number.saturating_sub(1) };
        if ticket.seat == Seat::Probe {
            change(&mut self.probes);
            return;
        }
        change(&mut self.ordinary);
        let of_source = self.by_source.entry(ticket.source).or_insert(0);
        change(of_source);
        if *of_source == 0 {
            self.by_source.remove(&ticket.source);
        }
    }

    /// The present want of room, of which the beginning and the end are logged.
    fn episode(&mut self) -> &mut Episode {
        let (open, sources) = (self.entries.len(), self.by_source.len());
        let connections_max = self.connections_max;
        self.episode.get_or_insert_with(|| {
            tracing::warn!(open, sources, connections_max, "too many connections: those with nothing to do are closed");
            Episode::default()
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hyper::Version;

    use super::*;

    /// Enters `count` connections from an address; those that were refused are left out.
    async fn enter(table: &mut Table, address: &str, count: usize) -> Vec<(Id, Ticket)> {
        let mut entered = Vec::new();
        for _ in 0..count {
            let Some(ticket) = table.admit(address.parse().unwrap()) else { continue };
            let id = tokio::spawn(async {}).id();
            table.enter(id, ticket.clone());
            entered.push((id, ticket));
        }
        entered
    }

    fn table(connections_max: usize) -> Table {
        Table::new(connections_max, Arc::new(Metrics::new()))
    }

    fn closed(connections: &[(Id, Ticket)]) -> Vec<bool> {
        connections.iter().map(|(_, ticket)| ticket.close.is_cancelled()).collect()
    }

    #[tokio::test]
    async fn i6_who_waits_longest_makes_room_and_who_is_busy_does_not() {
        let mut table = table(3);
        let first = enter(&mut table, "10.0.0.1", 2).await;
        let second = enter(&mut table, "10.0.0.2", 1).await;
        let busy = first[0].1.requests.begin(Version::HTTP_11);
        let third = enter(&mut table, "10.0.0.3", 1).await;
        assert_eq!((closed(&first), closed(&second)), (vec![false, true], vec![false]));
        assert_eq!(third[0].1.seat, Seat::Ordinary);
        drop(busy);
        let fourth = enter(&mut table, "10.0.0.4", 1).await;
        assert_eq!((closed(&first), closed(&second)), (vec![false, true], vec![true]), "it was busy last");
        for (id, _) in [first, second, third, fourth].concat() {
            table.remove(id);
        }
        assert_eq!((table.len(), table.ordinary, table.by_source.len()), (0, 0, 0));
        assert!(table.episode.is_none(), "the want of room is over");
    }

    #[tokio::test]
    async fn i6_one_address_has_its_share_and_probes_have_places_of_their_own() {
        let mut table = table(8);
        let many = enter(&mut table, "2001:db8::1", 6).await;
        let _busy: Vec<_> = many.iter().map(|(_, ticket)| ticket.requests.begin(Version::HTTP_11)).collect();
        let neighbour = enter(&mut table, "2001:db8::ffff", 1).await;
        assert_eq!(neighbour[0].1.seat, Seat::Probe, "the same half of the address");
        let others = enter(&mut table, "2001:db9::1", 2).await;
        assert!(others.iter().all(|(_, ticket)| ticket.seat == Seat::Ordinary));
        let _busy: Vec<_> = others.iter().map(|(_, ticket)| ticket.requests.begin(Version::HTTP_11)).collect();
        let late = enter(&mut table, "10.0.0.1", 1_000).await;
        assert!(late.iter().all(|(_, ticket)| ticket.seat == Seat::Probe));
        assert!(!late.last().unwrap().1.close.is_cancelled(), "the newest is served");
        let open = late.iter().filter(|(_, ticket)| !ticket.close.is_cancelled()).count();
        assert!(open < PROBE_CONNECTIONS_MAX, "{open}");
        let _busy: Vec<_> = late.iter().map(|(_, ticket)| ticket.requests.begin(Version::HTTP_11)).collect();
        enter(&mut table, "10.0.0.1", PROBE_CONNECTIONS_MAX).await;
        assert!(table.probes <= PROBE_CONNECTIONS_MAX);
    }
}
