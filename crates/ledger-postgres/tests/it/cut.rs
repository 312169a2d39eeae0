//! F23: the connection is cut when PostgreSQL has made a commit and its answer is on the way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ledger_postgres::PostgresLedger;
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;
use crate::place::{Base, options};

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
async fn f23_a_commit_whose_answer_is_lost_counts_once_and_is_told() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let (worker, cuts) = cutter(&base.worker_url()).await?;
    let ledger = PostgresLedger::open(&base.app_url(), &worker, &options()).await?;
    let tenant = scope("acme");
    for seq in 1..6_u64 {
        let events = [event(&format!("e{seq}"), 0), event("every", 0)];
        cuts.store(1, Ordering::SeqCst);
        let applied = ledger.apply(&[record(seq, &tenant, at(1), &events)]).await;
        assert_eq!(cuts.load(Ordering::SeqCst), 0, "it was cut");
        assert!(applied.failed.is_none(), "the cursor tells that it counts: {:?}", applied.failed);
        let every = if seq == 1 { Of::Fresh } else { Of::Duplicate };
        assert_eq!(applied.applied[0].outcomes, [Of::Fresh, every]);
        assert_eq!(base.sql("SELECT cursor, events FROM buckets")?, format!("{seq}|{}", seq + 1));
    }
    for (seq, what) in [(6, "a dead letter"), (7, "another")] {
        cuts.store(1, Ordering::SeqCst);
        let letter = record(seq, &tenant, at(1), &[event("never", 0)]);
        assert!(ledger.dead_letter(&letter, what).await.is_err(), "its outcome is unknown");
        ledger.dead_letter(&letter, what).await?;
        assert_eq!(ledger.cursor().0, seq);
    }
    assert_eq!(base.sql("SELECT dead_letters, (SELECT count(*) FROM dead_letters) FROM buckets")?, "2|2");
    cuts.store(1, Ordering::SeqCst);
    assert!(ledger.meter_customer(&tenant, "c").await.is_err());
    ledger.meter_customer(&tenant, "c").await?;
    let applied = ledger.apply(&[record(8, &tenant, at(1), &[event("metered", 0).customer("c")])]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert_eq!(base.sql("SELECT events FROM received WHERE customer = 'c'")?, "1");
    Ok(())
}
