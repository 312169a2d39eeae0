//! The audit log: who did what, to what, when and from where. Entries of a workspace are a chain, and so are those of
//! the server itself: each carries a hash over itself and the one before, so that an entry that is changed, left
//! out or put in shows.
//!
//! ```text
//! hash(0)  = 32 zero bytes
//! hash(n)  = BLAKE3("nilometer audit 1" · hash(n-1) · n · time in µs · each text)
//! ```
//!
//! Numbers are 8 bytes, little endian. A text is its length and its bytes; one that is missing is the length 2^64-1.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::ids::UserId;
use super::principal::Subject;
use crate::tenant::TenantId;
use crate::time::Timestamp;

/// What hashes begin with.
const CONTEXT: &[u8] = b"nilometer audit 1";

/// What is to be written to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// The workspace whose log it is; `None` for that of the server.
    pub workspace: Option<TenantId>,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it: `user:<id>`, `key:<id>`, `config-key:<start of its hash>`, `dev`, `command` or `server`.
    pub actor: String,
    /// What was done, as `key.create`.
    pub action: String,
    /// What it was done to, as `key:<id>`.
    pub target: String,
    /// What was there before, as JSON.
    pub before: Option<String>,
    /// What is there now, as JSON.
    pub after: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// Who does something. Its text is what [`AuditDraft::actor`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The server itself.
    Server,
    /// Whoever asks, for what needs no credential.
    Anyone,
    /// Who has shown a credential.
    Subject(Subject),
    /// A person who has shown a password or a token that is taken once.
    User(UserId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Anyone => f.write_str("anyone"),
            Self::Subject(subject) => subject.fmt(f),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

/// Who causes a change, and from where: what every entry about it has in common. Its texts are made when something is
/// written, which most requests never do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Who.
    pub actor: Actor,
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<Arc<str>>,
}

impl Cause {
    /// The server itself.
    pub fn server() -> Self {
        Self { actor: Actor::Server, address: None, request_id: None }
    }

    /// A command of the one who holds the data folder.
    pub fn command() -> Self {
        Self { actor: Actor::Subject(Subject::Command), address: None, request_id: None }
    }

    /// A person, where this one came from.
    #[must_use]
    pub fn of_user(&self, user: UserId) -> Self {
        Self { actor: Actor::User(user), ..self.clone() }
    }

    /// What is to be written about a workspace that is made: in the log of the server, and as the first entry of its
    /// own.
    pub fn drafts_of_new_workspace(&self, id: &TenantId, at: Timestamp) -> [AuditDraft; 2] {
        [None, Some(id)].map(|log| self.draft(log, at, "workspace.create", format!("workspace:{id}")))
    }

    /// What is to be written about `action` on `target` in the log of `workspace`.
    pub fn draft(
        &self,
        workspace: Option<&TenantId>,
        at: Timestamp,
        action: &str,
        target: impl Into<String>,
    ) -> AuditDraft {
        AuditDraft {
            workspace: workspace.cloned(),
            at,
            actor: self.actor.to_string(),
            action: action.to_owned(),
            target: target.into(),
            before: None,
            after: None,
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.as_deref().map(str::to_owned),
        }
    }
}

impl AuditDraft {
    /// This draft, with what was there before and what is there now.
    #[must_use]
    pub fn changing(self, before: Option<String>, after: Option<String>) -> Self {
        Self { before, after, ..self }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number in its chain; the first has 1.
    pub seq: u64,
    /// What happened.
    pub draft: AuditDraft,
    /// The hash of this entry and all before it.
    pub hash: [u8; 32],
}

/// The last entry of a chain: its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// Its number; 0 before the first entry.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// The entry that follows `head`.
    pub fn after(head: AuditHead, draft: AuditDraft) -> Self {
        let seq = head.seq + 1;
        let hash = hash(&head.hash, seq, &draft);
        Self { seq, draft, hash }
    }

    /// The head of the chain that ends with this entry.
    pub fn head(&self) -> AuditHead {
        AuditHead { seq: self.seq, hash: self.hash }
    }

    /// What its texts take, in bytes.
    pub fn bytes(&self) -> usize {
        let AuditDraft { actor, action, target, before, after, address, request_id, .. } = &self.draft;
        let optional = [before, after, address, request_id].map(|text| text.as_ref().map_or(0, String::len));
        optional.into_iter().sum::<usize>() + actor.len() + action.len() + target.len()
    }

    /// Whether this is the entry that follows `head`, as it was written.
    pub fn follows(&self, head: AuditHead) -> bool {
        self.seq == head.seq + 1 && self.hash == hash(&head.hash, self.seq, &self.draft)
    }
}

fn hash(before: &[u8; 32], seq: u64, draft: &AuditDraft) -> [u8; 32] {
    let AuditDraft { workspace, at, actor, action, target, before: was, after, address, request_id } = draft;
    let mut hasher = blake3::Hasher::new();
    hasher.update(CONTEXT).update(before).update(&seq.to_le_bytes()).update(&at.micros().to_le_bytes());
    let texts = [
        workspace.as_ref().map(TenantId::as_str),
        Some(actor),
        Some(action),
        Some(target),
        was.as_deref(),
        after.as_deref(),
        address.as_deref(),
        request_id.as_deref(),
    ];
    for text in texts {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(&length.to_le_bytes()).update(text.unwrap_or_default().as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Which entries of a log are asked for; what is given has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Done by this actor.
    pub actor: Option<String>,
    /// This was done.
    pub action: Option<String>,
    /// Done to this.
    pub target: Option<String>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// With a lower number than this.
    pub before: Option<u64>,
}

impl AuditFilter {
    /// Whether it asks for `entry`.
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        let AuditEntry { seq, draft, .. } = entry;
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.actor, &draft.actor)
            && fits(&self.action, &draft.action)
            && fits(&self.target, &draft.target)
            && self.from.is_none_or(|from| draft.at >= from)
            && self.to.is_none_or(|to| draft.at < to)
            && self.before.is_none_or(|before| *seq < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(target: &str) -> AuditDraft {
        AuditDraft {
            workspace: Some(TenantId::default_tenant()),
            at: Timestamp::from_micros(7),
            actor: "user:a".to_owned(),
            action: "key.create".to_owned(),
            target: target.to_owned(),
            before: None,
            after: Some("{}".to_owned()),
            address: None,
            request_id: None,
        }
    }

    #[test]
    fn a_chain_shows_what_was_changed_left_out_or_moved() {
        let first = AuditEntry::after(AuditHead::default(), draft("key:1"));
        let second = AuditEntry::after(first.head(), draft("key:2"));
        let third = AuditEntry::after(second.head(), draft("key:3"));
        assert!(first.follows(AuditHead::default()) && second.follows(first.head()) && third.follows(second.head()));
        assert!(!third.follows(first.head()), "one left out");
        assert!(!second.follows(AuditHead::default()));
        type Change = fn(&mut AuditDraft);
        let changes: [Change; 9] = [
            |draft| draft.workspace = None,
            |draft| draft.at = Timestamp::from_micros(8),
            |draft| draft.actor.push('a'),
            |draft| draft.action.push('a'),
            |draft| draft.target.push('a'),
            |draft| draft.before = Some(String::new()),
            |draft| draft.after = None,
            |draft| draft.address = Some(String::new()),
            |draft| draft.request_id = Some(String::new()),
        ];
        for change in changes {
            let mut changed = second.clone();
            change(&mut changed.draft);
            assert!(!changed.follows(first.head()), "{changed:?}");
        }
    }

    #[test]
    fn text_that_moves_from_one_field_to_the_next_is_another_entry() {
        let moved = AuditDraft { actor: "user:".to_owned(), action: "akey.create".to_owned(), ..draft("key:1") };
        let head = AuditHead::default();
        assert_ne!(AuditEntry::after(head, draft("key:1")).hash, AuditEntry::after(head, moved).hash);
    }
}
