//! The suites of the ports.

use std::any::Any;
use std::sync::Arc;

use domain::window::WindowRule;
use ledger_postgres::PostgresLedger;
use parking_lot::Mutex;
use ports::testing::ledger::conformance::{
    Home, active_users_conformance, analytics_conformance, ledger_conformance, queries_conformance,
    questions_conformance, reports_conformance,
};

use crate::Outcome;
use crate::place::{Base, Copy, options};

/// Runs a suite over ledgers in databases of their own.
macro_rules! keeps {
    ($name:ident, $suite:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> Outcome {
            let Some(base) = Base::migrated().await? else { return Ok(()) };
            $suite(|rule| fresh(&base, rule)).await;
            Ok(())
        }
    };
}

#[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
async fn fresh(base: &Base, rule: WindowRule) -> Arc<PostgresLedger> {
    base.fresh(rule).await.unwrap()
}

keeps!(postgresql_keeps_the_contract_of_a_ledger, ledger_conformance);
keeps!(postgresql_keeps_the_contract_of_reports, reports_conformance);
keeps!(postgresql_keeps_the_contract_of_active_users, active_users_conformance);
keeps!(postgresql_keeps_the_contract_of_analytics, analytics_conformance);

/// A database, and the process that has its bucket.
struct OneDatabase {
    copy: Copy,
    open: Mutex<Option<Arc<PostgresLedger>>>,
    /// As long as it lives, nobody else gets the database.
    _user: Arc<dyn Any + Send + Sync>,
}

impl Home for OneDatabase {
    type Ledger = PostgresLedger;

    #[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
    async fn open(&self) -> Arc<PostgresLedger> {
        let last = self.open.lock().take();
        if let Some(last) = last {
            last.close().await.unwrap();
        }
        let ledger = PostgresLedger::open(&self.copy.app_url, &self.copy.worker_url, &options()).await.unwrap();
        *self.open.lock() = Some(Arc::clone(&ledger));
        ledger
    }
}

#[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
async fn home(base: &Base) -> OneDatabase {
    let user: Arc<dyn Any + Send + Sync> = Arc::new(());
    let copy = base.copy(Arc::downgrade(&user)).await.unwrap();
    OneDatabase { copy, open: Mutex::new(None), _user: user }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_runs_queries_as_the_oracle() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    queries_conformance(async || home(&base).await).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_answers_questions_as_the_oracle() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    questions_conformance(1..=8, async || home(&base).await).await;
    Ok(())
}
