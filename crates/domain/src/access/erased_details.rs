//! Which details of an audit log have gone by an erasure: said by a further entry of the chain, each time that some have.
//! Its target has the number of the entry about the erasure, how many have gone by it, and a hash over the numbers `e` of
//! their entries in order. So none can be removed as if it had gone by the erasure of somebody else.
//!
//! ```text
//! target    = details:<number of the entry about the erasure>/<count>/<gone(count), hexadecimal>
//! gone(0)   = 32 zero bytes
//! gone(i)   = BLAKE3("nilometer audit erased details 1" · gone(i-1) · e(i))
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::audit::{AuditDetail, AuditDraft, AuditEntry, Cause};
use crate::tenant::TenantId;
use crate::time::Timestamp;

/// What hashes over the numbers of entries begin with whose details have gone.
const GONE_CONTEXT: &[u8] = b"nilometer audit erased details 1";
/// What the target of an entry begins with that says which details have gone.
const GONE_TARGET: &str = "details:";

/// What is done when details have gone by an erasure, in their log.
pub const DETAILS_ERASURE_ACTION: &str = "details.erase";

/// Which details of a log have gone by one erasure: how many, and a hash over the numbers of their entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErasedDetails {
    count: u64,
    hash: [u8; 32],
}

impl ErasedDetails {
    /// Adds that of an entry behind those whose details are in it.
    pub fn add(&mut self, seq: u64) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(GONE_CONTEXT).update(&self.hash).update(&seq.to_le_bytes());
        (self.count, self.hash) = (self.count + 1, *hasher.finalize().as_bytes());
    }

    /// What is to be written when these are all that have gone by the erasure that the entry `by` is about, which was
    /// written at `at`. Such an entry keeps no detail, and is not among these.
    pub fn draft(&self, workspace: Option<&TenantId>, at: Timestamp, by: u64) -> AuditDraft {
        Cause::server().draft(workspace, at, DETAILS_ERASURE_ACTION, self.target(by))
    }

    fn target(&self, by: u64) -> String {
        format!("{GONE_TARGET}{by}/{}/{}", self.count, blake3::Hash::from_bytes(self.hash).to_hex())
    }
}

/// The details that are gone from a log, against what the log says of that.
#[derive(Debug, Default)]
pub struct GoneDetails {
    found: BTreeMap<u64, ErasedDetails>,
    told: BTreeMap<u64, String>,
}

impl GoneDetails {
    /// Takes in the next entry of the log.
    pub fn add(&mut self, entry: &AuditEntry) {
        let AuditDraft { action, target, .. } = &entry.draft;
        if action == DETAILS_ERASURE_ACTION {
            let told = target.strip_prefix(GONE_TARGET).and_then(|told| told.split_once('/'));
            if let Some(by) = told.and_then(|(by, _)| by.parse().ok()) {
                self.told.insert(by, target.clone());
            }
        } else if let AuditDetail::Erased { by, .. } = entry.detail {
            self.found.entry(by).or_default().add(entry.seq);
        }
    }

    /// The numbers of the entries about erasures by which other details are gone than the log says.
    pub fn others(&self) -> impl Iterator<Item = u64> {
        let all: BTreeSet<u64> = self.found.keys().chain(self.told.keys()).copied().collect();
        all.into_iter()
            .filter(move |by| self.found.get(by).map(|found| found.target(*by)).as_ref() != self.told.get(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::audit::{AuditHead, SALT_BYTES};

    /// Found in November 2026: a detail that somebody had removed under an erasure of somebody else showed no difference.
    #[test]
    fn a_detail_that_is_gone_by_an_erasure_that_does_not_tell_of_it_shows() {
        let chain = |gone: &[u64], told: &[&[u64]], put_under: &[u64]| {
            let (mut check, mut head) = (GoneDetails::default(), AuditHead::default());
            for seq in 1..=6 {
                let draft = Cause::command().draft(None, Timestamp::MIN, "test", "key:1");
                let entry = AuditEntry::after(head, draft, [1; SALT_BYTES]);
                head = entry.head();
                let is_gone = gone.contains(&seq) || put_under.contains(&seq);
                check.add(&if is_gone { entry.erased(5) } else { entry });
            }
            for told in told {
                let mut erased = ErasedDetails::default();
                told.iter().for_each(|seq| erased.add(*seq));
                let draft = erased.draft(None, Timestamp::MIN, 5);
                let entry = AuditEntry::after(head, draft, [1; SALT_BYTES]).erased(5);
                assert!(entry.follows(head));
                head = entry.head();
                check.add(&entry);
            }
            check.others().collect::<Vec<_>>()
        };
        assert_eq!(chain(&[], &[], &[]), [0_u64; 0]);
        assert_eq!(chain(&[1, 3], &[&[1, 3]], &[]), [0_u64; 0]);
        assert_eq!(chain(&[1, 3], &[&[1], &[1, 3]], &[]), [0_u64; 0], "in two steps");
        assert_eq!(chain(&[1, 3], &[&[1, 3]], &[2]), [5]);
        assert_eq!(chain(&[1], &[&[1, 3]], &[2]), [5], "as many");
        assert_eq!(chain(&[], &[], &[2]), [5], "nothing is told of it");
        assert_eq!(chain(&[], &[&[1]], &[]), [5], "put back");
    }
}
