//! F23: the connection is cut when PostgreSQL has made a commit and its answer is on the way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use catalog::postgres::PostgresCatalog;
use domain::access::audit::AuditFilter;
use domain::access::record::{Project, Record, Versioned};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::place::{Base, limits};
use crate::Outcome;
use crate::place::{audit, kind};

/// What a client sends to make its changes count: a query of its own, whose text ends with a zero.
const COMMIT: &[u8] = b"COMMIT\0";

/// Hands bytes on in both directions. As often as `cuts` says, the answer to a commit goes nowhere and both ends are cut.
async fn hand_on(client: TcpStream, server: TcpStream, cuts: Arc<AtomicU32>) -> io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut is_cut = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let bytes = asked.get(..read?).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(());
                }
                let commits = bytes.windows(COMMIT.len()).any(|part| part == COMMIT);
                is_cut = commits && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                to_server.write_all(bytes).await?;
            }
            read = from_server.read(&mut answered) => {
                let bytes = answered.get(..read?).unwrap_or_default();
                if bytes.is_empty() || is_cut {
                    return Ok(());
                }
                to_client.write_all(bytes).await?;
            }
        }
    }
}

/// An address that leads to another by way of a cutter, and how often it is to cut.
async fn cutter(url: &str) -> Result<(String, Arc<AtomicU32>), Box<dyn std::error::Error>> {
    let server = url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).ok_or("no server")?.0.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let by_way_of = url.replacen(&server, &listener.local_addr()?.to_string(), 1);
    let cuts = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&cuts);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, left) = (TcpStream::connect(server.clone()).await, Arc::clone(&left));
            tokio::spawn(async move {
                // Cut, or ended by one of the two.
                let _ = hand_on(client, server?, left).await;
                Ok::<_, io::Error>(())
            });
        }
    });
    Ok((by_way_of, cuts))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_commit_whose_answer_is_lost_is_unavailable_and_counts_once() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate().await?;
    let (url, cuts) = cutter(&base.app_url()).await?;
    let catalog = PostgresCatalog::open(&url, &limits()).await?;
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let mut versioned = Versioned::new(Timestamp::MIN);
    for version in 1..6 {
        let (workspace, name) = (scope.tenant().clone(), String::new());
        let project = Project { workspace, id: "web".into(), name, is_removed: false, versioned };
        let records = vec![Record::Project(project)];
        let audit = vec![audit(&scope, Timestamp::MIN)];
        let commit = RegisterCommit { records, audit, ..RegisterCommit::default() };
        cuts.store(1, Ordering::SeqCst);
        assert_eq!(kind(catalog.commit(&commit).await), Some(ErrorKind::Unavailable));
        assert_eq!(cuts.load(Ordering::SeqCst), 0, "it was cut");
        assert_eq!(catalog.poisoned(), None);
        // Who reads what is new sees that it counts; who repeats it is told, and it counts no second time.
        assert_eq!(catalog.load(Revision(version - 1), &mut drop).await?, Revision(version));
        assert_eq!(kind(catalog.commit(&commit).await), Some(ErrorKind::Conflict));
        assert_eq!(catalog.audit_entries(&scope, &AuditFilter::default(), 99).await?.len() as u64, version);
        versioned = versioned.next(Timestamp::MIN);
    }
    cuts.store(1, Ordering::SeqCst);
    let decided = TenantSettings { retention_days: Some(3), ..TenantSettings::default() };
    let told = kind(catalog.store_settings(&scope, &decided, &audit(&scope, Timestamp::MIN)).await);
    assert_eq!(told, Some(ErrorKind::Unavailable));
    assert_eq!(catalog.settings().await?, [(scope.tenant().clone(), decided)]);
    Ok(())
}
