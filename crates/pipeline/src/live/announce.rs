//! Announces to the readers of a tenant's stream which windows have closed and which closed ones a late
//! event has revised. One revision is announced once: what was announced lately is remembered.
//!
//! What closes needs no memory: it is every window whose grace ended since the last round. What is
//! revised is noted as the worker applies it, for tenants with a reader only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::limits::{
    ANNOUNCED_LATE_MAX, ANNOUNCED_WINDOWS_MAX, LIVE_LAG_MAX, LIVE_STREAMS_PER_TENANT_MAX, PAGE_ROWS_MAX,
};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::window::{WindowRule, WindowState};
use parking_lot::{Mutex, RwLock};
use ports::PortError;
use ports::clock::Clock;
use ports::ledger::Ledger;
use ports::reports::{Reports, Window, WindowQuery};
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::failure::error_chain;
use crate::receipts::Receipts;
use crate::stop::StopSignal;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Least number of announced revisions that are remembered.
const REMEMBERED_REVISIONS_MIN: usize = ANNOUNCED_WINDOWS_MAX;

/// One message to the readers of a tenant.
#[derive(Debug, Clone)]
pub(crate) enum Announcement {
    Windows(Arc<[Window]>),
    Lost,
}

/// The tenants with readers, and what is to be announced to them.
#[derive(Debug)]
pub(crate) struct Announcements {
    ledger: Arc<dyn Ledger>,
    rule: WindowRule,
    tenants: RwLock<HashMap<TenantId, Arc<Subscribers>>>,
}

/// A tenant with readers.
#[derive(Debug)]
struct Subscribers {
    /// The right of the first reader, as authentication gave it, for the server's own reads.
    scope: TenantScope,
    sender: Sender<Announcement>,
    late: Mutex<Late>,
    announced: tokio::sync::Mutex<AnnouncedRevisions>,
}

/// Closed windows that a late event has changed.
#[derive(Debug, Default)]
struct Late {
    windows: HashSet<(String, Timestamp)>,
    overflowed: bool,
}

/// What has been announced.
#[derive(Debug)]
struct AnnouncedRevisions {
    /// Windows that closed by then.
    closed_through: Timestamp,
    /// (customer, start) → revision; two halves, of which the older is dropped when the newer is full.
    newer: HashMap<(String, Timestamp), u64>,
    older: HashMap<(String, Timestamp), u64>,
}

/// Notes what the worker applies, for one record.
#[derive(Debug)]
pub(crate) struct LateWindows {
    subscribers: Arc<Subscribers>,
    rule: WindowRule,
    closed_through: Timestamp,
}

impl Announcements {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, rule: WindowRule) -> Self {
        Self { ledger, rule, tenants: RwLock::default() }
    }

    /// What is announced to a tenant from now on; `None` when it has too many readers.
    pub(super) fn subscribe(&self, scope: &TenantScope) -> Option<Receiver<Announcement>> {
        let mut tenants = self.tenants.write();
        let subscribers = tenants.entry(scope.tenant().clone()).or_insert_with(|| {
            let closed_through = self.ledger.closed_through();
            let announced = AnnouncedRevisions { closed_through, newer: HashMap::new(), older: HashMap::new() };
            Arc::new(Subscribers {
                scope: scope.clone(),
                sender: channel(LIVE_LAG_MAX).0,
                late: Mutex::default(),
                announced: tokio::sync::Mutex::new(announced),
            })
        });
        (subscribers.sender.receiver_count() < LIVE_STREAMS_PER_TENANT_MAX).then(|| subscribers.sender.subscribe())
    }

    /// Where to note what was applied for `tenant`; `None` without a subscriber.
    pub(crate) fn late_windows(&self, tenant: &TenantId) -> Option<LateWindows> {
        let tenants = self.tenants.read();
        if tenants.is_empty() {
            return None;
        }
        let subscribers = Arc::clone(tenants.get(tenant)?);
        Some(LateWindows { subscribers, rule: self.rule, closed_through: self.ledger.closed_through() })
    }

    /// The tenants with readers; forgets the others.
    fn subscribers(&self) -> Vec<Arc<Subscribers>> {
        if self.tenants.read().is_empty() {
            return Vec::new();
        }
        let mut tenants = self.tenants.write();
        tenants.retain(|_, subscribers| subscribers.sender.receiver_count() > 0);
        tenants.values().cloned().collect()
    }
}

impl LateWindows {
    /// Notes an applied event.
    pub(crate) fn event(&self, customer: Option<&str>, time: Timestamp) {
        let start = self.rule.start_of(time);
        if self.rule.closes_at(start) <= self.closed_through {
            let mut late = self.subscribers.late.lock();
            if late.windows.len() < ANNOUNCED_LATE_MAX {
                late.windows.insert((customer.unwrap_or_default().to_owned(), start));
            } else {
                late.overflowed = true;
            }
        }
    }
}

impl AnnouncedRevisions {
    /// Notes a revision; whether it is news.
    fn publish(&mut self, window: &Window) -> bool {
        let key = (window.customer.clone(), window.start);
        let announced = self.newer.get(&key).or_else(|| self.older.get(&key));
        if announced.is_some_and(|announced| *announced >= window.revision) {
            return false;
        }
        if self.newer.len() >= REMEMBERED_REVISIONS_MIN {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, window.revision);
        true
    }
}

/// The task that sends announcements. What it reads of the ledger needs no permit of the gate.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) announcements: Arc<Announcements>,
    pub(crate) reports: Arc<dyn Reports>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receipts: Arc<Receipts>,
    /// The last record that was durable at the start; before it is applied, windows are not whole.
    pub(crate) replay_until: domain::position::Seq,
}

impl Announcer {
    /// Announces until the stop signal.
    pub(crate) async fn run(self, mut stop: StopSignal) {
        loop {
            tokio::select! {
                biased;
                () = stop.ended() => return,
                () = self.clock.sleep(ROUND) => {}
            }
            if self.receipts.applied() < self.replay_until {
                continue;
            }
            for subscribers in self.announcements.subscribers() {
                let round = async {
                    if let Err(error) = self.announce(&subscribers).await {
                        tracing::warn!(error = error_chain(&error), "windows were not announced; trying again");
                    }
                };
                tokio::select! {
                    biased;
                    () = stop.ended() => return,
                    () = round => {}
                }
            }
        }
    }

    async fn announce(&self, subscribers: &Subscribers) -> Result<(), PortError> {
        let mut announced = subscribers.announced.lock().await;
        let closed_through = self.announcements.ledger.closed_through();
        // Only a corrected clock has windows opened again; they are announced when they close.
        announced.closed_through = announced.closed_through.min(closed_through);
        if closed_through > announced.closed_through {
            self.announce_closed(subscribers, &mut announced, closed_through).await?;
            announced.closed_through = closed_through;
        }
        let Late { windows, overflowed } = std::mem::take(&mut *subscribers.late.lock());
        if overflowed {
            subscribers.send(Announcement::Lost);
            return Ok(());
        }
        let mut left = windows.into_iter();
        while let Some((customer, start)) = left.next() {
            let range = TimeRange::new(start, start.plus_micros(1)).unwrap_or(TimeRange::ALL);
            let query = WindowQuery { customer: Some(customer.clone()), range, state: None, after: None, limit: 1 };
            match self.reports.windows(&subscribers.scope, &query).await {
                Ok(page) => subscribers.publish(&mut announced, page.rows),
                Err(error) => {
                    subscribers.late.lock().windows.extend(left.chain([(customer, start)]));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Announces every window that closes after what is `announced` up to and with `through`.
    async fn announce_closed(
        &self,
        subscribers: &Subscribers,
        announced: &mut AnnouncedRevisions,
        through: Timestamp,
    ) -> Result<(), PortError> {
        let rule = self.announcements.rule;
        let start = |closes_at: Timestamp| closes_at.plus_micros(1 - rule.length_us() - rule.grace_us());
        let range = TimeRange::new(start(announced.closed_through), start(through)).unwrap_or(TimeRange::ALL);
        let mut query = WindowQuery { customer: None, range, state: None, after: None, limit: PAGE_ROWS_MAX };
        let mut windows = 0;
        loop {
            let page = self.reports.windows(&subscribers.scope, &query).await?;
            windows += page.rows.len();
            subscribers.publish(announced, page.rows);
            query.after = page.next;
            if query.after.is_none() {
                return Ok(());
            }
            if windows >= ANNOUNCED_WINDOWS_MAX {
                subscribers.send(Announcement::Lost);
                return Ok(());
            }
        }
    }
}

impl Subscribers {
    fn publish(&self, announced: &mut AnnouncedRevisions, windows: Vec<Window>) {
        let closed = windows.into_iter().filter(|window| window.state != WindowState::Open);
        let news: Vec<Window> = closed.filter(|window| announced.publish(window)).collect();
        if !news.is_empty() {
            self.send(Announcement::Windows(news.into()));
        }
    }

    fn send(&self, announcement: Announcement) {
        // Fails when the last reader has just gone.
        let _ = self.sender.send(announcement);
    }
}
