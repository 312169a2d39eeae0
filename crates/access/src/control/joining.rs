//! Becoming a member: invitations, the tokens that accept them, and who may give which role.

use domain::access::email::Email;
use domain::access::ids::{ID_CHARS, InvitationId, UserId};
use domain::access::principal::{Principal, Subject};
use domain::access::record::{Invitation, Membership, Record, Versioned};
use domain::access::register::Register;
use domain::access::rights::Role;
use domain::limits::{INVITATIONS_KEPT_MAX, INVITATIONS_MAX};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde_json::json;

use super::{AccessControl, By, Plan, json};
use crate::failure::AccessError;
use crate::random::{base62, bytes};
use crate::secret_text::SecretText;

/// How long an invitation can be accepted, in seconds.
const INVITATION_S: i64 = 72 * 3_600;

/// An invitation that was made. Its token cannot be had again.
#[derive(Debug, Clone)]
pub struct MadeInvitation {
    /// Its record.
    pub invitation: Invitation,
    /// What accepts it.
    pub token: SecretText,
}

/// An invitation that is to be made: what of it is chosen at random.
pub(super) struct NewInvitation {
    id: InvitationId,
    token: String,
}

impl NewInvitation {
    pub(super) fn new() -> Result<Self, AccessError> {
        let id = InvitationId::parse(&base62(ID_CHARS)?);
        let id = id.map_err(|why| AccessError::Failed("make an invitation", why.into()))?;
        Ok(Self { id, token: one_time_token("nmi_")? })
    }

    /// The invitation of `email` to a workspace.
    pub(super) fn plan(
        &self,
        register: &Register,
        by: &By,
        workspace: &TenantId,
        email: Email,
        role: Role,
        now: Timestamp,
    ) -> Result<(Plan, MadeInvitation), AccessError> {
        check_may_grant(by, Some(role))?;
        let known = register.user_by_email(email.folded());
        if known.is_some_and(|known| register.role(workspace, known.id).is_some()) {
            return Err(AccessError::Exists { field: "email", why: "is the address of a member" });
        }
        if register.invitations(workspace, None).filter(|open| is_open(open, now)).count() >= INVITATIONS_MAX {
            return Err(AccessError::State("the workspace has as many open invitations as one may have"));
        }
        if register.invitations_kept(workspace) >= INVITATIONS_KEPT_MAX {
            let why = "the workspace has as many invitations as one may have with those that have ended, which are \
                       forgotten 30 days after their end";
            return Err(AccessError::State(why));
        }
        let invitation = Invitation {
            id: self.id,
            workspace: workspace.clone(),
            email,
            role,
            token_hash: token_hash(&self.token),
            expires: Timestamp::from_micros(now.micros().saturating_add(INVITATION_S * MICROS_PER_SECOND)),
            closed: None,
            created_by: by.cause.actor.to_string(),
            versioned: Versioned::new(now),
        };
        let draft = by.cause.draft(Some(workspace), now, "invitation.create", format!("invitation:{}", self.id));
        let after = json(&json!({ "email": invitation.email.as_str(), "role": role.name() }));
        let plan = Plan::of(Record::Invitation(invitation.clone()), draft.changing(None, after));
        Ok((plan, MadeInvitation { invitation, token: self.token.clone().into() }))
    }
}

/// The membership that makes a person a member with this role.
pub(super) fn join(
    register: &Register,
    workspace: &TenantId,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<Record, AccessError> {
    let before = register.membership(workspace, user);
    if before.is_some_and(|before| before.role.is_some()) {
        return Err(AccessError::Exists { field: "email", why: "is the address of a member" });
    }
    let versioned = before.map_or(Versioned::new(now), |before| before.versioned.next(now));
    Ok(Record::Membership(Membership {
        workspace: workspace.clone(),
        user,
        role: Some(role),
        decrypts: false,
        versioned,
    }))
}

/// Refuses to give or take a role to those who are below owners and touch an owner.
pub(super) fn check_may_grant(by: &By, role: Option<Role>) -> Result<(), AccessError> {
    let rights = by.principal.rights;
    if role == Some(Role::Owner) && rights.role != Some(Role::Owner) && !rights.is_operator {
        return Err(AccessError::Forbidden("only an owner makes, changes and removes owners"));
    }
    Ok(())
}

/// Refuses all but owners to let others see encrypted properties in plain text. Who holds the data folder holds the key.
pub(super) fn check_may_let_decrypt(by: &By) -> Result<(), AccessError> {
    let Principal { rights, subject, .. } = &by.principal;
    if rights.role == Some(Role::Owner) || *subject == Subject::Command {
        return Ok(());
    }
    Err(AccessError::Forbidden("only an owner lets others see encrypted properties"))
}

pub(super) fn is_open(invitation: &Invitation, now: Timestamp) -> bool {
    invitation.closed.is_none() && now < invitation.expires
}

/// A token that can be used once, 256 bits behind a word that says what it is for.
pub(super) fn one_time_token(prefix: &str) -> Result<String, AccessError> {
    Ok(format!("{prefix}{}", crate::text::base64url(&bytes::<32>()?)))
}

impl AccessControl {
    /// Looks for a token that is taken once and unknown here: another process may have made it.
    pub(super) async fn seek_token(&self, knows: fn(&Register, &[u8; 32]) -> bool, token: &str) {
        if !knows(&self.register.read(), &token_hash(token)) {
            self.seek().await;
        }
    }
}

/// What is stored of a token.
pub(super) fn token_hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}
