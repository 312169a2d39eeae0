//! Looking records up, for those who decide on changes and those who list them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::{Register, is_on};
use crate::access::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use crate::access::principal::{Principal, Subject};
use crate::access::record::UserStatus;
use crate::access::record::{
    ApiKey, Creation, DataKeyRecord, EncryptionRules, Invitation, Membership, PasswordReset, Project, Session,
    SigningSecret, TokenKeyRecord, User, Workspace,
};
use crate::access::rights::{Rights, Role};
use crate::rate::CallerRates;
use crate::tenant::TenantId;
use crate::time::Timestamp;

impl Register {
    /// A workspace.
    pub fn workspace(&self, id: &TenantId) -> Option<&Arc<Workspace>> {
        self.workspaces.get(id)
    }

    /// All workspaces in order of id, behind the one of id `after`.
    pub fn workspaces(&self, after: Option<&TenantId>) -> impl Iterator<Item = &Arc<Workspace>> {
        let ids = self.workspace_ids.range::<TenantId, _>((behind(after), Bound::Unbounded));
        ids.filter_map(|id| self.workspaces.get(id))
    }

    /// The workspaces that a person is a member of, in order of id.
    pub fn workspaces_of(&self, user: UserId) -> impl Iterator<Item = &TenantId> {
        self.workspaces_of.get(&user).into_iter().flatten()
    }

    /// The role of a person in a workspace.
    pub fn role(&self, workspace: &TenantId, user: UserId) -> Option<Role> {
        self.membership(workspace, user).and_then(|membership| membership.role)
    }

    /// The rights of a person in a workspace.
    pub fn rights_of_member(&self, workspace: &TenantId, user: UserId) -> Option<Rights> {
        let membership = self.membership(workspace, user)?;
        Some(Rights::of_member(membership.role?, membership.decrypts))
    }

    /// The membership of a person, also one that was ended.
    pub fn membership(&self, workspace: &TenantId, user: UserId) -> Option<&Membership> {
        self.memberships.get(&(workspace.clone(), user))
    }

    /// The members of a workspace in order of id, behind the one of id `after`.
    pub fn members(&self, workspace: &TenantId, after: Option<UserId>) -> impl Iterator<Item = &Membership> {
        let from = match after {
            Some(after) => Bound::Excluded((workspace.clone(), after)),
            None => Bound::Included((workspace.clone(), UserId::LEAST)),
        };
        let of = self.memberships.range((from, Bound::Unbounded)).take_while(move |((of, _), _)| of == workspace);
        of.map(|(_, membership)| membership).filter(|membership| membership.role.is_some())
    }

    /// How many owners of a workspace may log in, besides one person.
    pub fn other_owners(&self, workspace: &TenantId, besides: UserId) -> usize {
        let may_log_in = |user| self.users.get(&user).is_some_and(|user| user.status == UserStatus::Active);
        let owners = self.members(workspace, None).filter(|membership| membership.role == Some(Role::Owner));
        owners.filter(|owner| owner.user != besides && may_log_in(owner.user)).count()
    }

    /// A project, also one that was removed.
    pub fn project(&self, workspace: &TenantId, id: &str) -> Option<&Project> {
        self.projects.get(&(workspace.clone(), Arc::from(id)))
    }

    /// The projects of a workspace in order of id, behind the one of id `after`.
    pub fn projects(&self, workspace: &TenantId, after: Option<&str>) -> impl Iterator<Item = &Project> {
        // No id is empty.
        let from = Bound::Excluded((workspace.clone(), Arc::from(after.unwrap_or_default())));
        let of = self.projects.range((from, Bound::Unbounded)).take_while(move |((of, _), _)| of == workspace);
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

    /// All people in order of their folded addresses, behind the address `after`.
    pub fn users(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<User>> {
        let found = self.users_by_email.range::<str, _>((behind(after), Bound::Unbounded));
        found.filter_map(|(_, id)| self.users.get(id))
    }

    /// A key.
    pub fn key(&self, id: KeyId) -> Option<&Arc<ApiKey>> {
        self.keys.get(&id).map(|held| &held.key)
    }

    /// The key that holds the text with this hash: a text is free again when its key is revoked.
    pub fn registered_key(&self, hash: &[u8; 32]) -> Option<&Arc<ApiKey>> {
        self.registered_keys.get(hash).and_then(|id| self.key(*id)).filter(|key| key.revoked.is_none())
    }

    /// How many keys a workspace, or the operator, has, with those that have ended and are kept still.
    pub fn keys_kept(&self, workspace: Option<&TenantId>) -> usize {
        self.keys_of.get(&workspace.cloned()).map_or(0, BTreeSet::len)
    }

    /// Whether a workspace, or the operator, has fewer than `max` keys that were not revoked.
    pub fn has_room_for_key(&self, workspace: Option<&TenantId>, max: usize) -> bool {
        self.keys_kept(workspace) < max
            || self.keys(workspace, None).filter(|key| key.revoked.is_none()).take(max).count() < max
    }

    /// The keys of a workspace, or of the operator, in order of id, after the one of id `after`.
    pub fn keys(&self, workspace: Option<&TenantId>, after: Option<KeyId>) -> impl Iterator<Item = &Arc<ApiKey>> {
        let of = self.keys_of.get(&workspace.cloned()).into_iter();
        of.flat_map(move |ids| ids.range((behind(after), Bound::Unbounded))).filter_map(|id| self.key(*id))
    }

    /// A signing secret.
    pub fn secret(&self, id: SecretId) -> Option<&Arc<SigningSecret>> {
        self.secrets.get(&id)
    }

    /// The signing secrets of a workspace in order of id, behind the one of id `after`.
    pub fn secrets(&self, workspace: &TenantId, after: Option<SecretId>) -> impl Iterator<Item = &Arc<SigningSecret>> {
        let of = self.secrets_by_workspace.get(workspace).into_iter();
        of.flat_map(move |ids| ids.range((behind(after), Bound::Unbounded))).filter_map(|id| self.secrets.get(id))
    }

    /// How many signing secrets a workspace has, with those that have ended and are kept still.
    pub fn secrets_kept(&self, workspace: &TenantId) -> usize {
        self.secrets_by_workspace.get(workspace).map_or(0, BTreeSet::len)
    }

    /// An invitation.
    pub fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        self.invitations.get(&id)
    }

    /// The invitation of this token.
    pub fn invitation_by_token(&self, hash: &[u8; 32]) -> Option<&Invitation> {
        self.invitations_by_token.get(hash).and_then(|id| self.invitations.get(id))
    }

    /// The invitations to a workspace in order of id, behind the one of id `after`.
    pub fn invitations(&self, workspace: &TenantId, after: Option<InvitationId>) -> impl Iterator<Item = &Invitation> {
        let of = self.invitations_by_workspace.get(workspace).into_iter();
        of.flat_map(move |ids| ids.range((behind(after), Bound::Unbounded))).filter_map(|id| self.invitations.get(id))
    }

    /// How many invitations to a workspace there are, with those that have ended and are kept still.
    pub fn invitations_kept(&self, workspace: &TenantId) -> usize {
        self.invitations_by_workspace.get(workspace).map_or(0, BTreeSet::len)
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

    /// The limits that the operator has set for one who makes a request.
    pub fn rates_of(&self, principal: &Principal) -> CallerRates {
        let workspace = principal.workspace.as_ref().and_then(|scope| self.workspaces.get(scope.tenant()));
        let key = match &principal.subject {
            Subject::Key(id) => self.key(*id).and_then(|key| key.rate),
            _ => None,
        };
        CallerRates { key, workspace: workspace.map(|workspace| workspace.rates).unwrap_or_default() }
    }

    /// What a workspace encrypts, if it has ever said so.
    pub fn encryption(&self, workspace: &TenantId) -> Option<&Arc<EncryptionRules>> {
        self.encryption.get(workspace)
    }

    /// The versions of a workspace's data key, the oldest first, the destroyed ones included.
    pub fn data_keys(&self, workspace: &TenantId) -> impl Iterator<Item = &DataKeyRecord> {
        let of = (workspace.clone(), 0)..=(workspace.clone(), u32::MAX);
        self.data_keys.range(of).map(|(_, key)| key)
    }

    /// The workspaces that have, or had, a data key, each once.
    pub fn workspaces_with_data_keys(&self) -> impl Iterator<Item = &TenantId> {
        let first = self.data_keys.keys().map(|(workspace, _)| workspace);
        let mut last = None;
        first.filter(move |workspace| last.replace(*workspace) != Some(*workspace))
    }

    /// What a request with this hash has made before, unless that is forgotten.
    pub fn creation(&self, key_hash: &[u8; 32], now: Timestamp) -> Option<&Creation> {
        self.creations.get(key_hash).filter(|creation| now < creation.expires)
    }
}

/// Where a page begins.
fn behind<T>(after: Option<T>) -> Bound<T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}
