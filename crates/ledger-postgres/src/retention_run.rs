//! What retention remembers from one look at the time to the next, and what it tells without asking the server.

use std::time::Duration;

use domain::retention::{RetentionLook, RetentionWait, floor_at};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use hashbrown::HashMap;
use ports::ledger::{RetentionNotice, TenantNotice};
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::options::PostgresLedgerOptions;
use crate::types::{Instant, unsigned};

/// How far retention reaches, for the server or for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) floor: Timestamp,
    pub(crate) wait: RetentionWait,
}

impl Default for Standing {
    fn default() -> Self {
        Self { floor: Timestamp::MIN, wait: RetentionWait::NONE }
    }
}

/// Raw events that the server's retention will hide after its wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doomed {
    pub(crate) events: u64,
    pub(crate) oldest: Option<Timestamp>,
}

/// Where retention stands.
#[derive(Debug)]
pub(crate) struct RetentionRun {
    server_days: Option<u32>,
    delay: Duration,
    /// Whether what is due at the first look goes without a wait.
    now: bool,
    /// When the last look was, on the monotonic clock.
    looked: Option<Duration>,
    /// Whether this process has looked, so that what it tells is of its own settings.
    is_settled: bool,
    days: HashMap<TenantId, u32>,
    server: Standing,
    own: HashMap<TenantId, Standing>,
    doomed: Option<Doomed>,
}

impl RetentionRun {
    pub(crate) fn new(options: &PostgresLedgerOptions) -> Self {
        Self {
            server_days: options.retention_days,
            delay: options.retention_delay,
            now: options.retention_now,
            looked: None,
            is_settled: false,
            days: options.tenant_retention_days.iter().map(|(tenant, days)| (tenant.clone(), *days)).collect(),
            server: Standing::default(),
            own: HashMap::new(),
            doomed: None,
        }
    }

    /// Begins a look at this reading of the monotonic clock: how much time has passed since the last, and how long a wait
    /// is.
    pub(crate) fn look(&mut self, uptime: Duration) -> (Duration, Duration) {
        let elapsed = uptime.saturating_sub(self.looked.replace(uptime).unwrap_or(uptime));
        (elapsed, if self.now { Duration::ZERO } else { self.delay })
    }

    /// Takes what is stored after a look; `is_mine` if this process has decided it.
    pub(crate) fn settle(&mut self, server: Standing, own: HashMap<TenantId, Standing>, is_mine: bool) {
        (self.server, self.own) = (server, own);
        if is_mine {
            (self.now, self.is_settled) = (false, true);
        }
    }

    pub(crate) fn set_days(&mut self, tenant: &TenantId, days: Option<u32>) {
        match days {
            Some(days) => self.days.insert(tenant.clone(), days),
            None => self.days.remove(tenant),
        };
    }

    /// The tenants with a retention of their own.
    pub(crate) fn with_own_days(&self) -> Vec<TenantId> {
        self.days.keys().cloned().collect()
    }

    /// Where the server's floor belongs; none if it is to stay.
    pub(crate) fn server_target(&self, now: Timestamp) -> Option<Timestamp> {
        self.server_days.filter(|days| *days > 0).map(|days| floor_at(now, days))
    }

    /// Where a tenant's floor belongs by the settings of this moment.
    pub(crate) fn target(&self, tenant: &TenantId, now: Timestamp) -> Timestamp {
        let days = self.days.get(tenant).copied().or(self.server_days).filter(|days| *days > 0);
        days.map_or(Timestamp::MIN, |days| floor_at(now, days))
    }

    /// Whether every tenant with a retention of its own is among these.
    pub(crate) fn are_known(&self, tenants: &[String]) -> bool {
        self.days.keys().all(|tenant| tenants.iter().any(|known| known == tenant.as_str()))
    }

    pub(crate) fn note_doomed(&mut self, doomed: Option<Doomed>) {
        self.doomed = doomed;
    }

    pub(crate) fn notice(&self) -> Option<RetentionNotice> {
        let Standing { floor, wait } = self.server;
        let doomed = self.doomed.filter(|_| self.is_settled && wait.floor > floor)?;
        Some(RetentionNotice {
            before: wait.floor,
            segments: 0,
            events: doomed.events,
            oldest: doomed.oldest,
            due_in: self.delay.saturating_sub(wait.waited),
        })
    }

    pub(crate) fn tenant_notice(&self, tenant: &TenantId) -> TenantNotice {
        let Standing { floor, wait } = self.own.get(tenant).copied().unwrap_or(self.server);
        TenantNotice {
            kept_since: (floor > Timestamp::MIN).then_some(floor),
            waiting: (wait.floor > floor).then(|| (wait.floor, self.delay.saturating_sub(wait.waited))),
        }
    }
}

/// A look at a floor that belongs at `target`.
pub(crate) fn look_at(
    Standing { floor, wait }: Standing,
    target: Timestamp,
    (elapsed, delay): (Duration, Duration),
) -> RetentionLook {
    RetentionLook { floor, wait, target, elapsed, delay }
}

/// How far retention reaches, for the server and for tenants that have, or had, a retention of their own.
pub(crate) async fn load_standings(on: &mut PgConnection) -> Result<(Standing, HashMap<TenantId, Standing>), Failure> {
    let server = server_standing(on).await?;
    let sql = "SELECT raw_floor, wait_floor, waited_us, tenant_id FROM tenants WHERE has_own_floor";
    let mut own = HashMap::new();
    for row in sqlx::query(sql).fetch_all(on).await? {
        let id = TenantId::parse(row.try_get(3)?).map_err(|why| sqlx::Error::Decode(why.into()))?;
        own.insert(id, standing(&row)?);
    }
    Ok((server, own))
}

/// How far it reaches for all others.
pub(crate) async fn server_standing(on: &mut PgConnection) -> Result<Standing, Failure> {
    let sql = "SELECT raw_floor, wait_floor, waited_us FROM ledger";
    Ok(standing(&sqlx::query(sql).fetch_one(on).await?)?)
}

/// What the first three columns of a row say.
pub(crate) fn standing(row: &PgRow) -> Result<Standing, sqlx::Error> {
    let (Instant(floor), Instant(wait)) = (row.try_get(0)?, row.try_get(1)?);
    let waited = Duration::from_micros(unsigned(row.try_get(2)?));
    Ok(Standing { floor, wait: RetentionWait { floor: wait, waited } })
}
