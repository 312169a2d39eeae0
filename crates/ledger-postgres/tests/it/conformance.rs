//! The suites of the port, over what is stored.

use std::sync::Arc;

use domain::window::WindowRule;
use ledger_postgres::PostgresLedger;
use ports::testing::ledger::conformance::{ledger_conformance, reports_conformance};

use crate::Outcome;
use crate::asked::Asked;
use crate::place::{Base, with_rule};

/// A ledger in a database of its own.
#[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
async fn fresh(base: &Base, rule: WindowRule) -> Arc<Asked> {
    let [app, worker, superuser] = base.copy().unwrap();
    let ledger = PostgresLedger::open(&app, &worker, &with_rule(rule)).await.unwrap();
    Arc::new(Asked::new(ledger, &superuser, rule).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_contract_of_a_ledger() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    ledger_conformance(|rule| fresh(&base, rule)).await;
    Ok(())
}

/// What is stored gives the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stores_what_reports_answer() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    reports_conformance(|rule| fresh(&base, rule)).await;
    Ok(())
}
