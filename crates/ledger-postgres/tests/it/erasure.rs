//! Erasures: as every ledger makes them, over a process that is killed in the middle, and down to the server's files.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::erasure::{ErasureRequest, Subject};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ledger_postgres::{Owner, PostgresLedger, PostgresLedgerOptions, maintain};
use parking_lot::Mutex;
use ports::PortError;
use ports::erasures::{ErasureStage, Erasures};
use ports::ledger::{Ledger, Outcome as Fate};
use ports::testing::clock::ManualClock;
use ports::testing::ledger::conformance::erasing::confirm;
use ports::testing::ledger::conformance::{Home, erasures_conformance, random_erasures_conformance};
use ports::testing::ledger::records::{at, event, record, scope};
use testservers::Postgres;

use crate::Outcome;
use crate::place::{Base, Copy, options};

/// A copy of a database, with the process that has its buckets.
struct OneCopy<'b> {
    base: &'b Base,
    copy: Copy,
    open: Mutex<Option<Arc<PostgresLedger>>>,
    _user: Arc<dyn Any + Send + Sync>,
}

impl Home for OneCopy<'_> {
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

    async fn maintain(&self, ledger: &PostgresLedger) -> Result<(), PortError> {
        let clock = ManualClock::new(Timestamp::MIN);
        ledger.maintain(&clock).await?;
        if ledger.unfinished().iter().all(|one| one.stage != ErasureStage::Confirmed) {
            return Ok(());
        }
        maintain(&self.base.owner_of(&self.copy.app_url), &self.base.logins).await?;
        ledger.maintain(&clock).await
    }
}

#[expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]
async fn copy(base: &Base) -> OneCopy<'_> {
    let user: Arc<dyn Any + Send + Sync> = Arc::new(());
    let copy = base.copy(Arc::downgrade(&user)).await.unwrap();
    OneCopy { base, copy, open: Mutex::new(None), _user: user }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_contract_of_erasures() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    erasures_conformance(async || copy(&base).await).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_what_an_erasure_leaves_is_what_was_there() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    random_erasures_conformance(1..=3, async || copy(&base).await).await;
    Ok(())
}

fn asked(id: &str, subject: Subject) -> ErasureRequest {
    ErasureRequest { id: id.to_owned(), subject, blocks: false, by: "user:a".to_owned() }
}

#[tokio::test]
async fn an_id_that_is_known_is_told_so_and_not_refused_also_when_memory_does_not_know_it() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let (ledger, acme) = (base.open().await?, scope("acme"));
    assert!(ledger.apply(&[record(1, &acme, at(1), &[event("e1", 0).user("v")])]).await.failed.is_none());
    ledger.erase(&acme, &ErasureRequest { blocks: true, ..asked("one", Subject::User("u".to_owned())) }).await?;
    ledger.close().await?;
    let ledger = base.open().await?;
    // From then on what is not known in memory is taken for new.
    assert!(ledger.apply(&[record(2, &acme, at(1), &[event("e2", 0)])]).await.failed.is_none());
    let later = ledger.apply(&[record(3, &acme, at(1), &["e1", "e3"].map(|id| event(id, 0).user("u")))]).await;
    assert_eq!(later.applied[0].outcomes, [Fate::Mismatch, Fate::Refused]);
    Ok(ledger.close().await?)
}

/// Removes what was asked for, and has the names of subjects forgotten.
async fn finish(base: &Base, ledger: &PostgresLedger) -> Result<(), PortError> {
    let clock = ManualClock::new(Timestamp::MIN);
    ledger.maintain(&clock).await?;
    confirm(ledger);
    ledger.maintain(&clock).await?;
    maintain(&base.owner_url(), &base.logins).await?;
    ledger.maintain(&clock).await
}

const USERS: u64 = 5;
const EVENTS: u64 = 12_000;

/// Events of one customer, of whom every fifth is of the same user.
async fn fill(ledger: &PostgresLedger, tenant: &TenantScope) {
    for seq in 1..=EVENTS / 1_000 {
        let events: Vec<_> = (0..1_000)
            .map(|n| {
                let id = seq * 1_000 + n;
                let seconds = i64::try_from(id).unwrap_or(0);
                event(&format!("e{id}"), seconds).customer("c").user(&format!("u{}", id % USERS)).tokens(1, 1)
            })
            .collect();
        let applied = ledger.apply(&[record(ledger.applied().next().0, tenant, at(1), &events)]).await;
        assert!(applied.failed.is_none(), "{:?}", applied.failed);
    }
}

/// A bucket that is soon free when its process was killed.
fn hasty() -> PostgresLedgerOptions {
    PostgresLedgerOptions { lease: Duration::from_secs(2), ..options() }
}

const VICTIM: &str = "erasure::a_process_that_is_killed_while_it_erases";
const URLS: &str = "NILOMETER_TEST_ERASING";

/// What the test below kills: erases until it is told to stand still, and then does. Without an address it has nothing
/// to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_erases() -> Outcome {
    let Ok(urls) = std::env::var(URLS) else { return Ok(()) };
    let _failing = fail::FailScenario::setup();
    let (app, worker) = urls.split_once(' ').unwrap_or_default();
    let ledger = PostgresLedger::open(app, worker, &hasty()).await?;
    ledger.maintain(&ManualClock::new(Timestamp::MIN)).await?;
    Ok(())
}

/// Kills a process with SIGKILL in the middle of an erasure, before and after the commit of a step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_a_process_that_is_killed_in_the_middle_leaves_an_erasure_that_goes_on() -> Outcome {
    for subject in [Subject::User("u1".to_owned()), Subject::Customer("c".to_owned()), Subject::Workspace] {
        for point in ["before_step", "after_step"] {
            let Some(base) = Base::migrated().await? else { return Ok(()) };
            let (ledger, acme) = (base.open_with(&hasty()).await?, scope("acme"));
            fill(&ledger, &acme).await;
            fill(&ledger, &scope("other")).await;
            ledger.erase(&acme, &asked("one", subject.clone())).await?;
            ledger.close().await?;
            let all = base.sql("SELECT count(*) FROM usage_events")?;
            // After two steps it stands still, in the third or behind it.
            let mut victim = Command::new(std::env::current_exe()?)
                .args(["--exact", VICTIM, "--nocapture"])
                .env(URLS, format!("{} {}", base.app_url(), base.worker_url()))
                .env("FAILPOINTS", format!("ledger_postgres::{point}=2*off->sleep(600000)"))
                .stdout(Stdio::null())
                .spawn()?;
            // Steps of a whole tenant may go through tables before any events.
            let begun = "SELECT (SELECT count(*) FROM unscrubbed WHERE name LIKE 'usage_events%') \
                         + (SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' \
                            AND usename LIKE '%_worker' AND datname = current_database())";
            while base.sql(begun)? == "0" && victim.try_wait()?.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            victim.kill()?;
            victim.wait()?;
            let ledger = base.open_with(&hasty()).await?;
            assert_eq!(ledger.unfinished().first().map(|one| one.stage), Some(ErasureStage::Removing), "{point}");
            finish(&base, &ledger).await?;
            assert_eq!(ledger.unfinished(), [], "{subject:?} {point}");
            let gone = ledger.erasures(&acme).first().map(|erasure| erasure.gone.events);
            let expected = if matches!(subject, Subject::User(_)) { EVENTS / USERS } else { EVENTS };
            assert_eq!(gone, Some(expected), "each event is counted once: {subject:?} {point}");
            let left = base.sql("SELECT count(*) FROM usage_events")?;
            assert_eq!(left.parse::<u64>()? + expected, all.parse::<u64>()?, "{subject:?} {point}");
            let kept = if subject == Subject::Workspace { 0 } else { expected };
            let residuals = base.sql("SELECT coalesce(sum(calls), 0) FROM residuals")?;
            assert_eq!(residuals, kept.to_string(), "{subject:?} {point}");
            ledger.close().await?;
        }
    }
    Ok(())
}

/// What a file holds; nothing if the server has deleted it meanwhile.
#[expect(clippy::disallowed_methods, reason = "a file of the test's own server, which has 1 GiB at most")]
fn bytes_of(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_default()
}

/// The files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if String::from_utf8_lossy(&bytes_of(&path)).contains(text) {
                found.insert(path.display().to_string());
            }
        }
    }
    Ok(found)
}

const CUSTOMER: &str = "cUsToMeR9f3Kq2Zx";
const USER: &str = "uSeR77aLmQw0pYtR";
const ID: &str = "iD51vNbXcR8sEeHj";
const TEXT: &str = "pRoPeRtY4gUiKz1W";
/// How long texts may be found after an erasure is finished.
const CLEAN_WITHIN: Duration = Duration::from_secs(60);

/// With the settings of `docs/compliance.md`: old files of the log are deleted, and the owner may begin a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_is_in_no_file_of_the_server() -> Outcome {
    for (subject, kept) in [
        (Subject::Customer(CUSTOMER.to_owned()), vec![]),
        (Subject::User(USER.to_owned()), vec![CUSTOMER]),
        (Subject::Workspace, vec![]),
    ] {
        let settings = [("wal_recycle", "off"), ("autovacuum_naptime", "1s"), ("autovacuum_analyze_threshold", "10")];
        let Some(server) = Postgres::launch(&settings)? else { return Ok(()) };
        let base = Base::on(&server)?;
        base.migrate().await?;
        let owner = format!("{}_owner", base.name());
        base.sql(&format!("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {owner}; GRANT pg_checkpoint TO {owner}"))?;
        let (ledger, acme) = (base.open().await?, scope("acme"));
        let property = format!(r#"{{"note":"{TEXT}"}}"#);
        let of_subject =
            |n: u64| event(&format!("{ID}-{n}"), 50).customer(CUSTOMER).user(USER).properties(&property).kind("kept");
        for n in 0..40_u64 {
            let events = [event(&format!("plain-{n}"), 100).user("other"), of_subject(n)];
            let applied = ledger.apply(&[record(n + 1, &acme, at(200), &events)]).await;
            assert!(applied.failed.is_none(), "{:?}", applied.failed);
        }
        ledger.meter_customer(&acme, CUSTOMER).await?;
        ledger.dead_letter(&record(41, &acme, at(200), &[of_subject(41)]), "it cannot be applied").await?;
        base.sql("ANALYZE; CHECKPOINT")?;
        let data = server.folder().join("data");
        for text in [CUSTOMER, USER, ID, TEXT] {
            let found = holding(&data, text)?;
            assert!(found.iter().any(|name| name.contains("/base/")), "{text} in a table: {found:?}");
            assert!(found.iter().any(|name| name.contains("/pg_wal/")), "{text} in the log: {found:?}");
        }
        ledger.erase(&acme, &asked("one", subject.clone())).await?;
        finish(&base, &ledger).await?;
        assert!(ledger.erasures(&acme).iter().all(|erasure| erasure.finished_at.is_some()), "{subject:?}");
        let gone: Vec<_> = [CUSTOMER, USER, ID, TEXT].into_iter().filter(|text| !kept.contains(text)).collect();
        let cleaning = async {
            loop {
                let left: Vec<_> = gone.iter().map(|text| holding(&data, text)).collect::<Result<_, _>>()?;
                if left.iter().all(BTreeSet::is_empty) {
                    return Ok::<_, std::io::Error>(());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(CLEAN_WITHIN, cleaning).await.is_err() {
            let left: Vec<_> = gone.iter().map(|text| (text, holding(&data, text))).collect();
            return Err(format!("{subject:?} {left:?}").into());
        }
        for text in &kept {
            assert!(!holding(&data, text)?.is_empty(), "{subject:?} {text} stays");
        }
        ledger.close().await?;
    }
    Ok(())
}

/// A server with the owner's login finishes erasures by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_owners_login_an_erasure_is_finished_in_the_background() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let (ledger, acme) = (base.open().await?, scope("acme"));
    let events = [event("e1", 0).user("u"), event("e2", 0).user("v")];
    assert!(ledger.apply(&[record(1, &acme, at(1), &events)]).await.failed.is_none());
    let owner = Owner { url: base.owner_url(), logins: base.logins.clone() };
    let working = ledger.maintain_in_background(Arc::new(ManualClock::new(at(0))), Some(owner));
    ledger.erase(&acme, &asked("one", Subject::User("u".to_owned()))).await?;
    while ledger.unfinished().iter().any(|one| one.stage != ErasureStage::Removed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    confirm(&*ledger);
    while !ledger.unfinished().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let erasure = ledger.erasures(&acme).into_iter().next().ok_or("it is told")?;
    assert_eq!((erasure.gone.events, erasure.finished_at.is_some()), (1, true));
    assert!(ledger.remains().iter().any(|place| place.contains("backups")), "{:?}", ledger.remains());
    working.abort();
    ledger.close().await?;
    Ok(())
}
