//! Looking records up, for those who decide on changes and those who list them.

use std::ops::Bound;
use std::sync::Arc;

use super::{Register, is_on};
use crate::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use crate::access::record::UserStatus;
use crate::access::record::{
    ApiKey, Creation, Invitation, Membership, PasswordReset, Project, Session, SigningSecret, TokenKeyRecord, User,
    Workspace,
};
use crate::access::rights::Role;
use crate::tenant::TenantId;
use crate::time::Timestamp;

impl Register {
    /// A workspace.
    pub fn workspace(&self, id: &TenantId) -> Option<&Arc<Workspace>> {
        self.workspaces.get(id)
    }

    /// All workspaces, in no order.
    pub fn workspaces(&self) -> impl Iterator<Item = &Arc<Workspace>> {
        self.workspaces.values()
    }

    /// The workspaces that a person is a member of, in order of id.
    pub fn workspaces_of(&self, user: UserId) -> impl Iterator<Item = &TenantId> {
        self.workspaces_of.get(&user).into_iter().flatten()
    }

    /// The role of a person in a workspace.
    pub fn role(&self, workspace: &TenantId, user: UserId) -> Option<Role> {
        self.membership(workspace, user).and_then(|membership| membership.role)
    }

    /// The membership of a person, also one that was ended.
    pub fn membership(&self, workspace: &TenantId, user: UserId) -> Option<&Membership> {
        self.memberships.get(&(workspace.clone(), user))
    }

    /// The members of a workspace, in order of id.
    pub fn members(&self, workspace: &TenantId) -> impl Iterator<Item = &Membership> {
        let from = (workspace.clone(), UserId::LEAST);
        let of = self.memberships.range(from..).take_while(move |((of, _), _)| of == workspace);
        of.map(|(_, membership)| membership).filter(|membership| membership.role.is_some())
    }

    /// How many owners of a workspace may log in, besides one person.
    pub fn other_owners(&self, workspace: &TenantId, besides: UserId) -> usize {
        let may_log_in = |user| self.users.get(&user).is_some_and(|user| user.status == UserStatus::Active);
        let owners = self.members(workspace).filter(|membership| membership.role == Some(Role::Owner));
        owners.filter(|owner| owner.user != besides && may_log_in(owner.user)).count()
    }

    /// A project, also one that was removed.
    pub fn project(&self, workspace: &TenantId, id: &str) -> Option<&Project> {
        self.projects.get(&(workspace.clone(), Arc::from(id)))
    }

    /// The projects of a workspace, in order of id.
    pub fn projects(&self, workspace: &TenantId) -> impl Iterator<Item = &Project> {
        let from = (workspace.clone(), Arc::from(""));
        let of = self.projects.range(from..).take_while(move |((of, _), _)| of == workspace);
        of.map(|(_, project)| project).filter(|project| !project.is_removed)
    }

    /// A person.
    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The person with this address.
    pub fn user_by_email(&self, folded: &str) -> Option<&Arc<User>> {
        self.users_by_email.get(folded).and_then(|id| self.users.get(id))
    }

    /// All people, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// A key.
    pub fn key(&self, id: KeyId) -> Option<&Arc<ApiKey>> {
        self.keys.get(&id)
    }

    /// The key that was registered with this hash.
    pub fn registered_key(&self, hash: &[u8; 32]) -> Option<&Arc<ApiKey>> {
        self.registered_keys.get(hash).and_then(|id| self.keys.get(id))
    }

    /// The keys of a workspace, or of the operator, in order of id, after the one of id `after`.
    pub fn keys(&self, workspace: Option<&TenantId>, after: Option<KeyId>) -> impl Iterator<Item = &Arc<ApiKey>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let of = self.keys_of.get(&workspace.cloned()).into_iter();
        of.flat_map(move |ids| ids.range((from, Bound::Unbounded))).filter_map(|id| self.keys.get(id))
    }

    /// A signing secret.
    pub fn secret(&self, id: SecretId) -> Option<&Arc<SigningSecret>> {
        self.secrets.get(&id)
    }

    /// The signing secrets of a workspace, in order of id.
    pub fn secrets(&self, workspace: &TenantId) -> impl Iterator<Item = &Arc<SigningSecret>> {
        let ids = self.secrets_by_workspace.get(workspace).into_iter().flatten();
        ids.filter_map(|id| self.secrets.get(id))
    }

    /// An invitation.
    pub fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        self.invitations.get(&id)
    }

    /// The invitation of this token.
    pub fn invitation_by_token(&self, hash: &[u8; 32]) -> Option<&Invitation> {
        self.invitations_by_token.get(hash).and_then(|id| self.invitations.get(id))
    }

    /// The invitations to a workspace, in order of id.
    pub fn invitations(&self, workspace: &TenantId) -> impl Iterator<Item = &Invitation> {
        let ids = self.invitations_by_workspace.get(workspace).into_iter().flatten();
        ids.filter_map(|id| self.invitations.get(id))
    }

    /// The reset of a person's password that was made last.
    pub fn reset(&self, user: UserId) -> Option<&PasswordReset> {
        self.resets.get(&user)
    }

    /// The reset of this token.
    pub fn reset_by_token(&self, hash: &[u8; 32]) -> Option<&PasswordReset> {
        self.resets_by_token.get(hash).and_then(|user| self.resets.get(user))
    }

    /// A session, also one that is over.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// The sessions of a person that are on.
    pub fn sessions_of(&self, user: UserId, now: Timestamp) -> impl Iterator<Item = &Session> {
        let ids = self.sessions_by_user.get(&user).into_iter().flatten();
        ids.filter_map(|id| self.sessions.get(id)).filter(move |session| is_on(session, now))
    }

    /// The keys of access tokens, in order of id.
    pub fn token_keys(&self) -> impl Iterator<Item = &TokenKeyRecord> {
        self.token_keys.values()
    }

    /// What a request with this hash has made before, unless that is forgotten.
    pub fn creation(&self, key_hash: &[u8; 32], now: Timestamp) -> Option<&Creation> {
        self.creations.get(key_hash).filter(|creation| now < creation.expires)
    }
}
