//! Work that its caller gives up anywhere in its middle.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use domain::access::audit::AuditFilter;
use domain::access::record::Record;

use super::super::WholeCatalog;
use super::samples::{draft, project, since, sorted, workspace};
use crate::PortError;
use crate::register::{RegisterCommit, Revision};
use crate::testing::manifest::{Place, scope};

/// At how many places a change is given up.
const PLACES: u64 = 40;

/// What `future` gives if it is done after being asked `polls` times; else it is dropped.
async fn given_up_after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A change or a reading of one workspace that is dropped at any await counts whole or not at all, and leaves nothing
/// behind on the connection that the next workspace is served over.
pub(super) async fn f38_what_is_given_up_reaches_no_other_workspace(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let both = |of: &str, version| vec![project(of, "Web", version), Record::Workspace(workspace(of, version))];
    let change = |of: &str, version| RegisterCommit {
        records: both(of, version),
        audit: vec![draft(of, 1)],
        ..RegisterCommit::default()
    };
    let (mut version, mut given_up) = (0, 0);
    for polls in 0..PLACES {
        given_up += u64::from(given_up_after(polls, store.commit(&change("a", version + 1))).await.is_none());
        let all = AuditFilter::default();
        // Whether they are done makes no difference.
        let _ = given_up_after(polls, store.audit_entries(&scope("a"), &all, 10)).await;
        let _ = given_up_after(polls, store.load(Revision(0), &mut drop)).await;

        store.commit(&change("b", polls + 1)).await?;
        let of_b = store.audit_entries(&scope("b"), &all, 1_000).await?;
        assert_eq!(of_b.len() as u64, polls + 1, "one entry for each change of its own");
        let of_a = store.audit_entries(&scope("a"), &all, 1_000).await?.len() as u64;
        assert!(of_a == version || of_a == version + 1, "{of_a} entries after version {version}");
        version = of_a;
        let (records, _) = since(&*store, Revision(0)).await?;
        let of_a = if version == 0 { Vec::new() } else { both("a", version) };
        assert_eq!(records, sorted([of_a, both("b", polls + 1)].concat()));
    }
    assert!(given_up > 0, "nothing was given up");
    drop(store);
    // What was seen stays after the store is opened again.
    let (records, _) = since(&*place.open().await?, Revision(0)).await?;
    assert!(version == 0 || records.contains(&project("a", "Web", version)));
    Ok(())
}
