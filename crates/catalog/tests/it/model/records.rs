//! Random records of few keys, so that they meet: the same ids in two workspaces, addresses that differ in case, hashes
//! that are the same.

use std::sync::Arc;

use domain::access::email::Email;
use domain::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use domain::access::key_text::KeyPurpose;
use domain::access::record::{
    ApiKey, Creation, CustomerProfile, DataKeyRecord, EncryptionRules, Invitation, KeyOrigin, Membership,
    PasswordReset, Project, Record, Session, SessionKind, SigningSecret, TokenKeyRecord, User, UserStatus, Versioned,
    Workspace,
};
use domain::access::removal::Removal;
use domain::access::rights::{KeyScopes, Role};
use domain::encryption::{EncryptedPath, EncryptedPaths};
use domain::query::PropertyPath;
use domain::rate::{Rate, WorkspaceRates};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use super::tenant;

/// What a record is made of.
#[derive(Debug, Clone)]
struct Parts {
    id: String,
    of: TenantId,
    hash: u8,
    text: String,
    at: Option<Timestamp>,
    expires: Timestamp,
    versioned: Versioned,
}

fn parts() -> impl Strategy<Value = Parts> {
    let time = || (0_i64..6).prop_map(Timestamp::from_micros);
    let id = select(vec!["aaaaaaaaaaaa", "AAAAAAAAAAAA", "bbbbbbbbbbbb"]).prop_map(str::to_owned);
    let versioned = (1_u64..5, time(), time());
    let versioned = versioned.prop_map(|(version, created, updated)| Versioned { created, updated, version });
    let named = (id, (0_usize..2).prop_map(tenant), 0_u8..3, "\\PC{0,3}");
    (named, proptest::option::of(time()), time(), versioned)
        .prop_map(|((id, of, hash, text), at, expires, versioned)| Parts { id, of, hash, text, at, expires, versioned })
}

/// Any record. Its version may fit or not.
pub(super) fn record() -> impl Strategy<Value = Record> {
    (0..14_u8, parts()).prop_map(|(kind, parts)| of_kind(kind, parts).unwrap_or_else(|| Record::Workspace(empty())))
}

/// Any removal. What it is of may be there, in that version or another, or not.
pub(super) fn removal() -> impl Strategy<Value = Removal> {
    (0..7_u8, parts())
        .prop_map(|(kind, parts)| removal_of(kind, &parts).unwrap_or(Removal::Creation([9; 32], Timestamp::MIN)))
}

fn removal_of(kind: u8, parts: &Parts) -> Option<Removal> {
    let (id, version) = (parts.id.as_str(), parts.versioned.version);
    Some(match kind {
        0 => Removal::ApiKey(KeyId::parse(id).ok()?, version),
        1 => Removal::SigningSecret(SecretId::parse(id).ok()?, version),
        2 => Removal::Invitation(InvitationId::parse(id).ok()?, version),
        3 => Removal::PasswordReset(UserId::parse(id).ok()?, version),
        4 => Removal::Session(SessionId::parse(id).ok()?, version),
        5 => Removal::TokenKey(id.to_owned(), version),
        _ => Removal::Creation([parts.hash; 32], parts.expires),
    })
}

fn empty() -> Workspace {
    Workspace::new(tenant(0), "", Timestamp::MIN)
}

fn of_kind(kind: u8, parts: Parts) -> Option<Record> {
    let Parts { id, of: workspace, hash, text: name, at, expires, versioned } = parts.clone();
    let user = UserId::parse(&id).ok()?;
    let (token_hash, wrapped) = ([hash; 32], Arc::new([hash; 3]));
    Some(match kind {
        0 => {
            let rates = WorkspaceRates { requests: rate(hash), events: rate(hash / 2) };
            Record::Workspace(Workspace { versioned, rates, ..Workspace::new(workspace, name, expires) })
        }
        1 => Record::Project(Project { workspace, id: id.into(), name, is_removed: at.is_some(), versioned }),
        2 => {
            let email = Email::parse(["ann@b.c", "ANN@b.c", "bob@b.c"].get(usize::from(hash))?).ok()?;
            let (password_hash, status) = (at.map(|_| id.into()), UserStatus::Active);
            Record::User(User { id: user, email, name, password_hash, status, versioned })
        }
        3 => Record::Membership(Membership {
            workspace,
            user,
            role: at.map(|_| Role::Admin),
            decrypts: hash.is_multiple_of(2),
            versioned,
        }),
        4 => key(KeyOrigin::Registered, parts)?,
        5 => key(KeyOrigin::Made(KeyPurpose::Test), parts)?,
        6 => Record::SigningSecret(SigningSecret {
            id: SecretId::parse(&id).ok()?,
            workspace,
            project: None,
            name,
            wrapped,
            expires: at,
            revoked: at,
            created_by: id,
            versioned,
        }),
        7 => Record::Invitation(Invitation {
            id: InvitationId::parse(&id).ok()?,
            workspace,
            email: Email::parse("new@b.c").ok()?,
            role: Role::Viewer,
            token_hash,
            expires,
            closed: at,
            created_by: name,
            versioned,
        }),
        8 => Record::PasswordReset(PasswordReset { user, token_hash, expires, closed: at, versioned }),
        9 => {
            let kind = if at.is_some() { SessionKind::Cookie(token_hash) } else { SessionKind::Tokens(hash.into()) };
            let id = SessionId::parse(&id).ok()?;
            Record::Session(Session { id, user, kind, expires, ended: at, versioned })
        }
        10 => Record::TokenKey(TokenKeyRecord { kid: id, wrapped, retired: at, versioned }),
        11 => rules(parts)?,
        12 => {
            Record::DataKey(DataKeyRecord { workspace, number: 1 + u32::from(hash), wrapped, destroyed: at, versioned })
        }
        _ if at.is_none() => Record::Creation(Creation {
            key_hash: token_hash,
            body_hash: [0; 32],
            workspace: Some(workspace),
            made: name,
            created: versioned.created,
            expires,
        }),
        _ => Record::Customer(CustomerProfile { workspace, customer: id, name: None, attributes: name, versioned }),
    })
}

fn rules(parts: Parts) -> Option<Record> {
    let Parts { id, of: workspace, hash, at, versioned, .. } = parts;
    let path = PropertyPath::parse(&format!("{id}.{hash}")).ok()?;
    let path = EncryptedPath { path, is_deterministic: at.is_some(), is_active: hash == 0 };
    let paths = EncryptedPaths::stored(vec![path; hash.into()]);
    Some(Record::Encryption(EncryptionRules { workspace, paths, allows_deterministic: at.is_some(), versioned }))
}

fn rate(hash: u8) -> Option<Rate> {
    Rate::new(u64::from(hash) << 20).ok().filter(|_| hash > 0)
}

fn key(origin: KeyOrigin, parts: Parts) -> Option<Record> {
    let Parts { id, of, hash, text: name, at, expires, versioned } = parts;
    Some(Record::ApiKey(ApiKey {
        id: KeyId::parse(&id).ok()?,
        origin,
        hash: [hash; 32],
        workspace: at.map(|_| of),
        project: None,
        name,
        scopes: KeyScopes::from_bits(hash)?,
        expires: Some(expires),
        addresses: Box::default(),
        revoked: (expires < versioned.updated).then_some(expires),
        rate: rate(hash),
        last_used: at,
        created_by: id,
        versioned,
    }))
}

/// Sets the version of a record that has one.
pub(super) fn set_version(record: &mut Record, version: u64) {
    let versioned = match record {
        Record::Workspace(it) => &mut it.versioned,
        Record::Project(it) => &mut it.versioned,
        Record::User(it) => &mut it.versioned,
        Record::Membership(it) => &mut it.versioned,
        Record::ApiKey(it) => &mut it.versioned,
        Record::SigningSecret(it) => &mut it.versioned,
        Record::Invitation(it) => &mut it.versioned,
        Record::PasswordReset(it) => &mut it.versioned,
        Record::Session(it) => &mut it.versioned,
        Record::TokenKey(it) => &mut it.versioned,
        Record::Customer(it) => &mut it.versioned,
        Record::Encryption(it) => &mut it.versioned,
        Record::DataKey(it) => &mut it.versioned,
        Record::Creation(_) => return,
    };
    versioned.version = version;
}
