//! A hint that the ledger has committed something, for those who wait for a receipt: PostgreSQL's LISTEN, on a connection
//! of its own that is made when somebody waits for the first time. A hint may be missing, so nobody relies on one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::rows::RECEIPTS_CHANNEL;

/// The wait after the connection could not be made.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells of commits.
#[derive(Debug)]
pub(crate) struct ReceiptWatch {
    pool: PgPool,
    commits: Arc<Notify>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl ReceiptWatch {
    /// Listens to the server that this pool reaches, once somebody waits.
    pub(crate) fn new(app: &PgPool) -> Self {
        let options = app.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        Self { pool, commits: Arc::new(Notify::new()), listening: Mutex::new(None) }
    }

    /// What is notified when there was a commit.
    pub(crate) fn commits(&self) -> Arc<Notify> {
        let start = || tokio::spawn(listen(self.pool.clone(), Arc::clone(&self.commits)));
        self.listening.lock().get_or_insert_with(start);
        Arc::clone(&self.commits)
    }

    /// Listens no longer.
    pub(crate) fn close(&self) {
        if let Some(listening) = self.listening.lock().take() {
            listening.abort();
        }
    }
}

impl Drop for ReceiptWatch {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(pool: PgPool, commits: Arc<Notify>) {
    loop {
        if let Err(error) = listen_once(&pool, &commits).await {
            tracing::warn!(%error, "commits of other processes are seen a little later: failed to listen for them");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection cannot be made, or made again.
async fn listen_once(pool: &PgPool, commits: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(RECEIPTS_CHANNEL).await?;
    loop {
        // Also when the connection was lost: there may have been a commit meanwhile.
        commits.notify_waiters();
        listener.try_recv().await?;
    }
}
