//! The reference tables in use: changed one at a time per tenant, stored durably first, then shown to
//! the live view. Decides nothing itself; see `domain::reference`.

use std::collections::HashMap;
use std::sync::Arc;

use domain::access::audit::Cause;
use domain::limits::REFERENCE_FUTURE_US_MAX;
use domain::reference::{Decision, Patch, ReferenceTable, TableRefusal, Users};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::Mutex;
use ports::clock::Clock;
use ports::live::Live;
use ports::references::References;
use ports::{ErrorKind, PortError};

use crate::audited;

/// A change to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// Puts these users in place of all there are.
    Replace {
        /// The version time.
        ts: Timestamp,
        /// All users.
        users: Users,
    },
    /// Merges these.
    Patch {
        /// The version time; now when absent.
        ts: Option<Timestamp>,
        /// Users that are added, changed or taken away.
        users: Patch,
    },
    /// Takes away a user who is erased. The version time stays.
    Forget {
        /// Who.
        user: String,
    },
}

/// Why a table was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The change is stale or not allowed.
    #[error(transparent)]
    Refused(#[from] TableRefusal),
    /// It could not be stored or shown.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl TableChange {
    /// The version time that the change names.
    fn ts(&self) -> Option<Timestamp> {
        match self {
            Self::Replace { ts, .. } => Some(*ts),
            Self::Patch { ts, .. } => *ts,
            Self::Forget { .. } => None,
        }
    }

    /// What the audit log calls it.
    fn action(&self) -> &'static str {
        match self {
            Self::Replace { .. } => "reference.replace",
            Self::Patch { .. } | Self::Forget { .. } => "reference.patch",
        }
    }
}

/// The tables of all tenants.
#[derive(Debug, Clone)]
pub struct ReferenceTables {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn References>,
    live: Arc<dyn Live>,
    clock: Arc<dyn Clock>,
    /// `None` until they are loaded.
    tables: Mutex<Option<HashMap<TenantId, Arc<Entry>>>>,
}

/// One tenant's table.
#[derive(Debug, Default)]
struct Entry {
    /// Held while it is changed.
    changing: tokio::sync::Mutex<Changing>,
    current: Mutex<Arc<ReferenceTable>>,
}

#[derive(Debug, Default)]
struct Changing {
    /// The outcome of the last write is unknown: the stored table may be another one.
    doubtful: bool,
}

impl ReferenceTables {
    pub(crate) fn new(store: Arc<dyn References>, live: Arc<dyn Live>, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { store, live, clock, tables: Mutex::new(None) }) }
    }

    /// Reads all tables and shows them to the live view.
    pub(crate) async fn load(&self) -> Result<(), PortError> {
        let mut tables = HashMap::new();
        for (tenant, table) in self.inner.store.reference_tables().await? {
            self.inner.live.set_reference(&tenant, Arc::clone(&table)).await?;
            tables.insert(tenant, Arc::new(Entry { current: Mutex::new(table), ..Entry::default() }));
        }
        *self.inner.tables.lock() = Some(tables);
        Ok(())
    }

    /// The table in use; of generation 0 when there never was one.
    ///
    /// # Errors
    /// `Unavailable` while the tables are being loaded.
    pub fn table(&self, scope: &TenantScope) -> Result<Arc<ReferenceTable>, PortError> {
        Ok(Arc::clone(&self.inner.entry(scope)?.current.lock()))
    }

    /// Changes a table; durable with the audit entry about it, and in use, on return. `expected` is the generation that the change was
    /// made for, if it says so. Goes on to its end when the caller goes away; `held`, its reservation of
    /// bounded memory, is dropped then.
    ///
    /// # Errors
    /// [`TableError`]; after `Refused` nothing has changed.
    pub async fn change(
        &self,
        scope: &TenantScope,
        change: TableChange,
        cause: &Cause,
        expected: Option<u64>,
        held: impl Send + 'static,
    ) -> Result<Arc<ReferenceTable>, TableError> {
        let (inner, scope, cause) = (Arc::clone(&self.inner), scope.clone(), cause.clone());
        let task = tokio::spawn(async move {
            let _held = held;
            inner.change(&scope, change, &cause, expected).await
        });
        task.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "change the reference table").because(why))?
    }
}

impl Inner {
    fn entry(&self, scope: &TenantScope) -> Result<Arc<Entry>, PortError> {
        let mut tables = self.tables.lock();
        let loading = || PortError::new(ErrorKind::Unavailable, "read the reference tables: they are being loaded");
        let tables = tables.as_mut().ok_or_else(loading)?;
        Ok(Arc::clone(tables.entry(scope.tenant().clone()).or_default()))
    }

    async fn change(
        &self,
        scope: &TenantScope,
        change: TableChange,
        cause: &Cause,
        expected: Option<u64>,
    ) -> Result<Arc<ReferenceTable>, TableError> {
        let entry = self.entry(scope)?;
        let mut changing = entry.changing.lock().await;
        if changing.doubtful {
            self.reload(scope, &entry).await?;
            changing.doubtful = false;
        }
        let current = Arc::clone(&entry.current.lock());
        let (before, now) = (Arc::clone(&current), self.clock.now());
        if change.ts().is_some_and(|ts| ts > now.plus_micros(REFERENCE_FUTURE_US_MAX)) {
            let why = "'ts' lies in the future; it would refuse every later change".to_owned();
            return Err(TableRefusal::Invalid { field: "ts".to_owned(), why }.into());
        }
        let action = change.action();
        // Comparing, checking and building tables of a million users is work for other threads.
        let deciding = tokio::task::spawn_blocking(move || match change {
            TableChange::Replace { ts, users } => before.replace(ts, users, expected),
            TableChange::Patch { ts, users } => before.patch(ts, now, users, expected),
            TableChange::Forget { user } => Ok(before.without(&user)),
        });
        let decided = deciding.await;
        let decided =
            decided.map_err(|why| PortError::new(ErrorKind::Unavailable, "decide on the table").because(why))?;
        let Decision::Changed(next) = decided? else { return Ok(current) };
        let next = Arc::new(next);
        let audit = audited::table_change(cause, scope, now, action, [&current, &next]);
        if let Err(error) = self.store.store_reference(scope, &next, &audit).await {
            changing.doubtful = true;
            return Err(error.into());
        }
        self.publish(scope, &entry, &next).await?;
        // Freeing a large table takes a while too.
        tokio::task::spawn_blocking(move || drop(current));
        Ok(next)
    }

    async fn publish(&self, scope: &TenantScope, entry: &Entry, table: &Arc<ReferenceTable>) -> Result<(), PortError> {
        *entry.current.lock() = Arc::clone(table);
        self.live.set_reference(scope.tenant(), Arc::clone(table)).await
    }

    async fn reload(&self, scope: &TenantScope, entry: &Entry) -> Result<(), PortError> {
        let stored = self.store.reference_tables().await?;
        let table = stored.into_iter().find(|(tenant, _)| tenant == scope.tenant()).map(|(_, table)| table);
        self.publish(scope, entry, &table.unwrap_or_default()).await
    }
}
