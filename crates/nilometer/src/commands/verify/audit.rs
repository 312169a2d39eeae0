//! The audit log against itself: every entry follows the one before, the last one is the noted head, and where the
//! detail of an entry is not there, it was erased, and the entry about that erasure and one that tells of it are there.
//! Whether the erasure was of whom the detail told shows no more when that is gone.

use std::collections::{BTreeMap, BTreeSet};

use domain::access::audit::{AuditDetail, AuditEntry, AuditHead};
use domain::access::erased_details::{DETAILS_ERASURE_ACTION, GoneDetails};
use domain::tenant::TenantId;
use ports::PortError;
use ports::register::AuditLog;

/// Entries that are read at once.
const PAGE_ENTRIES: usize = 1_000;

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AuditSummary {
    /// Entries read.
    pub(super) entries: u64,
    /// Entries of which an erasure has removed the detail.
    pub(super) erased: u64,
    /// Differences found.
    pub(super) differences: u64,
}

/// The erasures of one chain.
#[derive(Debug, Default)]
struct Erasures {
    /// By which entries details were erased, each with the first of those.
    named: BTreeMap<u64, u64>,
    /// The entries about erasures by which details go.
    found: BTreeSet<u64>,
    gone: GoneDetails,
}

impl Erasures {
    /// Takes in an entry; says whether its detail is erased.
    fn add(&mut self, entry: &AuditEntry) -> bool {
        if entry.draft.erases_details() {
            self.found.insert(entry.seq);
        }
        self.gone.add(entry);
        if entry.draft.action == DETAILS_ERASURE_ACTION {
            return false;
        }
        let AuditDetail::Erased { by, .. } = entry.detail else { return false };
        self.named.entry(by).or_insert(entry.seq);
        true
    }

    /// Entries that name an erasure which no entry is about, each with that.
    fn missing(&self) -> impl Iterator<Item = (u64, u64)> {
        self.named.iter().filter(|(by, _)| !self.found.contains(*by)).map(|(by, entry)| (*entry, *by))
    }

    /// The entries about erasures by which other details are gone than the log tells.
    fn others(&self) -> impl Iterator<Item = u64> {
        self.gone.others().filter(|by| self.found.contains(by))
    }
}

/// Follows every chain and hands over a line for each difference. An entry that was changed is one, and so is a gap.
pub(super) async fn follow_chains(
    log: &dyn AuditLog,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<AuditSummary, PortError> {
    let mut summary = AuditSummary::default();
    for (workspace, head) in log.audit_heads().await? {
        follow(log, workspace.as_ref(), head, &mut summary, tell).await?;
    }
    Ok(summary)
}

async fn follow(
    log: &dyn AuditLog,
    workspace: Option<&TenantId>,
    head: AuditHead,
    summary: &mut AuditSummary,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), PortError> {
    let name = workspace.map_or_else(|| "the server".to_owned(), |workspace| format!("workspace {workspace}"));
    let mut differs = |summary: &mut AuditSummary, expected: String, found: String| {
        summary.differences += 1;
        tell(format!("audit log of {name}: expected {expected}, found {found}"));
    };
    let (mut last, mut erasures) = (AuditHead::default(), Erasures::default());
    loop {
        let page = log.audit_chain(workspace, last.seq, PAGE_ENTRIES).await?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            summary.entries += 1;
            summary.erased += u64::from(erasures.add(&entry));
            if !entry.follows(last) {
                let expected = format!("entry {} as it was written", last.seq + 1);
                let found =
                    if entry.seq == last.seq + 1 { "another".to_owned() } else { format!("entry {}", entry.seq) };
                differs(summary, expected, found);
            }
            if matches!(entry.detail, AuditDetail::Missing { .. }) {
                differs(summary, format!("the detail of entry {}", entry.seq), "none".to_owned());
            }
            last = entry.head();
        }
    }
    for (entry, by) in erasures.missing() {
        differs(summary, format!("entry {by} about the erasure of entry {entry}"), "none".to_owned());
    }
    for by in erasures.others() {
        differs(summary, format!("the details that have gone by entry {by}"), "others gone".to_owned());
    }
    if head == AuditHead::default() {
        // A chain is there when it has an entry or a head.
        let hash: String = last.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        differs(
            summary,
            format!("its head to be noted, entry {} with the hash {hash}", last.seq),
            "no head".to_owned(),
        );
    } else if last.seq == 0 {
        differs(summary, format!("entry {} as the last", head.seq), "no entry".to_owned());
    } else if last.seq != head.seq {
        differs(summary, format!("entry {} as the last", head.seq), format!("entry {}", last.seq));
    } else if last != head {
        differs(summary, format!("entry {} as it was noted", head.seq), "another".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use domain::access::audit::{AuditFilter, Cause, ERASURE_ACTION, SALT_BYTES, WORKSPACE_ERASURE_ACTION};
    use domain::access::erased_details::ErasedDetails;
    use domain::tenant::TenantScope;
    use domain::time::Timestamp;

    /// The log of the server, and the head that was noted.
    #[derive(Debug, Clone)]
    struct Log(Vec<AuditEntry>, AuditHead);

    #[async_trait]
    impl AuditLog for Log {
        async fn audit_entries(
            &self,
            _: &TenantScope,
            _: &AuditFilter,
            _: usize,
        ) -> Result<Vec<AuditEntry>, PortError> {
            Ok(Vec::new())
        }

        async fn server_audit_entries(&self, _: &AuditFilter, _: usize) -> Result<Vec<AuditEntry>, PortError> {
            Ok(Vec::new())
        }

        async fn audit_heads(&self) -> Result<Vec<(Option<TenantId>, AuditHead)>, PortError> {
            Ok(vec![(None, self.1)])
        }

        async fn audit_chain(
            &self,
            _: Option<&TenantId>,
            after: u64,
            limit: usize,
        ) -> Result<Vec<AuditEntry>, PortError> {
            Ok(self.0.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect())
        }
    }

    fn erase(log: &mut Log, at: usize, by: u64) {
        log.0[at] = log.0[at].clone().erased(by);
    }

    /// As a row of the catalog that was deleted is read.
    fn lose_detail(log: &mut Log, at: usize) {
        erase(log, at, 0);
        let hash = log.0[at].detail_hash().unwrap_or_default();
        log.0[at].detail = AuditDetail::Missing { hash };
    }

    /// Found in November 2026: a detail that was missing ended the verification, one of the server's could be erased by
    /// what was erased in a workspace, and any by an erasure that it had not gone by.
    #[tokio::test]
    async fn each_change_gap_and_end_that_is_missing_is_told_once() -> Result<(), PortError> {
        let (mut entries, mut last) = (Vec::new(), AuditHead::default());
        for n in 0..2_500 {
            let action = match n {
                2_000 => WORKSPACE_ERASURE_ACTION,
                2_100 => ERASURE_ACTION,
                _ => "test",
            };
            let mut draft = Cause::command().draft(None, Timestamp::from_micros(n), action, "test");
            if n == 2_200 {
                let mut erased = ErasedDetails::default();
                [8, 12].into_iter().for_each(|seq| erased.add(seq));
                draft = erased.draft(None, Timestamp::from_micros(2_000), 2_001);
            }
            let entry = AuditEntry::after(last, draft, [1; SALT_BYTES]);
            last = entry.head();
            entries.push(entry);
        }
        let mut whole = Log(entries, last);
        erase(&mut whole, 7, 2_001);
        erase(&mut whole, 11, 2_001);
        let others = "expected the details that have gone by entry 2001, found others gone";
        let hash: String = last.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let no_head = format!("expected its head to be noted, entry 2500 with the hash {hash}, found no head");
        type Damage = fn(&mut Log);
        let damages: [(Damage, &str); 14] = [
            (|_| {}, ""),
            (|log| erase(log, 9, 2_001), others),
            (|log| erase(log, 9, 2_000), "expected entry 2000 about the erasure of entry 10, found none"),
            (|log| erase(log, 9, 2_101), "expected entry 2101 about the erasure of entry 10, found none"),
            (|log| lose_detail(log, 9), "expected the detail of entry 10, found none"),
            (
                |log| log.0[7].draft.address = Some("::1".to_owned()),
                "expected entry 8 as it was written, found another",
            ),
            (|log| log.0[1_000].draft.actor.push('x'), "expected entry 1001 as it was written, found another"),
            (
                |log| log.0[2_499].draft.after = Some(String::new()),
                "expected entry 2500 as it was written, found another",
            ),
            (|log| drop(log.0.remove(0)), "expected entry 1 as it was written, found entry 2"),
            (|log| drop(log.0.remove(1_500)), "expected entry 1501 as it was written, found entry 1502"),
            (|log| drop(log.0.pop()), "expected entry 2500 as the last, found entry 2499"),
            (|log| log.1 = AuditHead::default(), &no_head),
            (|log| log.0.clear(), "expected entry 2500 as the last, found no entry"),
            (|log| log.1.hash[0] ^= 1, "expected entry 2500 as it was noted, found another"),
        ];
        for (damage, expected) in damages {
            let mut log = whole.clone();
            damage(&mut log);
            let mut told = Vec::new();
            let summary = follow_chains(&log, &mut |line| told.push(line)).await?;
            let expected: Vec<_> = [expected].into_iter().filter(|line| !line.is_empty()).collect();
            let expected: Vec<_> = expected.iter().map(|line| format!("audit log of the server: {line}")).collect();
            assert_eq!(told, expected);
            assert_eq!(summary.differences, u64::try_from(told.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
