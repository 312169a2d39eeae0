//! The records of the register: workspaces and their projects, people and their memberships, keys, invitations and
//! sessions. A store keeps them as they are here, and replaces each as a whole; which changes are allowed is decided
//! before. Nothing secret is in them but hashes and what is encrypted.

use std::sync::Arc;

use super::address::AddressRange;
use super::email::Email;
use super::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use super::key_text::KeyPurpose;
use super::rights::{KeyScopes, Role};
use crate::encryption::EncryptedPaths;
use crate::rate::{Rate, WorkspaceRates};
use crate::tenant::TenantId;
use crate::time::Timestamp;

/// When a record was made and changed, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versioned {
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// 1 for a new record, and one more with each change. A store takes a record only as the next version.
    pub version: u64,
}

impl Versioned {
    /// The version of a new record.
    pub fn new(now: Timestamp) -> Self {
        Self { created: now, updated: now, version: 1 }
    }

    /// The version of the record after a change.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self { created: self.created, updated: self.updated.max(now), version: self.version + 1 }
    }
}

/// Whether a workspace is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspaceStatus {
    /// Its requests are served.
    Active,
    /// Its requests are refused; nothing of it is lost.
    Suspended,
    /// Its requests are refused, and its data may go.
    Deleting,
}

impl WorkspaceStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Deleting];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A workspace, also called tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id, unique.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Whether it is served.
    pub status: WorkspaceStatus,
    /// Whether each read of raw events is written to its audit log.
    pub audits_reads: bool,
    /// Whether tokens of the configured external issuer open it.
    pub takes_external_tokens: bool,
    /// How much may come of it, as far as the operator has said.
    pub rates: WorkspaceRates,
    /// When it was made and changed.
    pub versioned: Versioned,
}

impl Workspace {
    /// A workspace as it is made.
    pub fn new(id: TenantId, name: impl Into<String>, now: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            status: WorkspaceStatus::Active,
            audits_reads: false,
            takes_external_tokens: false,
            rates: WorkspaceRates::default(),
            versioned: Versioned::new(now),
        }
    }
}

/// A project of a workspace: a word that events carry, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Whose it is.
    pub workspace: TenantId,
    /// The word that events carry; unique in the workspace.
    pub id: Arc<str>,
    /// What people call it.
    pub name: String,
    /// Whether it is still there. A project that was removed stays as a record.
    pub is_removed: bool,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// Whether a person may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserStatus {
    /// May log in.
    Active,
    /// May not, and no session of theirs is taken.
    Suspended,
}

impl UserStatus {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.name() == name)
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The person's id.
    pub id: UserId,
    /// The address that the person logs in with; no two people have one that differs in case alone.
    pub email: Email,
    /// What the person is called.
    pub name: String,
    /// The hash of the password, as a PHC text; none until the person has set one.
    pub password_hash: Option<Arc<str>>,
    /// Whether the person may log in.
    pub status: UserStatus,
    /// When the record was made and changed.
    pub versioned: Versioned,
}

/// The role of a person in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub workspace: TenantId,
    /// Who.
    pub user: UserId,
    /// As what; `None` for a person who is no member any more.
    pub role: Option<Role>,
    /// Whether an owner has let the person see encrypted properties in plain text.
    pub decrypts: bool,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// How a key's text is made, which decides how it is hashed and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyOrigin {
    /// Made by this server; see [`super::key_text`]. Hashed plainly, since nobody can guess it; found by its id.
    Made(KeyPurpose),
    /// Made elsewhere and registered here. Hashed with a secret of the server; found by that hash.
    Registered,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, unique over all workspaces.
    pub id: KeyId,
    /// How its text is made.
    pub origin: KeyOrigin,
    /// The hash of its text.
    pub hash: [u8; 32],
    /// The workspace that it opens; `None` for a key of the operator.
    pub workspace: Option<TenantId>,
    /// The one project that it is for, if it is for one.
    pub project: Option<Arc<str>>,
    /// What people call it.
    pub name: String,
    /// What it may be used for; none for a key of the operator.
    pub scopes: KeyScopes,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Where it may be used from; everywhere when empty.
    pub addresses: Box<[AddressRange]>,
    /// How many requests a second it may make, if the operator has said so.
    pub rate: Option<Rate>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// When it was last used, roughly; none when it never was.
    pub last_used: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// A secret that requests are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret {
    /// Its id, unique over all workspaces.
    pub id: SecretId,
    /// The workspace that requests signed with it act in.
    pub workspace: TenantId,
    /// The one project that it is for, if it is for one.
    pub project: Option<Arc<str>>,
    /// What people call it.
    pub name: String,
    /// The secret, encrypted with the server's master key.
    pub wrapped: Arc<[u8]>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// An invitation to a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Where to.
    pub workspace: TenantId,
    /// Who is meant.
    pub email: Email,
    /// As what.
    pub role: Role,
    /// BLAKE3 of the token that accepts it.
    pub token_hash: [u8; 32],
    /// When it ends.
    pub expires: Timestamp,
    /// When it was accepted or withdrawn; from then on it is of no use.
    pub closed: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// The one reset of a person's password that is open; a new one takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordReset {
    /// Whose password.
    pub user: UserId,
    /// BLAKE3 of the token that resets it.
    pub token_hash: [u8; 32],
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used; from then on it is of no use.
    pub closed: Option<Timestamp>,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// What a session is held by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A cookie, of which this is the BLAKE3 hash.
    Cookie([u8; 32]),
    /// Refresh tokens, of which the one of this generation is the next to be taken.
    Tokens(u64),
}

/// A login that has not ended. Refresh tokens that came of one login are one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What it is held by.
    pub kind: SessionKind,
    /// When it ends if it is not ended before.
    pub expires: Timestamp,
    /// When it was ended.
    pub ended: Option<Timestamp>,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// A key that access tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeyRecord {
    /// Its id, which tokens carry.
    pub kid: String,
    /// Its private part, encrypted with the server's master key.
    pub wrapped: Arc<[u8]>,
    /// When a newer one took its place; its tokens are taken until they end.
    pub retired: Option<Timestamp>,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// What a workspace encrypts of the properties of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionRules {
    /// Whose events.
    pub workspace: TenantId,
    /// At which paths, and at which it once was.
    pub paths: EncryptedPaths,
    /// Whether paths may be deterministic, so that equal values show.
    pub allows_deterministic: bool,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// One version of the key that a workspace encrypts properties with. The newest encrypts, all of them decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyRecord {
    /// Whose it is.
    pub workspace: TenantId,
    /// Which version, from 1.
    pub number: u32,
    /// The key, encrypted with the server's master key; empty once it was destroyed.
    pub wrapped: Arc<[u8]>,
    /// When it was destroyed, and with it everything that it has encrypted.
    pub destroyed: Option<Timestamp>,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// A request that made something and carried an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// BLAKE3 of the caller, the route and the key.
    pub key_hash: [u8; 32],
    /// BLAKE3 of the body.
    pub body_hash: [u8; 32],
    /// Where it was made; `None` for what is the server's.
    pub workspace: Option<TenantId>,
    /// The id of what was made.
    pub made: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it is forgotten.
    pub expires: Timestamp,
}

/// What is kept about a customer beside the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerProfile {
    /// Whose customer.
    pub workspace: TenantId,
    /// The customer's id, as events carry it.
    pub customer: String,
    /// What people call the customer.
    pub name: Option<String>,
    /// Free attributes, a JSON object.
    pub attributes: String,
    /// When it was made and changed.
    pub versioned: Versioned,
}

/// One record of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A workspace.
    Workspace(Workspace),
    /// A project.
    Project(Project),
    /// A person.
    User(User),
    /// A membership.
    Membership(Membership),
    /// An API key.
    ApiKey(ApiKey),
    /// A signing secret.
    SigningSecret(SigningSecret),
    /// An invitation.
    Invitation(Invitation),
    /// A reset of a password.
    PasswordReset(PasswordReset),
    /// A session.
    Session(Session),
    /// A key of access tokens.
    TokenKey(TokenKeyRecord),
    /// What a workspace encrypts.
    Encryption(EncryptionRules),
    /// A key that it encrypts with.
    DataKey(DataKeyRecord),
    /// A request that made something.
    Creation(Creation),
    /// What is kept about a customer.
    Customer(CustomerProfile),
}

impl Record {
    /// The workspace that it is, or is of.
    pub fn workspace(&self) -> Option<&TenantId> {
        match self {
            Self::Workspace(it) => Some(&it.id),
            Self::Project(it) => Some(&it.workspace),
            Self::Membership(it) => Some(&it.workspace),
            Self::ApiKey(it) => it.workspace.as_ref(),
            Self::SigningSecret(it) => Some(&it.workspace),
            Self::Invitation(it) => Some(&it.workspace),
            Self::Encryption(it) => Some(&it.workspace),
            Self::DataKey(it) => Some(&it.workspace),
            Self::Creation(it) => it.workspace.as_ref(),
            Self::Customer(it) => Some(&it.workspace),
            Self::User(_) | Self::PasswordReset(_) | Self::Session(_) | Self::TokenKey(_) => None,
        }
    }
}
