//! Who a request acts for, once its credential has been checked, and why a credential is refused.

use std::fmt;
use std::sync::Arc;

use super::ids::{ExternalLoginId, KeyId, SecretId, SessionId, UserId};
use super::rights::{Permission, Rights};
use crate::tenant::TenantScope;

/// What a request has shown itself by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Nothing; in the `dev` profile on a loopback address that is enough.
    Anonymous,
    /// A command of the one who holds the data folder.
    Command,
    /// A key of the server's configuration, named by the first bytes of its hash.
    ConfiguredKey([u8; 4]),
    /// A key of the register.
    Key(KeyId),
    /// A signature.
    Signature(SecretId),
    /// A person's session.
    Person(UserId, SessionId),
    /// A token of the external issuer.
    External(ExternalLogin),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("dev"),
            Self::Command => f.write_str("command"),
            Self::ConfiguredKey(start) => write!(f, "config-key:{:08x}", u32::from_be_bytes(*start)),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Signature(id) => write!(f, "secret:{id}"),
            Self::Person(user, _) => write!(f, "user:{user}"),
            Self::External(login) => write!(f, "external:{}", login.id),
        }
    }
}

/// Whom a token of the external issuer names. Printed as its id alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExternalLogin {
    /// What it is known by wherever something is kept for ever.
    pub id: ExternalLoginId,
    /// What the issuer calls it, often an e-mail address: without control characters.
    pub name: Arc<str>,
}

impl fmt::Debug for ExternalLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalLogin").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who a request acts for, where, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The workspace that the request acts in; `None` for what belongs to no workspace.
    pub workspace: Option<TenantScope>,
    /// What it may do.
    pub rights: Rights,
    /// What it has shown itself by.
    pub subject: Subject,
    /// The one project that it may write to and read of, if it is bound to one.
    pub project: Option<Arc<str>>,
}

/// Why a request acts for nobody, or not where or as it wants to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential was presented and none is assumed.
    #[error("no credential: send 'Authorization: Bearer <key or token>' or 'X-API-Key: <key>'")]
    Missing,
    /// The key is known to nobody.
    #[error("unknown API key")]
    UnknownKey,
    /// The key looks like one of this server and is not whole.
    #[error("the API key is not whole: a character is missing or wrong")]
    BrokenKey,
    /// The signature does not fit the request, or its secret is known to nobody.
    #[error("the signature does not fit the request, or its secret is unknown")]
    WrongSignature,
    /// The key was revoked.
    #[error("the API key was revoked")]
    RevokedKey,
    /// The key has ended.
    #[error("the API key has expired")]
    ExpiredKey,
    /// The key may not be used from this address.
    #[error("the API key may not be used from this address")]
    Address,
    /// The session or token is unknown, has ended, or its person may not log in any more.
    #[error("the session has ended: log in again")]
    SessionEnded,
    /// A person with several workspaces has to say which.
    #[error("say which workspace is meant, in the header Nilometer-Workspace")]
    WorkspaceRequired,
    /// There is no such workspace, or not for this person.
    #[error("no such workspace")]
    WorkspaceNotFound,
    /// The key opens another workspace than the one that was named.
    #[error("the credential opens another workspace")]
    WorkspaceMismatch,
    /// The workspace is suspended.
    #[error("the workspace is suspended")]
    WorkspaceSuspended,
    /// The rights do not go so far.
    #[error("this needs the permission '{}'", .0.name())]
    NotAllowed(Permission),
    /// A key that is bound to a project can do this of no single project.
    #[error("a key that is bound to a project may not do this")]
    NotOfProject,
}
