//! Large registers and logs.

use domain::access::audit::{AuditDraft, AuditFilter};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::register::{AuditLog, Register, RegisterCommit};

use crate::Outcome;
use crate::place::{Folder, audit};

const ENTRIES: i64 = 1_000_000;
const COMMIT_ENTRIES: i64 = 10_000;

/// That a page costs no more than itself is shown by the plans of the statements; this shows that they are right.
#[tokio::test]
#[ignore = "writes a million entries"]
async fn a_log_of_a_million_entries_is_read_in_pages() -> Outcome {
    let folder = Folder::new()?;
    let catalog = folder.catalog().await?;
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    for first in (0..ENTRIES).step_by(usize::try_from(COMMIT_ENTRIES)?) {
        let draft =
            |n: i64| AuditDraft { actor: format!("user:{}", n % 5_000), ..audit(&scope, Timestamp::from_micros(n)) };
        let audit = (first..first + COMMIT_ENTRIES).map(draft).collect();
        catalog.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await?;
    }
    let mut filter = AuditFilter { actor: Some("user:7".to_owned()), ..AuditFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = catalog.audit_entries(&scope, &filter, 50).await?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.seq);
        seen.extend(page.iter().map(|entry| entry.seq));
    }
    let expected: Vec<u64> = (0..200).rev().map(|n| n * 5_000 + 8).collect();
    assert_eq!(seen, expected);
    let (from, to) = (Some(Timestamp::from_micros(1_000)), Some(Timestamp::from_micros(1_060)));
    let early = catalog.audit_entries(&scope, &AuditFilter { from, to, ..AuditFilter::default() }, 50).await?;
    assert_eq!(early.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1_011..=1_060).rev().collect::<Vec<_>>());
    Ok(())
}
