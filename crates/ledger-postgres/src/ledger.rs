//! The ledger itself: opening, and the port. One process writes its buckets, which it keeps by renewing their leases.

use std::sync::Arc;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::bucket::BucketCount;
use domain::event::EventId;
use domain::limits::{LEDGER_ATTEMPTS_MAX, LEDGER_ENDS_MAX, LEDGER_HINT_WAIT_MAX, PERMIT_WAIT_MAX, SIGHTING_WAIT_MAX};
use domain::position::{EventPosition, Position, Seq};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use hashbrown::HashMap;
use parking_lot::RwLock;
use ports::erasures::KnownErasures;
use ports::journal::Delivery;
use ports::ledger::{
    Applied, AppliedRecords, DeadRecord, Ledger, LedgerStats, Received, RetentionNotice, Sighting, TenantNotice,
};
use ports::{ErrorKind, PortError, error_chain};
use postgres::{Failure, Login, check, connect};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use crate::apply::Writer;
use crate::attempts::{Attempts, is_of_the_record};
use crate::batch::Batch;
use crate::bucket::lost_because;
use crate::changes::{self, tenant_of};
use crate::deltas::count_deltas;
use crate::fences::SCHEMA;
use crate::identity::{self, LedgerIdentity};
use crate::listening::ReceiptWatch;
use crate::options::PostgresLedgerOptions;
use crate::replica::Replica;
use crate::retention_run::{RetentionRun, load_standings};
use crate::schema::{refuse_few_partitions, schema};
use crate::scoped::{Readers, Scoped};
use crate::state::{KnownTenant, State, load_names, load_zones};
use crate::stored_erasures::{load_erasures, load_remains};
use crate::types::Uuid;
use crate::{lease, lookups, upkeep};

/// The worker reads and changes rows by their keys, and nothing else: plans that read whole tables are mistakes.
const WORKER_SETTINGS: [(&str, &str); 3] =
    [("enable_hashjoin", "off"), ("enable_mergejoin", "off"), ("enable_seqscan", "off")];

/// The server ends the work of those who have left.
const APP_SETTINGS: [(&str, &str); 1] = [("client_connection_check_interval", "1s")];

/// The ledger in PostgreSQL. Dropped, it leaves its buckets to the end of the lease; see [`PostgresLedger::close`].
#[derive(Debug)]
pub struct PostgresLedger {
    app: Readers,
    replica: Option<Replica>,
    pub(crate) worker: PgPool,
    pub(crate) rule: WindowRule,
    pub(crate) count: BucketCount,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) receipts: ReceiptWatch,
    /// Held by whoever counts days again, who must not see half of what an erasure removes.
    pub(crate) recounting: Mutex<()>,
    pub(crate) retention: parking_lot::Mutex<RetentionRun>,
    /// Names this process.
    pub(crate) node: Uuid,
    /// Told when an erasure has something to do.
    pub(crate) wake: Notify,
    renewing: JoinHandle<()>,
}

impl PostgresLedger {
    /// Opens the ledger with the logins of the application and of the worker, and takes its buckets. The schema has to be
    /// current, see [`crate::migrate`]. Waits for buckets that another process has for one lease.
    ///
    /// # Errors
    /// `Unacceptable`, with the reason, when the schema is not the one of this program, a login may do less or more than
    /// it is to, the address or the password is wrong, or the server may lose what it has committed. `Conflict` when the
    /// ledger was made with other windows, or another process keeps a bucket. Otherwise when the server cannot be
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
        refuse_few_partitions(&mut connection).await?;
        let wanted = LedgerIdentity { key: options.seed_key, rule: options.rule };
        let key = identity::settle(&mut connection, wanted).await?;
        drop(connection);
        let (buckets, was_left) = lease::take(&worker, options).await?;
        let mut connection = worker.acquire().await?;
        let attempts = Attempts::load(&mut connection, &buckets, was_left).await?;
        let names = load_names(&mut connection).await?;
        let zones = load_zones(&mut connection).await?;
        let deltas = count_deltas(&mut connection, &buckets.numbers()).await?;
        let erasures = load_erasures(&mut connection).await?;
        let remains = load_remains(&mut connection).await?;
        let (server, own) = load_standings(&mut connection).await?;
        let mut retention = RetentionRun::new(options);
        retention.settle(server, own, false);
        drop(connection);
        let (view, count) = (buckets.view(), buckets.count);
        let writer = Writer::new(buckets, options.rule, key, attempts, deltas);
        let mut state = State {
            progress: writer.progress(),
            applied: writer.through(),
            tenants: HashMap::new(),
            names,
            zones,
            erasures: KnownErasures::default(),
            remains,
            failure: None,
            outage: None,
        };
        state.follow_erasures(erasures);
        let state = Arc::new(RwLock::new(state));
        let renewing = tokio::spawn(lease::renew(worker.clone(), view, Arc::clone(&state)));
        let receipts = ReceiptWatch::new(&app.pool);
        Ok(Self {
            app,
            replica,
            worker,
            rule: options.rule,
            count,
            state,
            writer: Mutex::new(writer),
            receipts,
            recounting: Mutex::new(()),
            retention: parking_lot::Mutex::new(retention),
            node: Uuid(options.node),
            wake: Notify::new(),
            renewing,
        })
    }

    /// Waits for what is under way, gives the buckets to others and closes all connections.
    ///
    /// # Errors
    /// When the buckets cannot be given away: others get them when the lease has ended.
    pub async fn close(&self) -> Result<(), PortError> {
        let mut writer = self.writer.lock().await;
        self.renewing.abort();
        self.receipts.close();
        writer.attempts.take_back(&self.worker).await;
        let released = lease::release(&self.worker, &mut writer.buckets).await;
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
        while !rest.is_empty() {
            self.told(writer.settle(&self.worker, &self.state).await, "read how far the ledger in PostgreSQL is")?;
            let mut batch = writer.next_batch(rest);
            records.applied.extend(writer.recall(&batch.replayed));
            rest = rest.get(batch.replayed.len()..).unwrap_or_default();
            let is_alone = match &batch.stopped {
                Some(why) if batch.records.is_empty() => why.kind() == ErrorKind::Unacceptable,
                _ => writer.attempts.are_suspect(&batch.records),
            };
            let used = match rest.first() {
                Some(delivery) if is_alone && batch.foreign.is_none() => {
                    self.try_alone(writer, delivery, &mut batch, records).await?
                }
                _ => self.try_together(writer, &mut batch, records).await?,
            };
            rest = rest.get(used..).unwrap_or_default();
            self.keep_up(writer).await;
        }
        Ok(())
    }

    /// Applies a batch. Returns how many of the deliveries are used up by it.
    async fn try_together(
        &self,
        writer: &mut Writer,
        batch: &mut Batch<'_>,
        records: &mut AppliedRecords,
    ) -> Result<usize, PortError> {
        match writer.apply(&self.worker, &self.state, &batch.records, batch.through()).await {
            Ok(applied) => {
                let told = batch.told();
                records.applied.extend(applied.into_iter().take(told));
                if let Some(foreign) = batch.foreign {
                    let other = lost_because(format!("another process has the bucket of record {foreign}"));
                    return self.told(Err(other), "apply records in PostgreSQL");
                }
                // A record that is none is tried alone, when those before it have been applied.
                match batch.stopped.take() {
                    Some(why) if why.kind() != ErrorKind::Unacceptable => Err(why),
                    _ => Ok(told),
                }
            }
            // Which of them cannot be stored is told by trying each alone.
            Err(failure) if is_of_the_record(&failure) => {
                writer.attempts.suspects = writer.attempts.suspects.max(batch.records.len());
                Ok(0)
            }
            // Another process has taken some of the buckets; what is left, if anything, is tried without them.
            Err(failure) if failure.kind() == ErrorKind::Closed => Ok(0),
            Err(failure) => self.told(Err(failure), "apply records in PostgreSQL"),
        }
    }

    /// Applies one record whose attempts are counted, or gives it up when there were enough of them. Returns 1, or 0 when
    /// it is to be tried again at once.
    async fn try_alone(
        &self,
        writer: &mut Writer,
        delivery: &Delivery,
        batch: &mut Batch<'_>,
        records: &mut AppliedRecords,
    ) -> Result<usize, PortError> {
        let bucket = tenant_of(delivery).map_or(0, |tenant| writer.buckets.of(&tenant));
        let raised = writer.attempts.raise(&self.worker, &writer.buckets, bucket, delivery.id).await;
        let tries = match raised {
            // Which buckets are lost is found out when it is settled.
            Err(failure) if failure.kind() == ErrorKind::Closed => {
                writer.unsettle();
                return Ok(0);
            }
            raised => self.told(raised, "count the attempts of a record in PostgreSQL")?,
        };
        let failed = if tries > LEDGER_ENDS_MAX {
            PortError::new(ErrorKind::Unacceptable, format!("apply a record: {LEDGER_ENDS_MAX} processes ended at it"))
        } else if let Some(why) = batch.stopped.take().filter(|_| batch.records.is_empty()) {
            why
        } else {
            match writer.apply(&self.worker, &self.state, &batch.records, batch.through()).await {
                Ok(applied) => {
                    records.applied.extend(applied);
                    return Ok(1);
                }
                Err(failure) if is_of_the_record(&failure) => {
                    PortError::new(ErrorKind::Unacceptable, "apply a record in PostgreSQL").because(failure)
                }
                Err(failure) if failure.kind() == ErrorKind::Closed => {
                    writer.attempts.take_back(&self.worker).await;
                    return Ok(0);
                }
                Err(failure) => return self.told(Err(failure), "apply a record in PostgreSQL"),
            }
        };
        if tries < LEDGER_ATTEMPTS_MAX {
            writer.attempts.failed();
            return Err(failed);
        }
        let (seq, reason) = (Seq::of_record(delivery.id), error_chain(&failed));
        self.told(writer.settle(&self.worker, &self.state).await, "read how far the ledger in PostgreSQL is")?;
        let given_up = changes::dead_letter(writer, &self.worker, &self.state, delivery, &reason).await;
        self.told(given_up, "keep a dead letter in PostgreSQL")?;
        records.applied.push(Applied { seq, outcomes: Vec::new() });
        records.dead.push(DeadRecord { seq, reason });
        Ok(1)
    }

    /// Folds what batches have left, if that is much. It stays as right as it is when that fails, and is tried again.
    async fn keep_up(&self, writer: &mut Writer) {
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
                // A right that is missing, or a table: no record is to blame.
                ErrorKind::Unacceptable if !is_of_the_record(&failure) => ErrorKind::Unavailable,
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
        let found = lookups::sightings(&mut scoped, self.count.bucket_of(scope.tenant()).cast_signed(), ids).await;
        scoped.end().await;
        found
    }

    async fn move_closing(&self, to: Timestamp, back: bool) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        writer.settle(&self.worker, &self.state).await?;
        changes::close_windows(&mut writer, &self.worker, &self.state, to, back).await
    }
}

impl Drop for PostgresLedger {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    fn cursor(&self) -> Seq {
        self.state.read().progress.cursor
    }

    fn applied(&self) -> Seq {
        self.state.read().applied
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
        let (seq, next) = (Seq::of_record(delivery.id), writer.next().unwrap_or(Seq::of_record(delivery.id)));
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
        Position::new(self.state.read().progress.number, u16::MAX).into()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        if through <= self.closed_through() {
            return Ok(());
        }
        self.told(self.move_closing(through, false).await, "close windows in PostgreSQL")
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        if closed >= self.closed_through() {
            return Ok(());
        }
        self.told(self.move_closing(closed, true).await, "open windows again in PostgreSQL")
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

    fn outage(&self) -> Option<String> {
        self.state.read().outage.clone()
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
        if self.state.read().is_being_erased(scope.tenant(), customer) {
            let message = "count a customer in PostgreSQL: it is being erased, or all of its tenant is";
            return Err(PortError::new(ErrorKind::Conflict, message));
        }
        let metered = changes::meter_customer(&mut writer, &self.worker, &self.state, tenant, customer).await;
        self.told(metered, "count a customer in PostgreSQL")
    }

    fn retention_notice(&self) -> Option<RetentionNotice> {
        self.retention.lock().notice()
    }

    fn set_retention(&self, scope: &TenantScope, days: Option<u32>) {
        self.retention.lock().set_days(scope.tenant(), days);
    }

    fn retention_of(&self, scope: &TenantScope) -> TenantNotice {
        self.retention.lock().tenant_notice(scope.tenant())
    }

    fn refuses(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        self.state.read().refuses(scope.tenant(), customer, user)
    }

    fn erased_through(&self) -> Seq {
        let state = self.state.read();
        // Erasures know the ledger's own numbers, of which each record of the journal has had one.
        let since = state.progress.number.0.saturating_sub(state.erasures.erased_through().0);
        Seq(state.progress.cursor.0.saturating_sub(since))
    }

    fn stats(&self) -> LedgerStats {
        let progress = self.state.read().progress;
        LedgerStats { flushed_events: progress.events, dead_letters: progress.dead_letters, ..LedgerStats::default() }
    }
}
