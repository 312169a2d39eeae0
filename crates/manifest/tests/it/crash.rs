//! Kills at both edges of a commit, and writers that give up or meet.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange};
use domain::position::Seq;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;
use domain::window::WindowRule;
use manifest::SqliteManifest;
use ports::ErrorKind;
use ports::manifest::{Activity, ActivityFilter, Commit, Identity, Manifest, NewUsers};

use crate::Outcome;
use crate::place::{Folder, kind};

/// More than the page cache holds, so that a part is written out before the commit.
const ROLLUPS: u32 = 30_000;
/// Users that each change adds; it leaves the last page of names partly filled.
const USERS: u32 = 2_500;
/// Days that each user is active on.
const DAYS: i32 = 100;

fn identity() -> Identity {
    Identity { key: [7; 16], rule: WindowRule::default() }
}

fn large(from: u64, to: u64) -> Commit {
    let rollup = |number: u32| {
        let kind = format!("a-type-with-a-longer-name-{number:06}");
        let hour = Timestamp::from_micros(0);
        let key = RollupKey { tenant: TenantId::default_tenant(), project: String::new(), kind, hour };
        Rollup { key, totals: Totals { calls: 1, ..Totals::default() } }
    };
    let first = u32::try_from(from).unwrap_or(u32::MAX).saturating_mul(USERS);
    let numbers = first..first + USERS;
    let active = |day: i32| Activity {
        tenant: TenantId::default_tenant(),
        filter: ActivityFilter::All,
        day: Day::from_number(day),
        users: numbers.clone().map(|number| UserNumber(number * 9)).collect(),
    };
    let names = numbers.clone().map(|number| format!("user {number}")).collect();
    Commit {
        cursor: Some((Seq(from), Seq(to))),
        rollups: (0..ROLLUPS).map(rollup).collect(),
        users: vec![NewUsers { tenant: TenantId::default_tenant(), first, names }],
        activity: (0..DAYS).map(active).collect(),
        ..Commit::default()
    }
}

/// The cursor, and how much is counted: calls, users, active users of all days. A change counts
/// whole or not at all.
type Counted = (Seq, [u64; 3]);

/// What is counted after some of the changes.
fn after(changes: u64) -> Counted {
    let each = [u64::from(ROLLUPS), u64::from(USERS), u64::from(USERS) * u64::from(DAYS.unsigned_abs())];
    (Seq(changes), each.map(|count| count * changes))
}

async fn counted(store: &SqliteManifest) -> Result<Counted, ports::PortError> {
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let (at, rollups) = store.rollups(&scope, TimeRange::ALL).await?;
    let calls = rollups.iter().map(|rollup| rollup.totals.calls).sum();
    let sums = store.type_sums(&scope, TimeRange::ALL, None).await?;
    assert_eq!((sums.0, sums.1.iter().map(|(_, sums)| sums.calls).sum()), (at, calls));
    let active = store.activity(&scope, &ActivityFilter::All, DayRange::ALL).await?;
    let state = store.load(&identity()).await?;
    assert_eq!((state.cursor, active.0), (at, at));
    let users = state.users.iter().map(|(_, names)| names.len() as u64).sum();
    Ok((at, [calls, users, active.1.iter().map(|(_, users)| users.len()).sum()]))
}

/// What a kill at this failpoint of the second commit leaves.
async fn left_by_a_kill_at(failpoint: &str) -> Result<Counted, Box<dyn std::error::Error>> {
    let folder = Folder::new()?;
    let store = folder.store().await?;
    store.load(&identity()).await?;
    store.commit(&large(0, 1)).await?;
    let (copies, copied) = mpsc::channel();
    let (file, me) = (folder.file(), thread::current().id());
    fail::cfg_callback(failpoint, move || {
        // Failpoints belong to the process, so commits of other tests come by.
        if thread::current().id() == me {
            let _ = copies.send(Folder::copy_of(&file));
        }
    })?;
    store.commit(&large(1, 2)).await?;
    fail::remove(failpoint);
    let copy = copied.recv()??;
    Ok(counted(&copy.store().await?).await?)
}

#[tokio::test]
async fn f4_a_kill_before_the_commit_leaves_nothing_of_it() -> Outcome {
    assert_eq!(left_by_a_kill_at("manifest::before_commit").await?, after(1));
    Ok(())
}

#[tokio::test]
async fn f5_a_kill_after_the_commit_leaves_all_of_it() -> Outcome {
    assert_eq!(left_by_a_kill_at("manifest::after_commit").await?, after(2));
    Ok(())
}

#[tokio::test]
async fn a_commit_given_up_half_way_counts_whole_or_not_at_all() -> Outcome {
    let folder = Folder::new()?;
    let store = Arc::new(folder.store().await?);
    store.load(&identity()).await?;
    let mut at = after(0);
    for rounds in 0..12_u32 {
        let next = at.0.next();
        let change = large(at.0.0, next.0);
        tokio::select! {
            biased;
            done = store.commit(&change) => done?,
            () = yields(rounds * 40) => {}
        }
        let found = counted(&store).await?;
        let whole = after(next.0);
        assert!(found == at || found == whole, "{found:?} is neither {at:?} nor {whole:?}");
        at = found;
    }
    drop(store);
    assert_eq!(counted(&folder.store().await?).await?, at);
    Ok(())
}

async fn yields(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_writers_take_turns() -> Outcome {
    let folder = Folder::new()?;
    let store = Arc::new(folder.store().await?);
    store.load(&identity()).await?;
    // All believe the same cursor: exactly one may be right.
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let change = Commit { cursor: Some((Seq(0), Seq(1))), ..Commit::default() };
                kind(store.commit(&change).await)
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await? {
            None => won += 1,
            other => assert_eq!(other, Some(ErrorKind::Conflict)),
        }
    }
    assert_eq!(won, 1);
    Ok(())
}

/// What is told with a cursor is what was counted up to it, also while another task writes.
#[tokio::test]
async fn i3_a_reader_sees_the_cursor_and_the_counts_of_one_moment() -> Outcome {
    const CHANGES: u32 = 60;
    let folder = Folder::new()?;
    let store = Arc::new(folder.store().await?);
    store.load(&identity()).await?;
    let writer = Arc::clone(&store);
    let writes = tokio::spawn(async move {
        for number in 0..CHANGES {
            let tenant = TenantId::default_tenant();
            let (from, hour) = (u64::from(number), Timestamp::from_micros(0));
            let key = RollupKey { tenant: tenant.clone(), project: String::new(), kind: "k".into(), hour };
            let users = [UserNumber(number)].into_iter().collect();
            let (filter, day) = (ActivityFilter::All, Day::from_number(number.rem_euclid(3).cast_signed()));
            let change = Commit {
                cursor: Some((Seq(from), Seq(from + 1))),
                rollups: vec![Rollup { key, totals: Totals { calls: 1, ..Totals::default() } }],
                activity: vec![Activity { tenant, filter, day, users }],
                ..Commit::default()
            };
            writer.commit(&change).await?;
        }
        Ok::<_, ports::PortError>(())
    });
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let mut last = Seq(0);
    while last < Seq(CHANGES.into()) {
        let (at, days) = store.activity(&scope, &ActivityFilter::All, DayRange::ALL).await?;
        assert_eq!(days.iter().map(|(_, users)| users.len()).sum::<u64>(), at.0);
        let (then, sums) = store.type_sums(&scope, TimeRange::ALL, None).await?;
        assert_eq!(sums.iter().map(|(_, sums)| sums.calls).sum::<u64>(), then.0);
        let (now, rollups) = store.rollups(&scope, TimeRange::ALL).await?;
        assert_eq!(rollups.iter().map(|rollup| rollup.totals.calls).sum::<u64>(), now.0);
        assert!(last <= at && at <= then && then <= now);
        last = now;
        if writes.is_finished() && last < Seq(CHANGES.into()) {
            break;
        }
    }
    writes.await??;
    assert_eq!(store.load(&identity()).await?.cursor, Seq(CHANGES.into()));
    Ok(())
}
