//! The register of workspaces, people and keys in memory: finds the one that a credential belongs to, and says what
//! it may do now. Records come from a store, one at a time; the register takes each as it is.
//!
//! A token or a session names a person, never rights: the person, the membership and the workspace are looked up for
//! each request, so that a change of any of them holds at once.

mod ended;
mod held_key;
mod lookup;
mod uses;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use super::key_text::{KEY_PREFIX, KeyText};
use super::principal::{ExternalLogin, Principal, Refusal, Subject};
use super::record::{
    ApiKey, Creation, DataKeyRecord, EncryptionRules, Invitation, KeyOrigin, Membership, PasswordReset, Project,
    Record, Session, SessionKind, SigningSecret, TokenKeyRecord, User, UserStatus, Workspace, WorkspaceStatus,
};
use super::rights::{KeyScopes, Rights, Role};
use crate::tenant::{TenantId, TenantScope};
use crate::time::Timestamp;
use held_key::HeldKey;

/// The records of the register.
#[derive(Debug, Default)]
pub struct Register {
    workspaces: HashMap<TenantId, Arc<Workspace>>,
    workspace_ids: BTreeSet<TenantId>,
    projects: BTreeMap<(TenantId, Arc<str>), Project>,
    users: HashMap<UserId, Arc<User>>,
    users_by_email: BTreeMap<Box<str>, UserId>,
    memberships: BTreeMap<(TenantId, UserId), Membership>,
    workspaces_of: HashMap<UserId, BTreeSet<TenantId>>,
    keys: HashMap<KeyId, HeldKey>,
    registered_keys: HashMap<[u8; 32], KeyId>,
    keys_of: BTreeMap<Option<TenantId>, BTreeSet<KeyId>>,
    secrets: HashMap<SecretId, Arc<SigningSecret>>,
    secrets_by_workspace: HashMap<TenantId, BTreeSet<SecretId>>,
    invitations: HashMap<InvitationId, Invitation>,
    invitations_by_token: HashMap<[u8; 32], InvitationId>,
    invitations_by_workspace: HashMap<TenantId, BTreeSet<InvitationId>>,
    resets: HashMap<UserId, PasswordReset>,
    resets_by_token: HashMap<[u8; 32], UserId>,
    sessions: HashMap<SessionId, Session>,
    sessions_by_cookie: HashMap<[u8; 32], SessionId>,
    sessions_by_user: HashMap<UserId, BTreeSet<SessionId>>,
    token_keys: BTreeMap<String, TokenKeyRecord>,
    encryption: HashMap<TenantId, Arc<EncryptionRules>>,
    data_keys: BTreeMap<(TenantId, u32), DataKeyRecord>,
    creations: HashMap<[u8; 32], Creation>,
}

impl Register {
    /// Takes a record in place of the one with its key.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Workspace(workspace) => {
                self.workspace_ids.insert(workspace.id.clone());
                self.workspaces.insert(workspace.id.clone(), Arc::new(workspace));
            }
            Record::Project(project) => {
                self.projects.insert((project.workspace.clone(), Arc::clone(&project.id)), project);
            }
            Record::User(user) => self.apply_user(user),
            Record::Membership(membership) => self.apply_membership(membership),
            Record::ApiKey(key) => self.apply_key(key),
            Record::SigningSecret(secret) => {
                self.secrets_by_workspace.entry(secret.workspace.clone()).or_default().insert(secret.id);
                self.secrets.insert(secret.id, Arc::new(secret));
            }
            Record::Invitation(invitation) => {
                self.invitations_by_token.insert(invitation.token_hash, invitation.id);
                let of = self.invitations_by_workspace.entry(invitation.workspace.clone()).or_default();
                of.insert(invitation.id);
                self.invitations.insert(invitation.id, invitation);
            }
            Record::PasswordReset(reset) => {
                if let Some(before) = self.resets.get(&reset.user) {
                    self.resets_by_token.remove(&before.token_hash);
                }
                self.resets_by_token.insert(reset.token_hash, reset.user);
                self.resets.insert(reset.user, reset);
            }
            Record::Session(session) => self.apply_session(session),
            Record::TokenKey(key) => {
                self.token_keys.insert(key.kid.clone(), key);
            }
            Record::Encryption(rules) => {
                self.encryption.insert(rules.workspace.clone(), Arc::new(rules));
            }
            Record::DataKey(key) => {
                self.data_keys.insert((key.workspace.clone(), key.number), key);
            }
            Record::Creation(creation) => {
                self.creations.insert(creation.key_hash, creation);
            }
            Record::Customer(_) => {}
        }
    }

    fn apply_user(&mut self, user: User) {
        if let Some(before) = self.users.get(&user.id)
            && self.users_by_email.get(before.email.folded()) == Some(&user.id)
        {
            self.users_by_email.remove(before.email.folded());
        }
        // Two of one address are there only if they were two when it was stored, before spellings were folded as now:
        // the older account has it.
        let other = self.users_by_email.get(user.email.folded()).and_then(|other| self.users.get(other));
        let is_older = |other: &Arc<User>| {
            other.id != user.id && (other.versioned.created, other.id) < (user.versioned.created, user.id)
        };
        if !other.is_some_and(is_older) {
            self.users_by_email.insert(user.email.folded().into(), user.id);
        }
        self.users.insert(user.id, Arc::new(user));
    }

    fn apply_membership(&mut self, membership: Membership) {
        let (workspace, user) = (membership.workspace.clone(), membership.user);
        let of = self.workspaces_of.entry(user).or_default();
        if membership.role.is_some() {
            of.insert(workspace.clone());
        } else {
            of.remove(&workspace);
        }
        self.memberships.insert((workspace, user), membership);
    }

    fn apply_key(&mut self, mut key: ApiKey) {
        // One text for all keys of a workspace: there may be many.
        if let Some(known) = key.workspace.as_ref().and_then(|workspace| self.workspaces.get(workspace)) {
            key.workspace = Some(known.id.clone());
        }
        if key.origin == KeyOrigin::Registered {
            // A text is free again when its key is revoked: it leads to the key that was not, if there is one.
            let other = self.registered_keys.get(&key.hash).filter(|other| **other != key.id);
            let is_held = other.and_then(|other| self.keys.get(other)).is_some_and(|it| it.key.revoked.is_none());
            if key.revoked.is_none() || !is_held {
                self.registered_keys.insert(key.hash, key.id);
            }
        }
        self.keys_of.entry(key.workspace.clone()).or_default().insert(key.id);
        let before = self.keys.remove(&key.id);
        self.keys.insert(key.id, HeldKey::after(before, key));
    }

    fn apply_session(&mut self, session: Session) {
        if let Some(Session { kind: SessionKind::Cookie(before), .. }) = self.sessions.get(&session.id) {
            self.sessions_by_cookie.remove(before);
        }
        if let SessionKind::Cookie(hash) = session.kind {
            self.sessions_by_cookie.insert(hash, session.id);
        }
        self.sessions_by_user.entry(session.user).or_default().insert(session.id);
        self.sessions.insert(session.id, session);
    }

    /// Who a key of the register acts for. `registered_hash` is what keys that were made elsewhere are hashed with.
    ///
    /// # Errors
    /// [`Refusal`] when the key opens nothing, or not now, or not from `address`.
    pub fn authenticate_key(
        &self,
        text: &str,
        registered_hash: impl FnOnce(&str) -> [u8; 32],
        now: Timestamp,
        address: Option<IpAddr>,
    ) -> Result<Principal, Refusal> {
        let key = if text.starts_with(KEY_PREFIX) {
            let id = KeyText::id_of(text).map_err(|_| Refusal::BrokenKey)?;
            let key = self.key(id).filter(|key| key.origin != KeyOrigin::Registered);
            // Compared in constant time.
            key.filter(|key| blake3::Hash::from_bytes(key.hash) == blake3::hash(text.as_bytes()))
        } else {
            self.registered_keys.get(&registered_hash(text)).and_then(|id| self.key(*id))
        };
        let key = key.ok_or(Refusal::UnknownKey)?;
        check_times(key.revoked, key.expires, now)?;
        if !key.addresses.is_empty()
            && !address.is_some_and(|address| key.addresses.iter().any(|range| range.contains(address)))
        {
            return Err(Refusal::Address);
        }
        let subject = Subject::Key(key.id);
        match &key.workspace {
            None => Ok(Principal { workspace: None, rights: Rights::of_operator(), subject, project: None }),
            Some(workspace) => {
                let rights = Rights::of_key(key.scopes);
                Ok(Principal { workspace: Some(self.open(workspace)?), rights, subject, project: key.project.clone() })
            }
        }
    }

    /// Who a request acts for whose signature was found to fit this secret.
    ///
    /// # Errors
    /// [`Refusal`] when the secret opens nothing, or not now.
    pub fn authenticate_signer(&self, id: SecretId, now: Timestamp) -> Result<Principal, Refusal> {
        let secret = self.secrets.get(&id).ok_or(Refusal::WrongSignature)?;
        check_times(secret.revoked, secret.expires, now).map_err(|_| Refusal::WrongSignature)?;
        Ok(Principal {
            workspace: Some(self.open(&secret.workspace)?),
            rights: Rights::of_key(KeyScopes::of(&[super::rights::KeyScope::Ingest])),
            subject: Subject::Signature(id),
            project: secret.project.clone(),
        })
    }

    /// The person of a session that is still on.
    ///
    /// # Errors
    /// [`Refusal::SessionEnded`] when it is over or the person may not log in any more.
    pub fn person(&self, session: SessionId, now: Timestamp) -> Result<&Arc<User>, Refusal> {
        let session = self.sessions.get(&session).filter(|session| is_on(session, now));
        let user = session.and_then(|session| self.users.get(&session.user));
        user.filter(|user| user.status == UserStatus::Active).ok_or(Refusal::SessionEnded)
    }

    /// The session of a cookie with this hash.
    ///
    /// # Errors
    /// [`Refusal::SessionEnded`] when there is none that is still on.
    pub fn session_of_cookie(&self, hash: &[u8; 32], now: Timestamp) -> Result<SessionId, Refusal> {
        let session = self.sessions_by_cookie.get(hash).ok_or(Refusal::SessionEnded)?;
        self.person(*session, now).map(|_| *session)
    }

    /// Who a person acts for in the workspace that the request names, or in the only one that the person has.
    ///
    /// # Errors
    /// [`Refusal::WorkspaceRequired`] when it has to be named, [`Refusal::WorkspaceNotFound`] when there is none of
    /// this name for the person, whether or not there is one for others.
    pub fn enter(&self, user: UserId, session: SessionId, named: Option<&str>) -> Result<Principal, Refusal> {
        let workspace = match named {
            Some(name) => TenantId::parse(name).map_err(|_| Refusal::WorkspaceNotFound)?,
            None => {
                let mut all = self.workspaces_of.get(&user).into_iter().flatten();
                match (all.next(), all.next()) {
                    (Some(only), None) => only.clone(),
                    _ => return Err(Refusal::WorkspaceRequired),
                }
            }
        };
        let rights = self.rights_of_member(&workspace, user).ok_or(Refusal::WorkspaceNotFound)?;
        Ok(Principal {
            workspace: Some(self.open(&workspace)?),
            rights,
            subject: Subject::Person(user, session),
            project: None,
        })
    }

    /// Who a token of the external issuer acts for.
    ///
    /// # Errors
    /// [`Refusal::WorkspaceNotFound`] unless the workspace is there and takes such tokens.
    pub fn enter_external(&self, login: ExternalLogin, workspace: &str, role: Role) -> Result<Principal, Refusal> {
        let id = TenantId::parse(workspace).map_err(|_| Refusal::WorkspaceNotFound)?;
        let takes = self.workspaces.get(&id).is_some_and(|workspace| workspace.takes_external_tokens);
        if !takes {
            return Err(Refusal::WorkspaceNotFound);
        }
        Ok(Principal {
            workspace: Some(self.open(&id)?),
            rights: Rights::of_role(role),
            subject: Subject::External(login),
            project: None,
        })
    }

    /// What one who was let in may do now: a credential may have been revoked since, or what it opens changed.
    ///
    /// # Errors
    /// [`Refusal`] when the credential opens nothing any more.
    pub fn rights_now(&self, principal: &Principal, now: Timestamp) -> Result<Rights, Refusal> {
        if let Some(scope) = &principal.workspace {
            self.open(scope.tenant())?;
        }
        match &principal.subject {
            Subject::Key(id) => {
                let key = self.key(*id).ok_or(Refusal::UnknownKey)?;
                check_times(key.revoked, key.expires, now)?;
            }
            Subject::Signature(id) => {
                let secret = self.secrets.get(id).ok_or(Refusal::WrongSignature)?;
                check_times(secret.revoked, secret.expires, now)?;
            }
            Subject::Person(user, session) => {
                self.person(*session, now)?;
                if let Some(scope) = &principal.workspace {
                    return self.rights_of_member(scope.tenant(), *user).ok_or(Refusal::WorkspaceNotFound);
                }
            }
            Subject::External(_) => {
                let workspace = principal.workspace.as_ref().and_then(|scope| self.workspaces.get(scope.tenant()));
                if !workspace.is_some_and(|workspace| workspace.takes_external_tokens) {
                    return Err(Refusal::WorkspaceNotFound);
                }
            }
            Subject::Anonymous | Subject::Command | Subject::ConfiguredKey(_) => {}
        }
        Ok(principal.rights)
    }

    /// The scope of a workspace that is served. One that the register does not know yet is served: a store may be
    /// behind what the configuration says.
    pub(super) fn open(&self, workspace: &TenantId) -> Result<TenantScope, Refusal> {
        match self.workspaces.get(workspace) {
            Some(workspace) if workspace.status != WorkspaceStatus::Active => Err(Refusal::WorkspaceSuspended),
            _ => Ok(TenantScope::granted(workspace.clone())),
        }
    }

    /// Who a request acts for that needs no record: one with a key of the configuration, or with none in the `dev`
    /// profile.
    ///
    /// # Errors
    /// [`Refusal::WorkspaceSuspended`].
    pub fn enter_configured(&self, workspace: &TenantId, subject: Subject) -> Result<Principal, Refusal> {
        let rights = match subject {
            Subject::Anonymous => Rights { role: Some(Role::Owner), is_operator: true, ..Rights::default() },
            _ => Rights::of_key(KeyScopes::OF_CONFIGURATION),
        };
        Ok(Principal { workspace: Some(self.open(workspace)?), rights, subject, project: None })
    }
}

fn check_times(revoked: Option<Timestamp>, expires: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    // Revoked is revoked: a clock that was set back brings no key to life again.
    if revoked.is_some() {
        return Err(Refusal::RevokedKey);
    }
    if expires.is_some_and(|expires| now >= expires) {
        return Err(Refusal::ExpiredKey);
    }
    Ok(())
}

pub(super) fn is_on(session: &Session, now: Timestamp) -> bool {
    session.ended.is_none() && now < session.expires
}

#[cfg(test)]
mod tests;
