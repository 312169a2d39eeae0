//! The members of a workspace and the invitations to it. Only owners make owners and change them, and a workspace
//! that has an owner keeps one.

use std::sync::Arc;

use domain::access::audit::AuditDraft;
use domain::access::email::Email;
use domain::access::ids::{InvitationId, UserId};
use domain::access::principal::Subject;
use domain::access::record::{Invitation, Membership, Record, User, UserStatus, Workspace};
use domain::access::register::Register;
use domain::access::rights::{Permission, Rights, Role};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use serde_json::json;

use super::creation::refuse_repeated;
use super::joining::{
    MadeInvitation, NewInvitation, check_may_grant, check_may_let_decrypt, is_open, join, token_hash,
};
use super::people::{describe as describe_user, new_user};
use super::{AccessControl, By, CreationKey, Plan, check_name, check_version, json};
use crate::failure::AccessError;
use crate::passwords::Password;

/// A change of a member: what is given replaces what holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemberChange {
    /// The role.
    pub role: Option<Role>,
    /// Whether the member sees encrypted properties in plain text.
    pub decrypts: Option<bool>,
}

impl AccessControl {
    /// Changes the role of a member, or whether the member sees encrypted properties in plain text; what is not given
    /// stays.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_member(
        self: &Arc<Self>,
        by: &By,
        user: &str,
        change: MemberChange,
        version: Option<u64>,
    ) -> Result<Membership, AccessError> {
        self.set_membership(by, user, Some(change), version).await
    }

    /// Removes a member. Nothing that the member has made goes with that.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn remove_member(
        self: &Arc<Self>,
        by: &By,
        user: &str,
        version: Option<u64>,
    ) -> Result<Membership, AccessError> {
        self.set_membership(by, user, None, version).await
    }

    /// Without a change the membership ends.
    async fn set_membership(
        self: &Arc<Self>,
        by: &By,
        user: &str,
        change: Option<MemberChange>,
        version: Option<u64>,
    ) -> Result<Membership, AccessError> {
        let workspace = by.workspace()?.clone();
        self.change_by(by, |register, now| {
            let user = UserId::parse(user).map_err(|_| AccessError::NotFound("member"))?;
            let before = register.membership(&workspace, user).filter(|member| member.role.is_some());
            let before = before.ok_or(AccessError::NotFound("member"))?;
            check_version(version, before.versioned.version)?;
            let role = change.and_then(|change| change.role.or(before.role));
            let decrypts = change.is_some_and(|change| change.decrypts.unwrap_or(before.decrypts));
            if (before.role, before.decrypts) == (role, decrypts) {
                return Ok((Plan::default(), before.clone()));
            }
            // Who does not read events sees none in plain text, whatever an owner has granted.
            let sees = |role: Option<Role>, decrypts: bool| {
                decrypts && role.is_some_and(|role| Rights::of_role(role).allow(Permission::ReadEvents))
            };
            if (decrypts && !before.decrypts) || (sees(role, decrypts) && !sees(before.role, before.decrypts)) {
                check_may_let_decrypt(by)?;
            }
            let is_own = matches!(by.principal.subject, Subject::Person(own, _) if own == user);
            if !(is_own && role.is_none()) {
                check_may_grant(by, before.role.max(role))?;
            }
            let mut plan = Plan::default();
            if before.role == Some(Role::Owner) && role != before.role {
                // So that two owners cannot leave at once, each seeing the other.
                plan.records.push(keep_an_owner(register, &workspace, user, now)?);
            }
            // What the person has handed out and could not any more ends with the right to.
            let maker = format!("user:{user}");
            let open = register.invitations(&workspace, None).filter(|invitation| is_open(invitation, now));
            for lost in open.filter(|invitation| invitation.created_by == maker && Some(invitation.role) > role) {
                plan.audit.push(withdrawal(by, lost, now));
                plan.records.push(Record::Invitation(close(lost, now)));
            }
            let after = Membership { role, decrypts, versioned: before.versioned.next(now), ..before.clone() };
            let action = if role.is_some() { "member.change" } else { "member.remove" };
            let draft = by.cause.draft(Some(&workspace), now, action, format!("user:{user}"));
            let was = describe(before.role, before.decrypts);
            plan.audit.push(draft.changing(was, describe(role, decrypts)));
            plan.records.push(Record::Membership(after.clone()));
            Ok((plan, after))
        })
        .await
    }

    /// Invites a person.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn invite(
        self: &Arc<Self>,
        by: &By,
        email: &str,
        role: Role,
        repeated: Option<CreationKey>,
    ) -> Result<MadeInvitation, AccessError> {
        let workspace = by.workspace()?.clone();
        let new = NewInvitation::new()?;
        self.change_by(by, |register, now| {
            refuse_repeated(repeated, register, now)?;
            let email = Email::parse(email).map_err(|why| AccessError::invalid("email", why))?;
            let (plan, made) = new.plan(register, by, &workspace, email, role, now)?;
            let id = made.invitation.id;
            Ok((plan.and(repeated.map(|key| key.record(Some(&workspace), id.as_str(), now))), made))
        })
        .await
    }

    /// Withdraws an invitation that was not accepted.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn withdraw_invitation(
        self: &Arc<Self>,
        by: &By,
        id: &str,
        version: Option<u64>,
    ) -> Result<(), AccessError> {
        let workspace = by.workspace()?.clone();
        self.change_by(by, |register, now| {
            let found = InvitationId::parse(id).ok().and_then(|id| register.invitation(id));
            let found = found.filter(|found| found.workspace == workspace && is_open(found, now));
            let found = found.ok_or(AccessError::NotFound("invitation"))?;
            check_version(version, found.versioned.version)?;
            check_may_grant(by, Some(found.role))?;
            Ok((Plan::of(Record::Invitation(close(found, now)), withdrawal(by, found, now)), ()))
        })
        .await
    }

    /// Accepts an invitation: makes the account of its address, or, when there is one, joins it after comparing the
    /// password. The same work is done either way, but not the same answer given: who holds a token and is refused
    /// knows that there is an account of the address. It cannot be otherwise where no address is ever proven, since
    /// what is refused to one who is not the account's person is what makes the account of anybody else.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn accept_invitation(
        self: &Arc<Self>,
        by: &By,
        token: &str,
        name: Option<&str>,
        password: &str,
    ) -> Result<(Arc<User>, TenantId), AccessError> {
        let password = Password::new(password).map_err(|why| AccessError::invalid("password", why))?;
        if let Some(name) = name {
            check_name("name", name)?;
        }
        self.seek_token(|register, hash| register.invitation_by_token(hash).is_some(), token).await;
        let (email, known) = {
            let register = self.register.read();
            let invitation = open_invitation(&register, token, self.clock.now())?;
            (invitation.email.clone(), register.user_by_email(invitation.email.folded()).cloned())
        };
        let hash = match &known {
            Some(user) => {
                let is_right = self.is_password(by, email.folded(), &password, user.password_hash.as_deref()).await?;
                if !is_right || user.status != UserStatus::Active {
                    return Err(AccessError::WrongLogin);
                }
                None
            }
            None => {
                self.count_attempt(by, email.folded())?;
                Some(self.passwords.hash(&password).await?)
            }
        };
        let fresh = new_user(email, name, hash, self.clock.now())?;
        self.change_by(by, |register, now| {
            let invitation = open_invitation(register, token, now)?;
            let workspace = &invitation.workspace;
            let (user, is_new) = match register.user_by_email(invitation.email.folded()) {
                Some(user) if known.as_ref().is_some_and(|known| **known == **user) => (User::clone(user), false),
                Some(_) => return Err(AccessError::Raced),
                None => (fresh.clone(), true),
            };
            let mut plan = Plan::default();
            if is_new {
                plan.records.push(Record::User(user.clone()));
                let created = by.cause.draft(None, now, "user.create", format!("user:{}", user.id));
                plan.audit.push(created.changing(None, describe_user(&user)));
            }
            plan.records.push(Record::Invitation(close(invitation, now)));
            plan.records.push(join(register, workspace, user.id, invitation.role, now)?);
            let draft =
                by.cause.of_user(user.id).draft(Some(workspace), now, "member.join", format!("user:{}", user.id));
            plan.audit.push(draft.changing(None, describe(Some(invitation.role), false)));
            Ok((plan, (Arc::new(user), workspace.clone())))
        })
        .await
    }
}

/// The workspace in its next version, if an owner may go. Changed together with the membership, so that of two
/// changes at once only one counts.
fn keep_an_owner(
    register: &Register,
    workspace: &TenantId,
    leaving: UserId,
    now: Timestamp,
) -> Result<Record, AccessError> {
    if register.other_owners(workspace, leaving) == 0 {
        return Err(AccessError::State("this is the last owner of the workspace: make another one first"));
    }
    let before = register.workspace(workspace).ok_or(AccessError::NotFound("workspace"))?;
    Ok(Record::Workspace(Workspace { versioned: before.versioned.next(now), ..Workspace::clone(before) }))
}

fn open_invitation<'r>(register: &'r Register, token: &str, now: Timestamp) -> Result<&'r Invitation, AccessError> {
    let found = register.invitation_by_token(&token_hash(token));
    found.filter(|found| is_open(found, now)).ok_or(AccessError::WrongToken)
}

fn close(invitation: &Invitation, now: Timestamp) -> Invitation {
    Invitation { closed: Some(now), versioned: invitation.versioned.next(now), ..invitation.clone() }
}

/// What the log says of an invitation that ends before it was accepted.
fn withdrawal(by: &By, invitation: &Invitation, now: Timestamp) -> AuditDraft {
    let Invitation { id, workspace, .. } = invitation;
    by.cause.draft(Some(workspace), now, "invitation.withdraw", format!("invitation:{id}"))
}

fn describe(role: Option<Role>, decrypts: bool) -> Option<String> {
    let role = role?.name();
    if decrypts { json(&json!({ "role": role, "decrypt": true })) } else { json(&json!({ "role": role })) }
}
