//! Reading for a caller: files block, so they are read on threads for that, a limited number at a time and
//! for a limited time, and a read whose caller has left ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::limits::QUERY_TIME_MAX;
use domain::tenant::TenantScope;
use parquet::errors::ParquetError;
use ports::fair::{FairLimiter, FairPermit};
use ports::{ErrorKind, PortError};

use crate::core::Core;

/// Set when nobody waits for an answer any more.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    /// What the work asks whether it is still waited for.
    pub(crate) fn patience(&self) -> Patience {
        Patience(Arc::clone(&self.0))
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets a read end early when nobody waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// Asked once per batch of rows.
    pub(crate) fn check(&self) -> Result<(), ParquetError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(ParquetError::General("nobody waits for the answer any more".into()));
        }
        Ok(())
    }
}

impl Core {
    /// Waits until one read more of the tenant may run. Taken before anything is set aside for the read,
    /// so that those that wait hold nothing. The server itself needs no turn.
    pub(crate) async fn turn(&self, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
        turn_of(&self.readers, scope).await
    }

    /// The same for one look into the manifest.
    pub(crate) async fn lookup(&self, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
        turn_of(&self.lookups, scope).await
    }

    /// Runs a read of a tenant's files on a thread that may block.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, scope: &TenantScope, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &Patience) -> Result<T, PortError> + Send + 'static,
    {
        let turn = self.turn(scope).await?;
        self.read_in(turn, read).await
    }

    /// The same for whom a turn was taken already, or who reads no files and needs none. The turn ends
    /// with the read, also when nobody waits for that.
    pub(crate) async fn read_in<T, F>(self: &Arc<Self>, turn: Option<FairPermit>, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &Patience) -> Result<T, PortError> + Send + 'static,
    {
        let abandoned = Abandoned::default();
        let patience = abandoned.patience();
        let core = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&core, &patience)
        });
        match tokio::time::timeout(QUERY_TIME_MAX, reading).await {
            Ok(Ok(found)) => found,
            Ok(Err(panicked)) => {
                Err(PortError::new(ErrorKind::Unavailable, "read: the reader failed").because(panicked))
            }
            Err(_) => Err(took_too_long(QUERY_TIME_MAX)),
        }
    }
}

async fn turn_of(turns: &FairLimiter, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
    if scope.is_servers() {
        return Ok(None);
    }
    turns.take(scope.tenant()).await.map(Some)
}

/// Why a read that nobody waits for any more has ended.
pub(crate) fn given_up(why: ParquetError) -> PortError {
    PortError::new(ErrorKind::Unavailable, "read").because(why)
}

/// The refusal of an answer after the time that it may take.
pub(crate) fn took_too_long(time_max: Duration) -> PortError {
    let context = format!("answer within {} s: ask for less, or again when less is asked", time_max.as_secs_f64());
    PortError::new(ErrorKind::TimedOut, context)
}
