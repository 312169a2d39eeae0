//! A record of every kind, as the fixture of format 3 holds them. Never changed: what it holds, every later version has
//! to read.

use std::sync::Arc;

use domain::access::address::AddressRange;
use domain::access::email::Email;
use domain::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use domain::access::key_text::KeyPurpose;
use domain::access::record::{
    ApiKey, Creation, CustomerProfile, DataKeyRecord, EncryptionRules, Invitation, KeyOrigin, Membership,
    PasswordReset, Project, Record, Session, SessionKind, SigningSecret, TokenKeyRecord, User, UserStatus, Versioned,
    Workspace, WorkspaceStatus,
};
use domain::access::rights::{KeyScope, KeyScopes, Role};
use domain::encryption::{EncryptedPath, EncryptedPaths};
use domain::property_path::PropertyPath;
use domain::tenant::TenantId;
use domain::time::Timestamp;

type Records = Result<Vec<Record>, Box<dyn std::error::Error>>;

/// What ids begin with.
const ID: &str = "Abcdefghij1";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_400_000_000_000_000 + seconds * 1_000_000)
}

fn id(last: char) -> String {
    format!("{ID}{last}")
}

/// The profile of a customer, which is not handed over with the other records.
pub(crate) fn profile(workspace: &TenantId) -> CustomerProfile {
    CustomerProfile {
        workspace: workspace.clone(),
        customer: "c-1".to_owned(),
        name: Some("Customer".to_owned()),
        attributes: r#"{"plan":"free"}"#.to_owned(),
        versioned: Versioned::new(at(1)),
    }
}

fn member(workspace: &TenantId, user: UserId, role: Role, decrypts: bool) -> Record {
    let (workspace, versioned) = (workspace.clone(), Versioned::new(at(1)));
    Record::Membership(Membership { workspace, user, role: Some(role), decrypts, versioned })
}

/// What a workspace encrypts, its key, and a member who sees that.
pub(crate) fn encryption(workspace: &TenantId) -> Records {
    let (versioned, workspace) = (Versioned::new(at(1)), workspace.clone());
    let path = EncryptedPath { path: PropertyPath::parse("a.\"b.c\"")?, is_deterministic: true, is_active: true };
    let paths = EncryptedPaths::stored(vec![path]);
    let (wrapped, destroyed) = (Arc::new([1, 2, 3]), Some(at(9)));
    let user = UserId::parse(&id('v'))?;
    Ok(vec![
        Record::Encryption(EncryptionRules {
            workspace: workspace.clone(),
            paths,
            allows_deterministic: true,
            versioned,
        }),
        Record::DataKey(DataKeyRecord { workspace: workspace.clone(), number: 3, wrapped, destroyed, versioned }),
        member(&workspace, user, Role::Viewer, true),
    ])
}

/// All other records, each in its first version, but for the workspace, which has its second.
pub(crate) fn of_every_kind(workspace: &TenantId) -> Records {
    let (versioned, by) = (Versioned::new(at(1)), "command".to_owned());
    let user = UserId::parse(&id('u'))?;
    let renamed = Workspace {
        status: WorkspaceStatus::Suspended,
        audits_reads: true,
        takes_external_tokens: true,
        versioned: Versioned::new(at(0)).next(at(1)),
        ..Workspace::new(workspace.clone(), "Acme Inc.", at(0))
    };
    let expires = at(1_000);
    let session = |last, kind| {
        let id = SessionId::parse(&id(last));
        id.map(|id| Session { id, user, kind, expires, ended: Some(at(9)), versioned })
    };
    Ok([
        Record::Workspace(renamed),
        Record::Project(Project {
            workspace: workspace.clone(),
            id: "web".into(),
            name: "Web".to_owned(),
            is_removed: false,
            versioned,
        }),
        Record::User(User {
            id: user,
            email: Email::parse("Ann@Example.com")?,
            name: "Ann".to_owned(),
            password_hash: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".into()),
            status: UserStatus::Active,
            versioned,
        }),
        member(workspace, user, Role::Owner, false),
    ]
    .into_iter()
    .chain(keys(workspace)?)
    .chain([
        Record::Invitation(Invitation {
            id: InvitationId::parse(&id('i'))?,
            workspace: workspace.clone(),
            email: Email::parse("new@example.com")?,
            role: Role::Viewer,
            token_hash: [3; 32],
            expires,
            closed: None,
            created_by: by,
            versioned,
        }),
        Record::PasswordReset(PasswordReset { user, token_hash: [4; 32], expires, closed: None, versioned }),
        Record::Session(session('c', SessionKind::Cookie([5; 32]))?),
        Record::Session(session('t', SessionKind::Tokens(7))?),
        Record::TokenKey(TokenKeyRecord {
            kid: "k-1".to_owned(),
            wrapped: Arc::new([6; 60]),
            retired: None,
            versioned,
        }),
        Record::Creation(Creation {
            key_hash: [7; 32],
            body_hash: [8; 32],
            workspace: Some(workspace.clone()),
            made: "key:x".to_owned(),
            created: at(1),
            expires,
        }),
    ])
    .collect())
}

fn keys(workspace: &TenantId) -> Records {
    let (versioned, created_by) = (Versioned::new(at(1)), "dev".to_owned());
    let made = ApiKey {
        id: KeyId::parse(&id('k'))?,
        origin: KeyOrigin::Made(KeyPurpose::Live),
        hash: [1; 32],
        workspace: Some(workspace.clone()),
        project: Some("web".into()),
        name: "Collector".to_owned(),
        scopes: KeyScopes::of(&[KeyScope::Ingest]),
        expires: Some(at(1_000)),
        addresses: [AddressRange::parse("192.0.2.0/24")?, AddressRange::parse("2001:db8::/32")?].into(),
        rate: None,
        revoked: None,
        last_used: Some(at(2)),
        created_by: created_by.clone(),
        versioned,
    };
    let registered = ApiKey {
        id: KeyId::parse(&id('r'))?,
        origin: KeyOrigin::Registered,
        hash: [2; 32],
        workspace: None,
        project: None,
        scopes: KeyScopes::NONE,
        addresses: Box::default(),
        rate: None,
        revoked: Some(at(3)),
        ..made.clone()
    };
    let secret = SigningSecret {
        id: SecretId::parse(&id('s'))?,
        workspace: workspace.clone(),
        project: None,
        name: "Webhook".to_owned(),
        wrapped: Arc::new([9; 60]),
        expires: None,
        revoked: None,
        created_by,
        versioned,
    };
    Ok(vec![Record::ApiKey(made), Record::ApiKey(registered), Record::SigningSecret(secret)])
}

/// Records in the order of their debug texts, since a register hands them over in any.
pub(crate) fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| format!("{record:?}"));
    records
}
