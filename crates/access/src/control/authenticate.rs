//! From what a request presents to who it acts for. Sessions and tokens name a person; what the person may do is
//! looked up each time.

use std::fmt;
use std::net::IpAddr;

use domain::access::audit::Cause;
use domain::access::ids::{SessionId, UserId};
use domain::access::principal::{ExternalLogin, Principal, Refusal, Subject};
use domain::access::rights::{Rights, Role};
use domain::limits::NAME_BYTES_MAX;
use domain::tenant::{CredentialHash, TenantScope};
use domain::time::Timestamp;

use super::joining::token_hash;
use super::keys::looks_like_token;
use super::{AccessControl, By};
use crate::jose::TokenError;

/// What a request presents. Not printed: it is a secret.
#[derive(Clone, Copy)]
pub enum Presented<'r> {
    /// Nothing.
    Nothing,
    /// A key or an access token.
    Bearer(&'r str),
    /// The cookie of a session.
    Cookie(&'r str),
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Bearer(_) => "Bearer",
            Self::Cookie(_) => "Cookie",
        })
    }
}

/// Who makes a request: the person is known before the workspace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Acts for one workspace, or for the operator.
    Principal(Principal),
    /// A person, who acts in one of several workspaces.
    Person(UserId, SessionId),
}

impl By {
    /// The server itself.
    pub(crate) fn server() -> Self {
        let subject = Subject::Anonymous;
        let principal = Principal { workspace: None, rights: Default::default(), subject, project: None };
        Self { principal, cause: Cause::server() }
    }
}

impl AccessControl {
    /// Who makes a request. What is unknown here may have been made by another process just now, which is looked for at
    /// most now and then.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn authenticate(&self, presented: Presented<'_>, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        let found = self.caller(presented, address);
        let may_be_new = matches!(found, Err(Refusal::UnknownKey | Refusal::SessionEnded));
        if may_be_new && self.seek().await { self.caller(presented, address) } else { found }
    }

    /// Who makes a request, as far as this process knows.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn caller(&self, presented: Presented<'_>, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        let now = self.clock.now();
        match presented {
            Presented::Nothing => {
                let scope = self.configured.authenticate(None).map_err(|_| Refusal::Missing)?;
                let register = self.register.read();
                register.enter_configured(scope.tenant(), Subject::Anonymous).map(Caller::Principal)
            }
            Presented::Cookie(text) => {
                let register = self.register.read();
                let session = register.session_of_cookie(&token_hash(text), now)?;
                Ok(Caller::Person(register.person(session, now)?.id, session))
            }
            Presented::Bearer(text) if looks_like_token(text) => self.caller_of_token(text, now),
            Presented::Bearer(text) => self.caller_of_key(text, address, now).map(Caller::Principal),
        }
    }

    fn caller_of_key(&self, text: &str, address: Option<IpAddr>, now: Timestamp) -> Result<Principal, Refusal> {
        if let Ok(scope) = self.configured.authenticate(Some(text)) {
            let subject = Subject::ConfiguredKey(CredentialHash::of(Some(text)).start());
            return self.register.read().enter_configured(scope.tenant(), subject);
        }
        if self.command.is_some_and(|hash| blake3::Hash::from_bytes(hash) == blake3::hash(text.as_bytes())) {
            return Ok(Principal {
                workspace: None,
                rights: Rights::of_operator(),
                subject: Subject::Command,
                project: None,
            });
        }
        let hash = |text: &str| self.master.hash_foreign_key(text);
        let register = self.register.read();
        let principal = register.authenticate_key(text, hash, now, address)?;
        if let Subject::Key(id) = principal.subject {
            register.note_use(id, now);
        }
        Ok(principal)
    }

    fn caller_of_token(&self, text: &str, now: Timestamp) -> Result<Caller, Refusal> {
        match self.verifier.verify(text, now) {
            Ok(token) => {
                let session = SessionId::parse(&token.session_id).map_err(|_| Refusal::SessionEnded)?;
                let register = self.register.read();
                let user = register.person(session, now)?;
                // A token of one person never opens the session of another.
                if user.id.as_str() != token.user_id {
                    return Err(Refusal::SessionEnded);
                }
                Ok(Caller::Person(user.id, session))
            }
            Err(TokenError::UnknownKey) => self.caller_of_external(text, now),
            Err(_) => Err(Refusal::SessionEnded),
        }
    }

    fn caller_of_external(&self, text: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let external = self.external.as_ref().ok_or(Refusal::SessionEnded)?;
        let token = external.verify(text, now).map_err(|_| Refusal::SessionEnded)?;
        let role = Role::parse(&token.role).ok_or(Refusal::SessionEnded)?;
        // It stands in details of the audit log as it is.
        if token.subject.is_empty() || token.subject.len() > NAME_BYTES_MAX || token.subject.contains(char::is_control)
        {
            return Err(Refusal::SessionEnded);
        }
        let id = self.master.external_login_id(external.issuer(), &token.subject);
        let login = ExternalLogin { id, name: token.subject.into() };
        self.register.read().enter_external(login, &token.workspace, role).map(Caller::Principal)
    }

    /// Who a caller acts for in the workspace that the request names.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn enter(&self, caller: &Caller, named: Option<&str>) -> Result<Principal, Refusal> {
        match caller {
            Caller::Person(user, session) => self.register.read().enter(*user, *session, named),
            Caller::Principal(principal) => {
                let own = principal.workspace.as_ref().map(|scope| TenantScope::tenant(scope).as_str());
                match named {
                    Some(named) if Some(named) != own => Err(match principal.subject {
                        // Without a credential there is only the built-in tenant, as for a person.
                        Subject::Anonymous => Refusal::WorkspaceNotFound,
                        _ => Refusal::WorkspaceMismatch,
                    }),
                    _ => Ok(principal.clone()),
                }
            }
        }
    }
}
