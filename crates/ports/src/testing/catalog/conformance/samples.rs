//! The values that the suites store.

use std::sync::Arc;

use domain::access::address::AddressRange;
use domain::access::audit::{AuditDraft, Cause};
use domain::access::email::Email;
use domain::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use domain::access::key_text::KeyPurpose;
use domain::access::record::{
    ApiKey, Creation, CustomerProfile, DataKeyRecord, EncryptionRules, Invitation, KeyOrigin, Membership,
    PasswordReset, Project, Record, Session, SessionKind, SigningSecret, TokenKeyRecord, User, UserStatus, Versioned,
    Workspace,
};
use domain::access::rights::{KeyScope, KeyScopes, Role};
use domain::encryption::{EncryptedPath, EncryptedPaths};
use domain::query::PropertyPath;
use domain::rate::{Rate, WorkspaceRates};

use crate::PortError;
use crate::register::{Register, RegisterCommit, Revision};
use crate::testing::manifest::{at, tenant};

/// What is written about a change of a tenant's.
pub(super) fn draft(id: &str, seconds: i64) -> AuditDraft {
    Cause::server().draft(Some(&tenant(id)), at(seconds), "test.change", "test")
}

/// A commit of records alone.
pub(super) fn records(records: &[Record]) -> RegisterCommit {
    RegisterCommit { records: records.to_vec(), ..RegisterCommit::default() }
}

/// The records that have changed since `after`, in the order of their debug texts, and the revision.
pub(super) async fn since(store: &dyn Register, after: Revision) -> Result<(Vec<Record>, Revision), PortError> {
    let mut found = Vec::new();
    let revision = store.load(after, &mut |record| found.push(record)).await?;
    found.sort_by_key(|record| format!("{record:?}"));
    Ok((found, revision))
}

/// Records in the order of [`since`].
pub(super) fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| format!("{record:?}"));
    records
}

/// Twelve characters that begin with these.
fn id(begin: &str) -> String {
    format!("{begin:0<12}")
}

/// A record that was made at second 1 and changed in the second of its version.
fn version(version: u64) -> Versioned {
    Versioned { created: at(1), updated: at(i64::try_from(version).unwrap_or(i64::MAX)), version }
}

fn user_id(begin: &str) -> UserId {
    UserId::parse(&id(begin)).unwrap_or_else(|why| unreachable!("{why}"))
}

pub(super) fn key_id(begin: &str) -> KeyId {
    KeyId::parse(&id(begin)).unwrap_or_else(|why| unreachable!("{why}"))
}

pub(super) fn email(text: &str) -> Email {
    Email::parse(text).unwrap_or_else(|why| unreachable!("{why}"))
}

/// A limit of `each_second` in versions after the first.
fn rate(n: u64, each_second: u64) -> Option<Rate> {
    Rate::new(each_second).ok().filter(|_| n > 1)
}

pub(super) fn workspace(of: &str, n: u64) -> Workspace {
    let name = format!("{of}, version {n}");
    Workspace {
        takes_external_tokens: n.is_multiple_of(2),
        // Version 1 has no limits, others have both.
        rates: WorkspaceRates { requests: rate(n, 0), events: rate(n, u64::from(Rate::MAX)) },
        versioned: version(n),
        ..Workspace::new(tenant(of), name, at(1))
    }
}

pub(super) fn project(of: &str, name: &str, n: u64) -> Record {
    let (name, is_removed) = (format!("{name} {n}"), n > 2);
    Record::Project(Project { workspace: tenant(of), id: "web".into(), name, is_removed, versioned: version(n) })
}

pub(super) fn user(begin: &str, address: &str, n: u64) -> User {
    User {
        id: user_id(begin),
        email: email(address),
        name: format!("{begin} {n}"),
        password_hash: (n > 1).then(|| "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".into()),
        status: if n > 2 { UserStatus::Suspended } else { UserStatus::Active },
        versioned: version(n),
    }
}

pub(super) fn key(begin: &str, of: Option<&str>, n: u64) -> ApiKey {
    ApiKey {
        id: key_id(begin),
        origin: KeyOrigin::Made(KeyPurpose::Test),
        hash: [7; 32],
        workspace: of.map(tenant),
        project: Some("web".into()),
        name: format!("{begin} {n}"),
        scopes: KeyScopes::of(&[KeyScope::Ingest, KeyScope::Admin]),
        expires: Some(at(9)),
        addresses: ["192.0.2.0/24", "2001:db8::/32"].iter().filter_map(|it| AddressRange::parse(it).ok()).collect(),
        rate: rate(n, n),
        revoked: (n > 1).then(|| at(8)),
        last_used: None,
        created_by: "user:a".to_owned(),
        versioned: version(n),
    }
}

pub(super) fn registered(begin: &str, of: Option<&str>, hash: u8, n: u64) -> ApiKey {
    let key = key(begin, of, n);
    let (project, expires, addresses) = (None, None, Box::default());
    ApiKey { origin: KeyOrigin::Registered, hash: [hash; 32], project, expires, addresses, ..key }
}

pub(super) fn secret(begin: &str, of: &str, n: u64) -> SigningSecret {
    SigningSecret {
        id: SecretId::parse(&id(begin)).unwrap_or_else(|why| unreachable!("{why}")),
        workspace: tenant(of),
        project: (n > 1).then(|| "web".into()),
        name: format!("{begin} {n}"),
        wrapped: Arc::new([0, 255, 1]),
        expires: None,
        revoked: (n > 1).then(|| at(8)),
        created_by: "command".to_owned(),
        versioned: version(n),
    }
}

pub(super) fn invitation(begin: &str, of: &str, expires: i64, n: u64) -> Invitation {
    Invitation {
        id: InvitationId::parse(&id(begin)).unwrap_or_else(|why| unreachable!("{why}")),
        workspace: tenant(of),
        email: email("New@example.com"),
        role: Role::Admin,
        token_hash: [8; 32],
        expires: at(expires),
        closed: (n > 1).then(|| at(8)),
        created_by: "user:a".to_owned(),
        versioned: version(n),
    }
}

pub(super) fn session(begin: &str, expires: i64, n: u64) -> Session {
    let kind = if begin.len().is_multiple_of(2) { SessionKind::Tokens(n) } else { SessionKind::Cookie([9; 32]) };
    Session {
        id: SessionId::parse(&id(begin)).unwrap_or_else(|why| unreachable!("{why}")),
        user: user_id("u"),
        kind,
        expires: at(expires),
        ended: None,
        versioned: version(n),
    }
}

pub(super) fn reset(expires: i64, n: u64) -> PasswordReset {
    let closed = (n > 1).then(|| at(8));
    PasswordReset { user: user_id("u"), token_hash: [3; 32], expires: at(expires), closed, versioned: version(n) }
}

pub(super) fn creation(key: u8, made: &str, created: i64, expires: i64) -> Creation {
    Creation {
        key_hash: [key; 32],
        body_hash: [4; 32],
        workspace: (key > 1).then(|| tenant("a")),
        made: made.to_owned(),
        created: at(created),
        expires: at(expires),
    }
}

pub(super) fn profile(of: &str, customer: &str, n: u64) -> CustomerProfile {
    CustomerProfile {
        workspace: tenant(of),
        customer: customer.to_owned(),
        name: (n > 1).then(|| format!("{customer} {n}")),
        attributes: format!("{{\"n\":{n}}}"),
        versioned: version(n),
    }
}

pub(super) fn membership(of: &str, begin: &str, role: Option<Role>, n: u64) -> Record {
    Record::Membership(Membership {
        workspace: tenant(of),
        user: user_id(begin),
        role,
        decrypts: n > 2,
        versioned: version(n),
    })
}

/// Paths that grow with the version, of which one is no longer active.
pub(super) fn encryption(of: &str, n: u64) -> Record {
    let path = |text: &str| PropertyPath::parse(text).unwrap_or_else(|why| unreachable!("{why}"));
    let mut paths = vec![EncryptedPath { path: path("e.\"m.a\""), is_deterministic: false, is_active: n < 3 }];
    paths.extend((1..n.min(4)).map(|n| EncryptedPath {
        path: path(&format!("p{n}")),
        is_deterministic: true,
        is_active: true,
    }));
    Record::Encryption(EncryptionRules {
        workspace: tenant(of),
        paths: EncryptedPaths::stored(paths),
        allows_deterministic: n > 1,
        versioned: version(n),
    })
}

/// A data key, destroyed from its third version on.
pub(super) fn data_key(of: &str, number: u32, n: u64) -> Record {
    let destroyed = (n > 2).then(|| at(8));
    let wrapped: Arc<[u8]> = if n > 2 { Arc::new([]) } else { Arc::new([6; 61]) };
    Record::DataKey(DataKeyRecord { workspace: tenant(of), number, wrapped, destroyed, versioned: version(n) })
}

/// A record of every kind that is handed over, in version `n`.
pub(super) fn of_every_kind(n: u64) -> Vec<Record> {
    let retired = (n > 1).then(|| at(8));
    let token_key =
        TokenKeyRecord { kid: "k-1".to_owned(), wrapped: Arc::new([5; 60]), retired, versioned: version(n) };
    vec![
        Record::Workspace(workspace("a", n)),
        project("a", "Web", n),
        Record::User(user("u", "Ann@Example.com", n)),
        membership("a", "u", (n < 2).then_some(Role::Owner), n),
        Record::ApiKey(key("k1", Some("a"), n)),
        Record::ApiKey(registered("k2", None, 1, n)),
        Record::SigningSecret(secret("s", "a", n)),
        Record::Invitation(invitation("i", "a", 20, n)),
        Record::PasswordReset(reset(20, n)),
        Record::Session(session("se", 20, n)),
        Record::Session(session("s", 20, n)),
        Record::TokenKey(token_key),
        encryption("a", n),
        data_key("a", 1, n),
        data_key("a", 2, n),
        data_key("b", 1, n),
    ]
}
