//! The ledger itself: opening, and the port. One process writes the bucket, which it keeps by renewing its lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::event::EventId;
use domain::limits::{
    LEDGER_BATCH_RECORDS_MAX, LEDGER_DELTAS_MAX, LEDGER_HINT_WAIT_MAX, PERMIT_WAIT_MAX, SIGHTING_WAIT_MAX,
};
use domain::position::{EventPosition, Position, Seq};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_SECOND, TimeRange, Timestamp};
use domain::window::WindowRule;
use hashbrown::HashMap;
use parking_lot::RwLock;
use ports::journal::Delivery;
use ports::ledger::{AppliedRecords, Ledger, LedgerStats, Received, Sighting};
use ports::{ErrorKind, PortError};
use postgres::{Failure, Login, check, connect};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Row as _};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::apply::Writer;
use crate::batch::Batch;
use crate::bucket::Bucket;
use crate::fences::SCHEMA;
use crate::options::PostgresLedgerOptions;
use crate::replica::Replica;
use crate::schema::schema;
use crate::scoped::{Readers, Scoped};
use crate::state::{KnownTenant, State, load_names, load_zones};
use crate::types::Uuid;
use crate::{changes, lookups, upkeep};

/// The only bucket so far.
const BUCKET: i16 = 0;
/// How often a bucket that another has is looked at.
const TAKE_PAUSE: Duration = Duration::from_millis(50);
/// The worker reads and changes rows by their keys, and nothing else: plans that read whole tables are mistakes.
const WORKER_SETTINGS: [(&str, &str); 3] =
    [("enable_hashjoin", "off"), ("enable_mergejoin", "off"), ("enable_seqscan", "off")];

/// The server ends the work of those who have left.
const APP_SETTINGS: [(&str, &str); 1] = [("client_connection_check_interval", "1s")];

/// The ledger in PostgreSQL. Dropped, it leaves its bucket to the end of the lease; see [`PostgresLedger::close`].
#[derive(Debug)]
// public for tests: no server keeps its events in PostgreSQL yet.
pub struct PostgresLedger {
    app: Readers,
    replica: Option<Replica>,
    pub(crate) worker: PgPool,
    pub(crate) rule: WindowRule,
    /// The bucket, apart from the writer, so that it can be renewed meanwhile.
    bucket: Bucket,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) writer: Mutex<Writer>,
    renewing: JoinHandle<()>,
}

impl PostgresLedger {
    /// Opens the ledger with the logins of the application and of the worker, and takes its bucket. The schema has to be
    /// current, see [`crate::migrate`]. Waits for a bucket that another process has for one lease.
    ///
    /// # Errors
    /// `Unacceptable`, with the reason, when the schema is not the one of this program, a login may do less or more than
    /// it is to, the address or the password is wrong, or the server may lose what it has committed. `Conflict` when the
    /// ledger was made with other windows, or another process keeps the bucket. Otherwise when the server cannot be
    /// reached.
    pub async fn open(
        app_url: &str,
        worker_url: &str,
        options: &PostgresLedgerOptions,
    ) -> Result<Arc<Self>, PortError> {
        let opened = Self::open_with(app_url, worker_url, options).await;
        opened.map(Arc::new).map_err(|failure| failure.during("open the ledger in PostgreSQL"))
    }

    async fn open_with(app_url: &str, worker_url: &str, options: &PostgresLedgerOptions) -> Result<Self, Failure> {
        let app = connect(app_url, &options.app, SCHEMA, &APP_SETTINGS).await?;
        check(&app, &schema(), Login::App).await?;
        let replica = match &options.replica {
            Some(replica) => Some(Replica::new(replica, &APP_SETTINGS, &app).await?),
            None => None,
        };
        let app = Readers::new(app);
        let worker = connect(worker_url, &options.worker, SCHEMA, &WORKER_SETTINGS).await?;
        check(&worker, &schema(), Login::Worker).await?;
        let mut connection = worker.acquire().await?;
        let key = identity(&mut connection, options).await?;
        let (bucket, progress) = take(&mut connection, options).await?;
        let names = load_names(&mut connection).await?;
        let zones = load_zones(&mut connection).await?;
        drop(connection);
        let state = State { progress, tenants: HashMap::new(), names, zones, failure: None };
        let state = Arc::new(RwLock::new(state));
        let renewing = tokio::spawn(renew(worker.clone(), bucket, Arc::clone(&state)));
        let writer = Mutex::new(Writer::new(bucket, progress, options.rule, key));
        Ok(Self { app, replica, worker, rule: options.rule, bucket, state, writer, renewing })
    }

    /// Waits for what is under way, gives the bucket to others and closes all connections.
    ///
    /// # Errors
    /// When the bucket cannot be given away: others get it when the lease has ended.
    pub async fn close(&self) -> Result<(), PortError> {
        let _writer = self.writer.lock().await;
        self.renewing.abort();
        let released = async { self.bucket.release(&mut *self.worker.acquire().await?).await };
        let released = released.await;
        self.worker.close().await;
        self.app.close().await;
        if let Some(replica) = &self.replica {
            replica.readers.close().await;
        }
        released.map_err(|failure| failure.during("close the ledger in PostgreSQL"))
    }

    /// Applies what is left of `deliveries` from one batch to the next.
    async fn apply_all(
        &self,
        writer: &mut Writer,
        mut rest: &[Delivery],
        records: &mut AppliedRecords,
    ) -> Result<(), PortError> {
        let mut records_max = LEDGER_BATCH_RECORDS_MAX;
        while !rest.is_empty() {
            self.told(writer.settle(&self.worker, &self.state).await, "read how far the ledger in PostgreSQL is")?;
            let batch = Batch::take(rest, writer.progress.cursor, records_max);
            records.applied.extend(writer.recall(&batch.replayed));
            match writer.apply(&self.worker, &self.state, &batch.records).await {
                Ok(applied) => records.applied.extend(applied),
                // Which of them cannot be stored is told by trying each alone.
                Err(failure) if failure.kind() == ErrorKind::Unacceptable && batch.records.len() > 1 => {
                    records_max = 1;
                    rest = rest.get(batch.replayed.len()..).unwrap_or_default();
                    continue;
                }
                Err(failure) => return self.told(Err(failure), "apply records in PostgreSQL"),
            }
            rest = rest.get(batch.len()..).unwrap_or_default();
            if let Some(why) = batch.stopped {
                return Err(why);
            }
            self.keep_up(writer).await;
        }
        Ok(())
    }

    /// Folds what batches have left, if that is much. It stays as right as it is when that fails, and is tried again.
    async fn keep_up(&self, writer: &mut Writer) {
        if writer.deltas < LEDGER_DELTAS_MAX {
            return;
        }
        if let Err(failure) = upkeep::fold_user_days(writer, &self.worker, &self.state).await {
            tracing::warn!(%failure, "failed to fold sets of users");
        }
    }

    /// The error of the port, and that nothing can be written any more, if the bucket is lost.
    pub(crate) fn told<T>(&self, outcome: Result<T, Failure>, what: &str) -> Result<T, PortError> {
        outcome.map_err(|failure| {
            let kind = match failure.kind() {
                // Of rows, not of what the caller believes: it is read anew and tried again.
                ErrorKind::Conflict => ErrorKind::Unavailable,
                kind => kind,
            };
            if kind == ErrorKind::Closed {
                self.state.write().failure = Some(kind);
            }
            PortError::new(kind, what).because(failure)
        })
    }

    /// The rows of a tenant, as one moment has them; none if it has no events.
    pub(crate) async fn scoped(&self, scope: &TenantScope) -> Result<Option<Scoped>, Failure> {
        self.enter(self.app.pool.acquire().await?, scope).await
    }

    /// As [`PostgresLedger::scoped`], on the server that follows, if there is one that has everything.
    pub(crate) async fn scoped_anywhere(&self, scope: &TenantScope) -> Result<Option<Scoped>, Failure> {
        if let Some(replica) = &self.replica
            && let Some(on) = replica.caught_up(&self.app.pool).await
        {
            return replica.readers.enter(on, scope.tenant(), self.known(scope)).await;
        }
        self.scoped(scope).await
    }

    async fn enter(&self, on: PoolConnection<Postgres>, scope: &TenantScope) -> Result<Option<Scoped>, Failure> {
        self.app.enter(on, scope.tenant(), self.known(scope)).await
    }

    fn known(&self, scope: &TenantScope) -> Option<KnownTenant> {
        self.state.read().tenants.get(scope.tenant()).cloned()
    }

    async fn look_up(
        &self,
        on: PoolConnection<Postgres>,
        scope: &TenantScope,
        ids: &[EventId<'_>],
    ) -> Result<Vec<Option<Sighting>>, Failure> {
        let Some(mut scoped) = self.enter(on, scope).await? else { return Ok(vec![None; ids.len()]) };
        let found = lookups::sightings(&mut scoped, BUCKET, ids).await;
        scoped.end().await;
        found
    }

    async fn move_closing(&self, to: Timestamp, back: bool) -> Result<(), Failure> {
        let closed_through = self.bucket.close(&mut *self.worker.acquire().await?, to, back).await?;
        self.state.write().progress.closed_through = closed_through;
        Ok(())
    }
}

impl Drop for PostgresLedger {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// What never changes once the first process has opened the ledger: returns the secret of new tenants.
async fn identity(on: &mut PgConnection, options: &PostgresLedgerOptions) -> Result<[u8; 16], Failure> {
    let seconds = |us: i64| i32::try_from(us / MICROS_PER_SECOND).unwrap_or(i32::MAX);
    let told = |rule: WindowRule| (seconds(rule.length_us()), seconds(rule.grace_us()));
    let (length, grace) = told(options.rule);
    let fix =
        "INSERT INTO ledger (id, secret_key, window_sec, grace_sec) VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING";
    sqlx::query(fix).bind(options.seed_key.as_slice()).bind(length).bind(grace).execute(&mut *on).await?;
    let row = sqlx::query("SELECT secret_key, window_sec, grace_sec FROM ledger").fetch_one(on).await?;
    let (old_length, old_grace): (i32, i32) = (row.try_get(1)?, row.try_get(2)?);
    if (old_length, old_grace) != (length, grace) {
        let reason = format!(
            "windows are to have {length} s and a grace of {grace} s (window_length_sec, window_grace_sec), and the \
             ledger was made with {old_length} s and {old_grace} s"
        );
        return Err(Failure::Refused { kind: ErrorKind::Conflict, reason });
    }
    let key = <[u8; 16]>::try_from(row.try_get::<Vec<u8>, _>(0)?);
    key.map_err(|_| Failure::Refused { kind: ErrorKind::Corrupt, reason: "the secret is not 16 bytes".to_owned() })
}

/// Takes the bucket, as soon as nobody has it.
async fn take(
    on: &mut PgConnection,
    options: &PostgresLedgerOptions,
) -> Result<(Bucket, crate::bucket::Progress), Failure> {
    let taking = async {
        loop {
            let taken = Bucket::take(on, BUCKET, Uuid(options.node), options.lease).await?;
            if let Some(taken) = taken {
                return Ok(taken);
            }
            tokio::time::sleep(TAKE_PAUSE).await;
        }
    };
    // One lease, and a little, so that one that ends just then is seen.
    let taken = tokio::time::timeout(options.lease + TAKE_PAUSE * 10, taking).await;
    let kept = "another process has the bucket, and keeps it".to_owned();
    taken.map_err(|_| Failure::Refused { kind: ErrorKind::Conflict, reason: kept })?
}

/// Keeps the bucket until it is lost.
async fn renew(pool: PgPool, bucket: Bucket, state: Arc<RwLock<State>>) {
    loop {
        tokio::time::sleep(bucket.renewal()).await;
        let renewed = async { bucket.renew(&mut *pool.acquire().await?).await };
        match renewed.await {
            Ok(()) => {}
            Err(failure) if failure.kind() == ErrorKind::Closed => {
                tracing::error!(bucket = bucket.no, %failure, "failed to keep a bucket");
                state.write().failure = Some(ErrorKind::Closed);
                return;
            }
            Err(failure) => tracing::warn!(bucket = bucket.no, %failure, "failed to renew the lease of a bucket"),
        }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    fn cursor(&self) -> Seq {
        self.state.read().progress.cursor
    }

    fn applied(&self) -> Seq {
        self.cursor()
    }

    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords {
        let mut writer = self.writer.lock().await;
        let mut records = AppliedRecords::default();
        records.failed = self.apply_all(&mut writer, deliveries, &mut records).await.err();
        records
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError> {
        let mut writer = self.writer.lock().await;
        self.told(writer.settle(&self.worker, &self.state).await, "read how far the ledger in PostgreSQL is")?;
        let (seq, next) = (Seq::of_record(delivery.id), writer.progress.cursor.next());
        if seq < next {
            return Ok(());
        }
        if seq != next {
            return Err(PortError::new(ErrorKind::Conflict, format!("give record {seq} up: the next one is {next}")));
        }
        let given_up = changes::dead_letter(&mut writer, &self.worker, &self.state, delivery, reason).await;
        self.told(given_up, "keep a dead letter in PostgreSQL")
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        let hint = async {
            let connection = tokio::time::timeout(SIGHTING_WAIT_MAX, self.app.pool.acquire()).await.ok()?.ok()?;
            let found = tokio::time::timeout(LEDGER_HINT_WAIT_MAX, self.look_up(connection, scope, ids)).await;
            found.ok()?.ok()
        };
        hint.await.unwrap_or_else(|| vec![None; ids.len()])
    }

    fn holds_former_ids(&self) -> bool {
        self.state.read().progress.holds_former_ids
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        let found = async { self.look_up(self.app.pool.acquire().await?, scope, ids).await };
        let late = |_| PortError::new(ErrorKind::Overloaded, "look ids up: PostgreSQL does not answer in time");
        let found = tokio::time::timeout(PERMIT_WAIT_MAX, found).await.map_err(late)?;
        found.map_err(|failure| failure.during("look ids up in PostgreSQL"))
    }

    fn applied_position(&self) -> EventPosition {
        Position::new(self.applied(), u16::MAX).into()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        if through <= self.closed_through() {
            return Ok(());
        }
        let mut writer = self.writer.lock().await;
        self.told(self.move_closing(through, false).await, "close windows in PostgreSQL")?;
        writer.progress.closed_through = self.closed_through();
        Ok(())
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        if closed >= self.closed_through() {
            return Ok(());
        }
        let mut writer = self.writer.lock().await;
        self.told(self.move_closing(closed, true).await, "open windows again in PostgreSQL")?;
        writer.progress.closed_through = self.closed_through();
        Ok(())
    }

    fn closed_through(&self) -> Timestamp {
        self.state.read().progress.closed_through
    }

    /// Everything applied is durable.
    async fn flush(&self) -> Result<Seq, PortError> {
        Ok(self.cursor())
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        self.state.read().names.iter().cloned().collect()
    }

    fn failure(&self) -> Option<ErrorKind> {
        self.state.read().failure
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        let received = async {
            let Some(mut scoped) = self.scoped(scope).await? else { return Ok(Received::default()) };
            let no = scoped.tenant.no;
            let received = lookups::received(scoped.on(), no, range).await;
            scoped.end().await;
            received
        };
        received.await.map_err(|failure: Failure| failure.during("read what was received in PostgreSQL"))
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        let mut writer = self.writer.lock().await;
        self.told(writer.settle(&self.worker, &self.state).await, "read how far the ledger in PostgreSQL is")?;
        let tenant = scope.tenant();
        let metered = changes::meter_customer(&mut writer, &self.worker, &self.state, tenant, customer).await;
        self.told(metered, "count a customer in PostgreSQL")
    }

    fn stats(&self) -> LedgerStats {
        let progress = self.state.read().progress;
        LedgerStats { flushed_events: progress.events, dead_letters: progress.dead_letters, ..LedgerStats::default() }
    }
}
