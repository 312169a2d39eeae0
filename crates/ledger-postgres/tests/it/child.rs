//! Processes of their own that apply records: this test binary, started again with a task.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fail::FailScenario;
use ledger_postgres::{PostgresLedger, PostgresLedgerOptions};
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{at, event, record, scope};
use postgres::PostgresLimits;

use crate::Outcome;
use crate::place::{Base, options};

const TASK: &str = "LEDGER_POSTGRES_TASK";
/// How a process ends that another one has fenced.
pub(crate) const FENCED: i32 = 7;

/// A record of two tenants' events by turns: five of them, two of which the tenant's next record has as well.
pub(crate) fn make(seq: u64) -> Delivery {
    let tenant = if seq.is_multiple_of(2) { "acme" } else { "zeta" };
    let turn = seq.div_ceil(2);
    let events: Vec<_> =
        (0..5).map(|n| event(&format!("e{}", turn * 3 + n), 0).customer("c").user(&format!("u{n}"))).collect();
    record(seq, &scope(tenant), at(1), &events)
}

/// That the first `records` made by [`make`] count, each event once, in every table.
pub(crate) fn counted(base: &Base, records: u64) -> Outcome {
    let of_one = |records: u64| if records == 0 { 0 } else { records * 3 + 2 };
    let events = (of_one(records / 2) + of_one(records.div_ceil(2))).to_string();
    let counts = base.sql(
        "SELECT (SELECT count(*) FROM event_ids), (SELECT count(*) FROM usage_events), \
         (SELECT sum(calls) FROM aggregation_windows), (SELECT sum(calls) FROM customers), \
         (SELECT sum(calls) FROM rollups WHERE grain = 0), (SELECT sum(calls) FROM rollups WHERE grain = 1), \
         (SELECT sum(events) FROM received), (SELECT sum(events) FROM buckets), (SELECT sum(accepted) FROM receipts)",
    )?;
    assert_eq!(counts, vec![events; 9].join("|"));
    Ok(())
}

/// Starts a process that applies the records up to `last`, a few at a time, with these fail points.
pub(crate) fn start(base: &Base, last: u64, fail_points: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--exact", "child::a_process_of_its_own", "--nocapture"])
        .env(TASK, format!("{}\n{}\n{last}", base.app_url(), base.worker_url()))
        .env("FAILPOINTS", fail_points)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Short leases, and no transaction that stands still for long.
fn brief() -> PostgresLedgerOptions {
    let brief = Duration::from_secs(2);
    // A statement that waits for more from a process that is stopped is ended as a transaction that stands still.
    let limits = PostgresLimits { idle: brief, statement: brief, wait: Duration::from_secs(20), ..options().worker };
    PostgresLedgerOptions { app: limits, worker: limits, lease: Duration::from_millis(500), ..options() }
}

/// What the process does. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_its_own() -> Outcome {
    let Ok(task) = std::env::var(TASK) else { return Ok(()) };
    let _fail_points = FailScenario::setup();
    let [app, worker, last] = task.lines().collect::<Vec<_>>().try_into().map_err(|_| "no task")?;
    let last: u64 = last.parse()?;
    let ledger = loop {
        match PostgresLedger::open(app, worker, &brief()).await {
            Ok(ledger) => break ledger,
            // The last process still has the buckets.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    while ledger.cursor().0 < last {
        let next = ledger.cursor().0 + 1;
        let records: Vec<_> = (next..=last.min(next + 9)).map(make).collect();
        match ledger.apply(&records).await.failed.map(|why| why.kind()) {
            None | Some(ErrorKind::Unavailable) => {}
            Some(ErrorKind::Closed) => std::process::exit(FENCED),
            Some(kind) => return Err(format!("{kind:?}").into()),
        }
    }
    ledger.close().await?;
    Ok(())
}
