//! Records that cannot be applied: who decides that, and what is never held against a record.

use std::sync::Arc;

use ledger_postgres::PostgresLedger;
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::receipts::{Fate, Receipts};
use ports::testing::ledger::records::{at, event, record, scope};

use crate::Outcome;
use crate::child;
use crate::place::Base;

/// Has the server refuse each event called "poison" with the error that stands in the table `refused`.
const REFUSING: &str = "CREATE TABLE public.refused (code text NOT NULL); GRANT SELECT ON public.refused TO public; \
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ \
    DECLARE code text := (SELECT r.code FROM public.refused r); BEGIN \
    IF NEW.id LIKE 'poison%' AND code = 'gone' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; \
    IF NEW.id LIKE 'poison%' AND code IS NOT NULL THEN RAISE EXCEPTION 'refused' USING ERRCODE = code; END IF; \
    RETURN NEW; END $$; \
    CREATE TRIGGER refuse BEFORE INSERT ON usage_events FOR EACH ROW EXECUTE FUNCTION public.refuse()";

/// Three records, of which the second one has an event that is refused.
fn three(first: u64) -> [Delivery; 3] {
    let make =
        |seq: u64, id: &str| record(seq, &scope("acme"), at(1), &[event(id, 0), event(&format!("{id}{seq}"), 0)]);
    [make(first, "a"), make(first + 1, "poison"), make(first + 2, "b")]
}

fn refuse(base: &Base, code: &str) -> Outcome {
    base.sql(&format!("DELETE FROM public.refused; INSERT INTO public.refused VALUES ('{code}')"))?;
    Ok(())
}

/// What of `records` a call leaves, and why.
async fn left<'r>(ledger: &PostgresLedger, records: &'r [Delivery]) -> (&'r [Delivery], Option<ErrorKind>) {
    let applied = ledger.apply(records).await;
    (&records[applied.applied.len()..], applied.failed.map(|why| why.kind()))
}

#[tokio::test]
async fn i1_a_record_that_is_refused_for_its_own_sake_is_given_up_at_the_third_try_whoever_tries() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    base.sql(REFUSING)?;
    for (round, code) in ["22P05", "22003", "54000", "23514"].into_iter().enumerate() {
        refuse(&base, code)?;
        let records = three(round as u64 * 3 + 1);
        let ledger = base.open().await?;
        let (rest, why) = left(&ledger, &records).await;
        assert_eq!((rest.len(), why), (2, Some(ErrorKind::Unacceptable)), "{code}: the first is applied");
        assert_eq!(left(&ledger, rest).await.1, Some(ErrorKind::Unacceptable));
        // The count outlives the process.
        ledger.close().await?;
        let ledger = base.open().await?;
        let applied = ledger.apply(rest).await;
        assert!(applied.failed.is_none(), "{code}: {:?}", applied.failed);
        assert_eq!(applied.applied.len(), 2, "{code}: the third goes on");
        assert_eq!(applied.dead.iter().map(|dead| dead.seq.0).collect::<Vec<_>>(), [round as u64 * 3 + 2]);
        assert!(applied.dead[0].reason.contains("refused"), "{}", applied.dead[0].reason);
        let fate = ledger.fate(&scope("acme"), rest[0].id).await?;
        assert!(matches!(fate, Some(Fate::DeadLettered(reason)) if reason.contains("refused")));
        ledger.close().await?;
    }
    let counts = "SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM dead_letters), \
                  (SELECT sum(dead_letters) FROM buckets), min(cursor), max(cursor), \
                  (SELECT count(*) FROM usage_events WHERE id LIKE 'poison%') FROM buckets";
    assert_eq!(base.sql(counts)?, "0|4|4|12|12|0");
    Ok(())
}

#[tokio::test]
async fn i1_what_is_no_record_is_given_up_at_the_third_try() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let [one, mut two, mut three] = three(1);
    two.payload.truncate(two.payload.len() - 1);
    three.payload.truncate(1);
    let records = [one, two, three];
    let mut rest = &records[..];
    for expected in [2, 2, 1, 1] {
        let why;
        (rest, why) = left(&ledger, rest).await;
        assert_eq!((rest.len(), why), (expected, Some(ErrorKind::Unacceptable)));
    }
    let (rest, why) = left(&ledger, rest).await;
    assert_eq!((rest.len(), why), (0, None));
    assert_eq!(base.sql("SELECT count(*), count(tenant_no) FROM dead_letters")?, "2|1");
    Ok(())
}

/// Timeouts, deadlocks, lost connections, other writers, missing rights, a full disk.
#[tokio::test]
async fn i1_no_record_is_given_up_for_what_is_not_its_own_fault() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    base.sql(REFUSING)?;
    let mut last = 0;
    for code in
        ["40P01", "40001", "57014", "55P03", "57P01", "08006", "23505", "42501", "42P01", "53300", "gone", "53100"]
    {
        refuse(&base, code)?;
        let records = three(last + 1);
        let ledger = base.open().await?;
        let kind = if code == "53100" { ErrorKind::Full } else { ErrorKind::Unavailable };
        // In a batch, and alone, since its last owner is gone as if it had been killed.
        for tries in 0..6 {
            assert_eq!(left(&ledger, &records).await.1, Some(kind), "{code}");
            if tries == 2 {
                base.sql("UPDATE buckets SET epoch = epoch + 1, expires_at = clock_timestamp() - interval '1 second'")?;
                let fenced = left(&ledger, &records).await;
                assert_eq!(fenced.1, Some(ErrorKind::Closed), "{code}");
                break;
            }
        }
        let ledger: Arc<PostgresLedger> = base.open().await?;
        for _ in 0..6 {
            assert_eq!(left(&ledger, &records).await.1, Some(kind), "{code}, alone");
        }
        base.sql("DELETE FROM public.refused")?;
        assert_eq!(left(&ledger, &records).await.1, None, "{code}");
        ledger.close().await?;
        last += 3;
    }
    let counts =
        "SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM dead_letters), max(cursor) FROM buckets";
    assert_eq!(base.sql(counts)?, format!("0|0|{last}"));
    Ok(())
}

/// It ends the process in a batch, then alone a hundred times; the process after that gives it up. With three, a record
/// that processes were killed at was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_record_that_ends_the_process_is_given_up_after_a_hundred_starts() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let mut starts = Vec::new();
    while starts.last() != Some(&true) {
        assert!(starts.len() < 15, "{starts:?}");
        let mut child = child::start(&base, 30, "ledger_postgres::at_record=return(17)")?;
        starts.push(tokio::task::spawn_blocking(move || child.wait()).await??.success());
        if starts.len() == 3 {
            let raised = "UPDATE attempts SET tries = 99 WHERE tries = 2 RETURNING tries";
            assert_eq!(base.sql(raised)?, "99", "it was tried alone twice; for most of the others");
        }
    }
    assert_eq!(starts, [false, false, false, false, true]);
    assert_eq!(base.sql("SELECT max(cursor), sum(dead_letters) FROM buckets")?, "30|1");
    assert_eq!(base.sql("SELECT record_no, payload IS NOT NULL FROM dead_letters")?, "17|t");
    assert_eq!(base.sql("SELECT count(*), count(dead_reason) FROM receipts")?, "30|1");
    assert_eq!(base.sql("SELECT count(*) FROM attempts")?, "0");
    Ok(())
}
