//! Several servers on one database: of two changes of one version one counts, who asks for what is new misses nothing, and
//! nobody waits for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use catalog::postgres::PostgresCatalog;
use domain::access::audit::{AuditHead, Cause};
use domain::access::ids::KeyId;
use domain::access::record::{Project, Record, Versioned};
use domain::quota::{Measure, QuotaKey, QuotaPeriod, VersionedQuota};
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::references::References;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};

use super::place::{Base, carried};
use crate::Outcome;
use crate::place::{audit, kind};
use crate::records::of_every_kind;

const WRITERS: usize = 8;

fn scope(id: &str) -> Result<TenantScope, Box<dyn std::error::Error>> {
    Ok(TenantScope::for_operator(TenantId::parse(id)?))
}

fn project(scope: &TenantScope, id: &str, versions: u64) -> Record {
    let first = Versioned::new(Timestamp::MIN);
    let versioned = (1..versions).fold(first, |versioned, _| versioned.next(Timestamp::MIN));
    let (workspace, name) = (scope.tenant().clone(), String::new());
    Record::Project(Project { workspace, id: id.into(), name, is_removed: false, versioned })
}

fn commit(scope: &TenantScope, record: Record) -> RegisterCommit {
    let audit = vec![audit(scope, Timestamp::MIN)];
    RegisterCommit { records: vec![record], audit, ..RegisterCommit::default() }
}

async fn servers(base: &Base) -> Result<Vec<Arc<PostgresCatalog>>, ports::PortError> {
    base.migrate().await?;
    let mut servers = Vec::new();
    for _ in 0..WRITERS {
        servers.push(Arc::new(base.open().await?));
    }
    Ok(servers)
}

/// Runs one thing on every server at once, and gives what each answered.
async fn at_once<T, F>(servers: &[Arc<PostgresCatalog>], run: impl Fn(Arc<PostgresCatalog>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = servers.iter().cloned().zip(0..).map(|(server, n)| tokio::spawn(run(server, n))).collect();
    futures::future::join_all(running).await.into_iter().filter_map(Result::ok).collect()
}

fn counted(answers: &[Option<ErrorKind>], kind: Option<ErrorKind>) -> usize {
    answers.iter().filter(|answer| **answer == kind).count()
}

async fn chain_is_whole(catalog: &PostgresCatalog, scope: &TenantScope, entries: u64) -> Outcome {
    let mut at = AuditHead::default();
    for entry in catalog.audit_chain(Some(scope.tenant()), 0, usize::MAX).await? {
        assert!(entry.follows(at), "{entry:?}");
        at = entry.head();
    }
    assert_eq!(at.seq, entries);
    assert!(catalog.audit_heads().await?.contains(&(Some(scope.tenant().clone()), at)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i3_of_changes_of_one_version_one_counts_and_the_others_are_conflicts() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let servers = servers(&base).await?;
    let a = scope("a")?;
    for round in 1..=10 {
        let commit = commit(&a, project(&a, "web", round));
        let told = at_once(&servers, |server, _| {
            let commit = commit.clone();
            async move { kind(server.commit(&commit).await) }
        });
        let told = told.await;
        assert_eq!(counted(&told, None), 1, "{told:?}");
        assert_eq!(counted(&told, Some(ErrorKind::Conflict)), WRITERS - 1, "{told:?}");

        let zone = VersionedZone { version: round, ..VersionedZone::default() };
        let told = at_once(&servers, |server, _| {
            let (zone, a) = (zone.clone(), a.clone());
            async move { kind(server.store_wanted_zone(&a, &zone, &carried(), &audit(&a, Timestamp::MIN)).await) }
        });
        let told = told.await;
        assert_eq!((counted(&told, None), counted(&told, Some(ErrorKind::Conflict))), (1, WRITERS - 1), "{told:?}");

        let key = QuotaKey { customer: None, measure: Measure::ALL[0], period: QuotaPeriod::ALL[0] };
        let quota = VersionedQuota { key, terms: None, version: round };
        let told = at_once(&servers, |server, _| {
            let (quota, a) = (quota.clone(), a.clone());
            async move { kind(server.store_quota(&a, &quota, &audit(&a, Timestamp::MIN)).await) }
        });
        let told = told.await;
        assert_eq!((counted(&told, None), counted(&told, Some(ErrorKind::Conflict))), (1, WRITERS - 1), "{told:?}");

        let table = Arc::new(ReferenceTable { generation: round, ..ReferenceTable::default() });
        let told = at_once(&servers, |server, _| {
            let (table, a) = (Arc::clone(&table), a.clone());
            async move { kind(server.store_reference(&a, &table, &audit(&a, Timestamp::MIN)).await) }
        });
        let told = told.await;
        assert_eq!((counted(&told, None), counted(&told, Some(ErrorKind::Conflict))), (1, WRITERS - 1), "{told:?}");
    }
    chain_is_whole(&servers[0], &a, 40).await
}

/// Nobody conflicts who changes nothing that another does: not over the first entry of a chain, nor over a tenant that all
/// make sure of.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_begins_on_all_servers_at_once_begins_once() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let servers = servers(&base).await?;
    for name in ["a", "b", "c"] {
        let of = scope(name)?;
        let told = at_once(&servers, |server, _| {
            let of = of.clone();
            async move {
                server.ensure_tenants(&[of.tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
                server.store_settings(&of, &TenantSettings::default(), &audit(&of, Timestamp::MIN)).await
            }
        });
        let told: Vec<_> = told.await.into_iter().map(kind).collect();
        assert_eq!(counted(&told, None), WRITERS, "{told:?}");
        chain_is_whole(&servers[0], &of, WRITERS as u64 + 1).await?;
    }
    assert_eq!(servers[0].tenants().await?.len(), 3);
    assert_eq!(servers[0].load(Revision(0), &mut drop).await?, Revision(3), "each has come with one revision");
    Ok(())
}

/// A reader that asks again and again for what is newer than the last answer gets every record, though they are written by
/// many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i3_who_asks_for_what_is_new_misses_no_commit() -> Outcome {
    const COMMITS: usize = 25;
    let Some(base) = Base::new()? else { return Ok(()) };
    let servers = servers(&base).await?;
    let is_done = Arc::new(AtomicBool::new(false));
    let reader = base.open().await?;
    let reading = tokio::spawn({
        let is_done = Arc::clone(&is_done);
        async move {
            let (mut after, mut seen, mut answers) = (Revision(0), BTreeSet::new(), 0_u32);
            loop {
                let was_done = is_done.load(Ordering::SeqCst);
                let mut take = |record| {
                    if let Record::Project(project) = record {
                        seen.insert(project.id.to_string());
                    }
                };
                let newest = reader.load(after, &mut take).await?;
                answers += u32::from(newest > after);
                after = newest;
                if was_done {
                    return Ok::<_, ports::PortError>((seen, answers, after));
                }
            }
        }
    });
    let a = scope("a")?;
    let written = at_once(&servers, |server, writer| {
        let a = a.clone();
        async move {
            for n in 0..COMMITS {
                server.commit(&commit(&a, project(&a, &format!("{writer}-{n}"), 1))).await?;
            }
            Ok::<_, ports::PortError>(())
        }
    });
    for written in written.await {
        written?;
    }
    is_done.store(true, Ordering::SeqCst);
    let (seen, answers, newest) = reading.await??;
    assert_eq!(seen.len(), WRITERS * COMMITS);
    assert_eq!(newest, Revision((WRITERS * COMMITS) as u64));
    assert!(answers > 3, "it has read in between: {answers}");
    Ok(())
}

/// Keys that are changed in one order and noted as used in another, by all servers at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let servers = servers(&base).await?;
    let acme = scope("acme")?;
    servers[0].ensure_tenants(&[acme.tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
    let keys: Vec<_> = of_every_kind(acme.tenant())?
        .into_iter()
        .filter_map(|record| match record {
            Record::ApiKey(key) => Some(key),
            _ => None,
        })
        .collect();
    let records = keys.iter().cloned().map(Record::ApiKey).collect();
    servers[0].commit(&RegisterCommit { records, ..RegisterCommit::default() }).await?;
    let told = at_once(&servers, |server, writer| {
        let (mut keys, acme) = (keys.clone(), acme.clone());
        async move {
            let mut told = Vec::new();
            if writer % 2 == 0 {
                keys.reverse();
            }
            for n in 0..15 {
                let used: Vec<(KeyId, Timestamp)> =
                    keys.iter().map(|key| (key.id, Timestamp::from_micros(n))).collect();
                told.push(kind(server.touch_keys(&used).await));
                let records = keys.iter_mut().map(|key| {
                    key.versioned = key.versioned.next(Timestamp::MIN);
                    Record::ApiKey(key.clone())
                });
                let audit = vec![audit(&acme, Timestamp::MIN)];
                let commit = RegisterCommit { records: records.collect(), audit, ..RegisterCommit::default() };
                told.push(kind(server.commit(&commit).await));
            }
            told
        }
    });
    let told = told.await.concat();
    assert_eq!(told.len(), WRITERS * 30);
    let conflicts = counted(&told, Some(ErrorKind::Conflict));
    assert_eq!(counted(&told, None) + conflicts, told.len(), "nothing but conflicts: {told:?}");
    chain_is_whole(&servers[0], &acme, (1 + WRITERS * 15 - conflicts) as u64).await
}
