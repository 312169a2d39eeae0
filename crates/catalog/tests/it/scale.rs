//! Large registers and logs.

use domain::access::audit::{AuditDraft, AuditFilter};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::register::{AuditLog, Register, RegisterCommit};

use crate::Outcome;
use crate::place::{Folder, audit};

const COMMIT_ENTRIES: i64 = 10_000;
/// Each does as much as the others.
const ACTORS: i64 = 5_000;

#[tokio::test]
async fn a_log_of_a_hundred_thousand_entries_is_read_in_pages() -> Outcome {
    is_read_in_pages(100_000).await
}

#[tokio::test]
#[ignore = "writes a million entries"]
async fn a_log_of_a_million_entries_is_read_in_pages() -> Outcome {
    is_read_in_pages(1_000_000).await
}

/// That a page costs no more than itself is shown by the plans of the statements; this shows that they are right.
async fn is_read_in_pages(entries: i64) -> Outcome {
    let folder = Folder::new()?;
    let catalog = folder.catalog().await?;
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    for first in (0..entries).step_by(usize::try_from(COMMIT_ENTRIES)?) {
        let draft =
            |n: i64| AuditDraft { actor: format!("user:{}", n % ACTORS), ..audit(&scope, Timestamp::from_micros(n)) };
        let audit = (first..first + COMMIT_ENTRIES).map(draft).collect();
        catalog.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await?;
    }
    let mut filter = AuditFilter { actor: Some("user:7".to_owned()), ..AuditFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = catalog.audit_entries(&scope, &filter, 7).await?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.seq);
        seen.extend(page.iter().map(|entry| entry.seq));
    }
    let expected: Vec<_> =
        (0..entries / ACTORS).rev().map(|n| u64::try_from(n * ACTORS + 8)).collect::<Result<_, _>>()?;
    assert_eq!(seen, expected);
    let (from, to) = (Some(Timestamp::from_micros(1_000)), Some(Timestamp::from_micros(1_060)));
    let early = catalog.audit_entries(&scope, &AuditFilter { from, to, ..AuditFilter::default() }, 50).await?;
    assert_eq!(early.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1_011..=1_060).rev().collect::<Vec<_>>());
    Ok(())
}
