//! The audit log: who did what, to what, when and from where. Entries of a workspace are a chain, and so are those of
//! the server itself: each carries a hash over itself and the one before, so that an entry that is changed, left
//! out or put in shows.
//!
//! ```text
//! hash(0)   = 32 zero bytes
//! hash(n)   = BLAKE3("nilometer audit 2" · hash(n-1) · n · time in µs · workspace · actor · action · target · detail(n))
//! detail(n) = BLAKE3("nilometer audit detail 1" · salt(n) · name · before · after · address · request)
//! ```
//!
//! Numbers are 8 bytes, little endian. A text is its length and its bytes; one that is missing is the length 2^64-1.
//!
//! What may name somebody is the detail, which stands apart with a salt: an erasure removes both, and the chain still
//! holds, since it has the detail's hash alone. Of a target with a name that is not internal the chain has the kind, the
//! detail all. Of a login of the external issuer the chain has an internal id; what the issuer calls it is a member of
//! what is there now. Entries of the first format have no detail; their texts are hashed into the chain:
//!
//! ```text
//! hash(n)   = BLAKE3("nilometer audit 1" · hash(n-1) · n · time in µs · each text)
//! ```
//!
//! Which details have gone by an erasure is said by further entries, as `erased_details.rs` tells.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::ids::UserId;
use super::principal::Subject;
use crate::erasure::Subject as Erased;
use crate::tenant::TenantId;
use crate::time::Timestamp;

/// What hashes of entries of the first format begin with.
const CONTEXT_1: &[u8] = b"nilometer audit 1";
/// What hashes of entries begin with whose detail stands apart.
const CONTEXT_2: &[u8] = b"nilometer audit 2";
/// What hashes of details begin with.
const DETAIL_CONTEXT: &[u8] = b"nilometer audit detail 1";

/// Bytes of the salt of a detail.
pub const SALT_BYTES: usize = 16;

/// The kinds of targets whose names are not internal ids: customers as events name them, projects as their workspace does,
/// and e-mail addresses.
const NAMED_TARGETS: [&str; 3] = ["customer", "project", "account"];

/// What tells of an external login begins with.
const LOGIN: &str = r#"{"external_login":"#;

/// What text that was cut begins with: see [`AuditDraft::may_tell_of`].
pub const CUT: &str = r#"{"begins":"#;
/// What was read when one event was, whose id may be anybody's.
pub const EVENT_READ: &str = "GET /v1/events/{id}";
/// What a query has that looks at ids of events.
const EVENT_ID_COMPARED: &str = r#""field":"id""#;

/// What is to be written to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// The workspace whose log it is; `None` for that of the server.
    pub workspace: Option<TenantId>,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it: `user:<id>`, `key:<id>`, `secret:<id>`, `external:<id>`, `config-key:<start of its hash>`, `dev`,
    /// `command`, `anyone` or `server`.
    pub actor: String,
    /// What was done, as `key.create`.
    pub action: String,
    /// What it was done to, as `key:<id>`.
    pub target: String,
    /// What was there before, as JSON.
    pub before: Option<String>,
    /// What is there now, as JSON; in a draft of an external login's also what its issuer calls it.
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

impl Actor {
    /// What a detail says of an external login: an object, whose member `user` lets the erasure of that user find it.
    fn login(&self) -> Option<String> {
        let Self::Subject(Subject::External(login)) = self else { return None };
        Some([LOGIN, r#"{"user":"#, &quoted(&login.name), "}}"].concat())
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

    /// What is to be written about `action` on `target` in the log of `workspace`. What an external login is called stands
    /// in logs of workspaces alone: the erasure of a user does not reach that of the server.
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
            after: workspace.and_then(|_| self.actor.login()),
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.as_deref().map(str::to_owned),
        }
    }
}

impl AuditDraft {
    /// This draft, with what was there before and what is there now, both objects of JSON. What it tells of an external
    /// login stays.
    #[must_use]
    pub fn changing(self, before: Option<String>, after: Option<String>) -> Self {
        let login = self.after.as_deref().filter(|told| told.starts_with(LOGIN));
        let after = with_login(after, login);
        Self { before, after, ..self }
    }
}

/// One object of what is there now and what tells of an external login.
fn with_login(after: Option<String>, login: Option<&str>) -> Option<String> {
    let Some(login) = login else { return after };
    let Some(text) = after else { return Some(login.to_owned()) };
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some("") => Some(login.to_owned()),
        // At the end: what was cut is known by its beginning.
        Some(members) => Some(["{", members, ",", &login[1..]].concat()),
        None => Some(text),
    }
}

/// Where what an entry tells in detail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditDetail {
    /// Hashed into the chain: an entry of the first format.
    InChain,
    /// Apart, hashed with this salt.
    Apart([u8; SALT_BYTES]),
    /// Erased.
    Erased {
        /// The hash that the chain holds.
        hash: [u8; 32],
        /// The number of the entry about the erasure, in the same chain.
        by: u64,
    },
    /// Apart, and not there any more, though nothing was erased: somebody has removed it.
    Missing {
        /// The hash that the chain holds.
        hash: [u8; 32],
    },
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number in its chain; the first has 1.
    pub seq: u64,
    /// What happened. Without a name, what was there before and after, address and request when that is erased or missing.
    pub draft: AuditDraft,
    /// Where its detail is.
    pub detail: AuditDetail,
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
    /// The entry that follows `head`, with a salt that nobody can guess.
    pub fn after(head: AuditHead, draft: AuditDraft, salt: [u8; SALT_BYTES]) -> Self {
        let (seq, detail) = (head.seq + 1, AuditDetail::Apart(salt));
        let hash = hash_apart(&head.hash, seq, &draft, &detail_hash(&salt, &draft));
        Self { seq, draft, detail, hash }
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
        let expected = match &self.detail {
            AuditDetail::InChain => hash_whole(&head.hash, self.seq, &self.draft),
            AuditDetail::Apart(salt) => hash_apart(&head.hash, self.seq, &self.draft, &detail_hash(salt, &self.draft)),
            AuditDetail::Erased { hash, .. } | AuditDetail::Missing { hash } => {
                hash_apart(&head.hash, self.seq, &self.draft, hash)
            }
        };
        let has_detail = matches!(self.detail, AuditDetail::InChain | AuditDetail::Apart(_));
        let is_bare = has_detail || self.draft == self.draft.bare();
        self.seq == head.seq + 1 && self.hash == expected && is_bare
    }

    /// The hash of the detail that the chain holds, if it stands apart.
    pub fn detail_hash(&self) -> Option<[u8; 32]> {
        match &self.detail {
            AuditDetail::InChain => None,
            AuditDetail::Apart(salt) => Some(detail_hash(salt, &self.draft)),
            AuditDetail::Erased { hash, .. } | AuditDetail::Missing { hash } => Some(*hash),
        }
    }

    /// This entry after the erasure that the entry `by` tells of. What stands in the chain stays.
    #[must_use]
    pub fn erased(self, by: u64) -> Self {
        let AuditDetail::Apart(salt) = &self.detail else { return self };
        let hash = detail_hash(salt, &self.draft);
        Self { draft: self.draft.bare(), detail: AuditDetail::Erased { hash, by }, ..self }
    }
}

/// What is done when an erasure is asked for, in the log of its workspace.
pub const ERASURE_ACTION: &str = "erasure.request";
/// What is done when a workspace is erased, in the log of the server.
pub const WORKSPACE_ERASURE_ACTION: &str = "workspace.erase";

/// The target of the entry about the erasure of this id.
pub fn erasure_target(id: &str) -> String {
    format!("erasure:{id}")
}

/// Splits what is done to something into what the chain says of it and, where that has a name of its own, all of it.
pub fn split_target(target: &str) -> (&str, Option<&str>) {
    match target.split_once(':') {
        Some((kind, _)) if NAMED_TARGETS.contains(&kind) => (kind, Some(target)),
        _ => (target, None),
    }
}

impl AuditDraft {
    /// What the chain holds of it.
    fn bare(&self) -> Self {
        Self {
            target: split_target(&self.target).0.to_owned(),
            before: None,
            after: None,
            address: None,
            request_id: None,
            ..self.clone()
        }
    }

    /// Whether its detail may tell of somebody who is erased: a member for customers or for users names it, a query that
    /// looks at these has its name, or it cannot be searched, since it was cut or has ids of events. Other texts tell of
    /// nobody: whoever may erase would else clean the log of any word.
    pub fn may_tell_of(&self, subject: &Erased) -> bool {
        let (kind, name) = match subject {
            Erased::Workspace => return true,
            Erased::Customer(name) | Erased::User(name) => (subject.kind().as_str(), name),
        };
        let is_target = matches!(subject, Erased::Customer(_))
            && self.target.split_once(':').is_some_and(|(kind, target)| kind == "customer" && target == name);
        let value = quoted(name);
        // In a text of JSON the quotation marks are not bare, so that this is a member.
        let (member, compared) = (format!("\"{kind}\":{value}"), format!("\"field\":\"{kind}\""));
        let tells = |text: &Option<String>| {
            let Some(text) = text else { return false };
            let is_compared = || text.contains(&compared) && holds_value(text, &value);
            text.starts_with(CUT) || text.contains(&member) || is_compared() || text.contains(EVENT_ID_COMPARED)
        };
        is_target || self.target == EVENT_READ || tells(&self.before) || tells(&self.after)
    }

    /// Whether an entry of the server's log tells of a workspace in detail.
    pub fn tells_of_workspace(&self, id: &TenantId) -> bool {
        let is_target = self.target.split_once(':') == Some(("workspace", id.as_str()));
        let value = quoted(id.as_str());
        let tells = |text: &Option<String>| text.as_ref().is_some_and(|text| holds_value(text, &value));
        is_target || tells(&self.before) || tells(&self.after)
    }

    /// Whether details in its log may go by it: in the server's by the erasure of a workspace, in a workspace's by what is
    /// erased there.
    pub fn erases_details(&self) -> bool {
        self.action == if self.workspace.is_some() { ERASURE_ACTION } else { WORKSPACE_ERASURE_ACTION }
    }
}

/// A text as JSON has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether JSON has this text, in its quotation marks, where it does not name a member.
fn holds_value(json: &str, value: &str) -> bool {
    json.match_indices(value).any(|(at, _)| !json[at + value.len()..].starts_with(':'))
}

fn detail_hash(salt: &[u8; SALT_BYTES], draft: &AuditDraft) -> [u8; 32] {
    let AuditDraft { target, before, after, address, request_id, .. } = draft;
    let mut hasher = blake3::Hasher::new();
    hasher.update(DETAIL_CONTEXT).update(salt);
    let name = split_target(target).1;
    add_texts(&mut hasher, [name, before.as_deref(), after.as_deref(), address.as_deref(), request_id.as_deref()]);
    *hasher.finalize().as_bytes()
}

fn hash_apart(before: &[u8; 32], seq: u64, draft: &AuditDraft, detail: &[u8; 32]) -> [u8; 32] {
    let AuditDraft { workspace, at, actor, action, target, .. } = draft;
    let mut hasher = blake3::Hasher::new();
    hasher.update(CONTEXT_2).update(before).update(&seq.to_le_bytes()).update(&at.micros().to_le_bytes());
    let target = split_target(target).0;
    add_texts(&mut hasher, [workspace.as_ref().map(TenantId::as_str), Some(actor), Some(action), Some(target)]);
    *hasher.update(detail).finalize().as_bytes()
}

fn hash_whole(before: &[u8; 32], seq: u64, draft: &AuditDraft) -> [u8; 32] {
    let AuditDraft { workspace, at, actor, action, target, before: was, after, address, request_id } = draft;
    let mut hasher = blake3::Hasher::new();
    hasher.update(CONTEXT_1).update(before).update(&seq.to_le_bytes()).update(&at.micros().to_le_bytes());
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
    add_texts(&mut hasher, texts);
    *hasher.finalize().as_bytes()
}

fn add_texts<const N: usize>(hasher: &mut blake3::Hasher, texts: [Option<&str>; N]) {
    for text in texts {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(&length.to_le_bytes()).update(text.unwrap_or_default().as_bytes());
    }
}

/// Which entries of a log are asked for; what is given has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Done by this actor.
    pub actor: Option<String>,
    /// This was done.
    pub action: Option<String>,
    /// Done to this. The kind of a named target alone asks for all of the kind whose details stand apart.
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
        let AuditEntry { seq, draft, detail, .. } = entry;
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.actor, &draft.actor)
            && fits(&self.action, &draft.action)
            && (fits(&self.target, &draft.target)
                || *detail != AuditDetail::InChain && fits(&self.target, split_target(&draft.target).0))
            && self.from.is_none_or(|from| draft.at >= from)
            && self.to.is_none_or(|to| draft.at < to)
            && self.before.is_none_or(|before| *seq < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ids::ExternalLoginId;
    use crate::access::principal::ExternalLogin;

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
        let first = AuditEntry::after(AuditHead::default(), draft("key:1"), [1; SALT_BYTES]);
        let second = AuditEntry::after(first.head(), draft("key:2"), [2; SALT_BYTES]);
        let third = AuditEntry::after(second.head(), draft("key:3"), [3; SALT_BYTES]);
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
        let other = AuditEntry { detail: AuditDetail::Apart([9; SALT_BYTES]), ..second.clone() };
        assert!(!other.follows(first.head()), "the salt is part of it");
        let old = AuditEntry { detail: AuditDetail::InChain, ..second };
        assert!(!old.follows(first.head()), "an entry is of one format");
    }

    #[test]
    fn an_entry_of_the_first_format_keeps_its_hash() {
        let (head, draft) = (AuditHead::default(), draft("customer:c"));
        let hash = hash_whole(&head.hash, 1, &draft);
        let entry = AuditEntry { seq: 1, draft, detail: AuditDetail::InChain, hash };
        let expected = "b5872502a750211280c1bba337a4b02e7afe82315f0780d724897683bbc59a8f";
        assert_eq!(blake3::Hash::from_bytes(hash).to_hex().as_str(), expected);
        assert!(entry.follows(head));
        assert_eq!(entry.clone().erased(2), entry, "there is nothing apart that could go");
        let mut changed = entry;
        changed.draft.target.push('x');
        assert!(!changed.follows(head));
    }

    #[test]
    fn the_chain_holds_when_a_detail_is_erased() {
        let full = AuditDraft {
            before: Some("1".to_owned()),
            address: Some("::1".to_owned()),
            request_id: Some("r".to_owned()),
            ..draft("customer:c")
        };
        let first = AuditEntry::after(AuditHead::default(), full, [1; SALT_BYTES]);
        let second = AuditEntry::after(first.head(), draft("key:2"), [2; SALT_BYTES]);
        let erased = first.clone().erased(2);
        assert!(erased.follows(AuditHead::default()) && second.follows(erased.head()));
        let hash = erased.detail_hash().unwrap_or_default();
        let missing = AuditEntry { detail: AuditDetail::Missing { hash }, ..erased.clone() };
        assert!(missing.follows(AuditHead::default()) && missing.detail_hash() == Some(hash));
        assert_eq!(erased.draft, AuditDraft { after: None, ..draft("customer") });
        assert_eq!(erased.clone().erased(7), erased, "once");
        for change in [
            |entry: &mut AuditEntry| entry.draft.actor.push('x'),
            |entry: &mut AuditEntry| entry.draft.after = Some("x".to_owned()),
            |entry: &mut AuditEntry| entry.draft.target = "customer:d".to_owned(),
        ] {
            for mut changed in [erased.clone(), missing.clone()] {
                change(&mut changed);
                assert!(!changed.follows(AuditHead::default()), "{changed:?}");
            }
        }
    }

    /// Found in November 2026: ids of projects, which are any text, stayed in the log of a workspace that was erased.
    #[test]
    fn no_name_that_somebody_chose_is_left_in_the_chain_of_what_is_erased() {
        for kind in ["customer", "project", "account"] {
            let entry = AuditEntry::after(AuditHead::default(), draft(&format!("{kind}:a name")), [1; SALT_BYTES]);
            let erased = entry.erased(2);
            assert_eq!(erased.draft.target, kind);
            assert!(erased.follows(AuditHead::default()));
        }
    }

    /// Found in November 2026: any equal text was taken for whom is erased, a name of a key or a role as well, and the id
    /// of an event that a query compared stayed.
    #[test]
    fn a_detail_tells_of_whom_it_names_and_of_anybody_when_it_cannot_be_searched() {
        let with = |target: &str, after: &str| AuditDraft { after: Some(after.to_owned()), ..draft(target) };
        let (customer, user) = (Erased::Customer("name".to_owned()), Erased::User("name".to_owned()));
        for (draft, of_customer, of_user) in [
            (with("customer:name", "{}"), true, false),
            (with("customer:names", "{}"), false, false),
            (with("key:name", "{}"), false, false),
            (with("quota:events/day", r#"{"customer":"name"}"#), true, false),
            (with("GET /v1/events", r#"{"customer":"x","user":"name"}"#), false, true),
            (with("GET /v1/events", r#"{"type":"\"user\":\"name\""}"#), false, false),
            (
                with("POST /v1/query", r#"{"query":{"filter":{"field":"user","op":"in","value":["x","name"]}}}"#),
                false,
                true,
            ),
            (with("POST /v1/query", r#"{"query":{"filter":{"field":"user","op":"eq","value":"x"}}}"#), false, false),
            (with("POST /v1/query", r#"{"query":{"filter":{"field":"type","op":"eq","value":"name"}}}"#), false, false),
            (with("POST /v1/query", r#"{"query":{"filter":{"field":"id","op":"eq","value":"1"}}}"#), true, true),
            (with("key:1", r#"{"name":"x"}"#), false, false),
            (with("key:1", r#"{"name":"name"}"#), false, false),
            (with("key:1", r#"["names","a name"]"#), false, false),
            (with("key:1", r#"{"begins":"{\"a"}"#), true, true),
            (with(EVENT_READ, r#"{"id":"1"}"#), true, true),
        ] {
            assert_eq!((draft.may_tell_of(&customer), draft.may_tell_of(&user)), (of_customer, of_user), "{draft:?}");
            assert!(draft.may_tell_of(&Erased::Workspace));
        }
        let odd = Erased::User(r#"a"\b"#.to_owned());
        assert!(with("key:1", r#"{"user":"a\"\\b"}"#).may_tell_of(&odd));
    }

    /// Found in November 2026: what the issuer calls an external login, often an e-mail address, stood in the chain.
    #[test]
    fn what_an_external_login_is_called_stands_in_the_detail_alone_and_goes_with_that_user() {
        let name = r#"kim"\\@acme.example"#;
        let login = ExternalLogin { id: ExternalLoginId::new([7; 16]), name: name.into() };
        assert!(!format!("{login:?}").contains("kim"));
        let cause = Cause { actor: Actor::Subject(Subject::External(login)), ..Cause::server() };
        let of = TenantId::default_tenant();
        let draft = |workspace| cause.draft(workspace, Timestamp::MIN, "key.create", "key:1");
        let named = r#""external_login":{"user":"kim\"\\\\@acme.example"}"#;
        let text = |text: &str| Some(text.to_owned());
        for (after, told) in [
            (None, format!("{{{named}}}")),
            (text("{}"), format!("{{{named}}}")),
            (text(r#"{"a":1}"#), format!("{{\"a\":1,{named}}}")),
            (text(r#"{"begins":"{","bytes":9}"#), format!("{{\"begins\":\"{{\",\"bytes\":9,{named}}}")),
        ] {
            let draft = draft(Some(&of)).changing(text("{}"), after);
            assert_eq!((draft.actor.as_str(), draft.after.as_ref()), (KIM, Some(&told)));
            assert!(draft.may_tell_of(&Erased::User(name.to_owned())), "{draft:?}");
            assert_eq!(draft.may_tell_of(&Erased::User("kim".to_owned())), told.starts_with(CUT), "{draft:?}");
            let erased = AuditEntry::after(AuditHead::default(), draft, [1; SALT_BYTES]).erased(2);
            assert!(erased.follows(AuditHead::default()) && !format!("{erased:?}").contains("acme"), "{erased:?}");
        }
        assert_eq!((draft(None).actor.as_str(), draft(None).after), (KIM, None), "no erasure of a user reaches it");
        assert_eq!(draft(None).changing(None, text("{}")).after, text("{}"));
        let other = Cause::command().draft(Some(&of), Timestamp::MIN, "key.create", "key:1");
        assert_eq!(other.changing(None, text("{}")).after, text("{}"));
    }

    const KIM: &str = "external:07070707070707070707070707070707";

    #[test]
    fn text_that_moves_from_one_field_to_the_next_is_another_entry() {
        let moved = AuditDraft { actor: "user:".to_owned(), action: "akey.create".to_owned(), ..draft("key:1") };
        let head = AuditHead::default();
        let salt = [0; SALT_BYTES];
        assert_ne!(AuditEntry::after(head, draft("key:1"), salt).hash, AuditEntry::after(head, moved, salt).hash);
        let moved = AuditDraft { after: None, before: draft("").after, ..draft("key:1") };
        assert_ne!(AuditEntry::after(head, draft("key:1"), salt).hash, AuditEntry::after(head, moved, salt).hash);
    }
}
