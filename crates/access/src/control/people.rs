//! Accounts of people: made by the operator or by an invitation, suspended, and their passwords. No mail is sent:
//! the token of a reset is given once to who asked for it, to be handed on.

use std::sync::Arc;

use domain::access::email::Email;
use domain::access::ids::{ID_CHARS, SessionId, UserId};
use domain::access::principal::Refusal;
use domain::access::record::{PasswordReset, Record, Session, User, UserStatus, Versioned};
use domain::access::register::Register;
use domain::access::rights::Role;
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde_json::json;

use super::creation::refuse_repeated;
use super::joining::{MadeInvitation, NewInvitation, join, one_time_token, token_hash};
use super::{AccessControl, By, CreationKey, Plan, check_name, check_version, json};
use crate::failure::AccessError;
use crate::passwords::Password;
use crate::random::base62;
use crate::secret_text::SecretText;

/// How long a reset of a password can be used, in seconds.
const RESET_S: i64 = 3_600;

/// A change of a person: what is given replaces what holds.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// What the person is called.
    pub name: Option<String>,
    /// Whether the person may log in.
    pub status: Option<UserStatus>,
}

/// A reset of a password that was made. Its token cannot be had again.
#[derive(Debug, Clone)]
pub struct MadeReset {
    /// What sets a new password.
    pub token: SecretText,
    /// When it ends.
    pub expires: Timestamp,
}

/// A person who was made a member by the operator.
#[derive(Debug, Clone)]
pub struct MadeMember {
    /// The person.
    pub user: Arc<User>,
    /// For a new account, what sets its password.
    pub reset: Option<MadeReset>,
    /// For an account that was there, what makes its person a member: nobody becomes one unasked, and nobody is taken
    /// for a person only because an account has the person's address.
    pub invitation: Option<MadeInvitation>,
}

impl AccessControl {
    /// Makes a person a member of a workspace. A new account has no password: the token that is returned sets it. A
    /// person with an account is invited: no address here was ever proven, so only who has the token joins.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_member(
        self: &Arc<Self>,
        by: &By,
        workspace: &TenantId,
        email: &str,
        name: Option<&str>,
        role: Role,
        repeated: Option<CreationKey>,
    ) -> Result<MadeMember, AccessError> {
        let email = Email::parse(email).map_err(|why| AccessError::invalid("email", why))?;
        let fresh = new_user(email.clone(), name, None, self.clock.now())?;
        let (token, invitation) = (one_time_token("nmp_")?, NewInvitation::new()?);
        self.change_by(by, |register, now| {
            refuse_repeated(repeated, register, now)?;
            register.workspace(workspace).ok_or(AccessError::NotFound("workspace"))?;
            self.check_not_erased(workspace)?;
            if let Some(user) = register.user_by_email(email.folded()) {
                let (plan, made) = invitation.plan(register, by, workspace, email.clone(), role, now)?;
                let id = made.invitation.id;
                let plan = plan.and(repeated.map(|key| key.record(None, id.as_str(), now)));
                return Ok((plan, MadeMember { user: Arc::clone(user), reset: None, invitation: Some(made) }));
            }
            let user = fresh.clone();
            let reset = new_reset(register, user.id, &token, now);
            let made = Some(MadeReset { token: token.clone().into(), expires: reset.expires });
            let join = join(register, workspace, user.id, role, now)?;
            let records = vec![Record::User(user.clone()), Record::PasswordReset(reset), join];
            let created = by.cause.draft(None, now, "user.create", format!("user:{}", user.id));
            let added = by.cause.draft(Some(workspace), now, "member.add", format!("user:{}", user.id));
            let added = added.changing(None, json(&json!({ "role": role.name() })));
            let plan = Plan { records, audit: vec![created.changing(None, describe(&user)), added], ..Plan::default() };
            let plan = plan.and(repeated.map(|key| key.record(None, user.id.as_str(), now)));
            Ok((plan, MadeMember { user: Arc::new(user), reset: made, invitation: None }))
        })
        .await
    }

    /// Changes a person's name or status. Who is suspended is logged out everywhere.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_user(
        self: &Arc<Self>,
        by: &By,
        id: UserId,
        change: UserChange,
        version: Option<u64>,
    ) -> Result<Arc<User>, AccessError> {
        self.change_by(by, |register, now| {
            let before = register.user(id).ok_or(AccessError::NotFound("user"))?;
            check_version(version, before.versioned.version)?;
            let mut after = User::clone(before);
            if let Some(name) = &change.name {
                after.name = check_name("name", name)?;
            }
            after.status = change.status.unwrap_or(after.status);
            if after == **before {
                return Ok((Plan::default(), Arc::clone(before)));
            }
            after.versioned = before.versioned.next(now);
            let draft = by.cause.draft(None, now, "user.change", format!("user:{id}"));
            let mut plan = Plan::of(Record::User(after.clone()), draft.changing(describe(before), describe(&after)));
            if after.status == UserStatus::Suspended {
                plan.records.extend(end_sessions(register, id, now));
            }
            Ok((plan, Arc::new(after)))
        })
        .await
    }

    /// Makes a token that sets a new password; an earlier one is of no use any more.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_reset(self: &Arc<Self>, by: &By, id: UserId) -> Result<MadeReset, AccessError> {
        let token = one_time_token("nmp_")?;
        self.change_by(by, |register, now| {
            register.user(id).ok_or(AccessError::NotFound("user"))?;
            let reset = new_reset(register, id, &token, now);
            let made = MadeReset { token: token.clone().into(), expires: reset.expires };
            let draft = by.cause.draft(None, now, "password.reset.create", format!("user:{id}"));
            Ok((Plan::of(Record::PasswordReset(reset), draft), made))
        })
        .await
    }

    /// Sets a new password by such a token, and ends all sessions of the person.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn reset_password(self: &Arc<Self>, by: &By, token: &str, password: &str) -> Result<(), AccessError> {
        let password = Password::new(password).map_err(|why| AccessError::invalid("password", why))?;
        self.seek_token(|register, hash| register.reset_by_token(hash).is_some(), token).await;
        // Looked up first, so that a wrong token costs no hash; hashed before the change, which is not to wait.
        open_reset(&self.register.read(), token, self.clock.now())?;
        let hash = self.passwords.hash(&password).await?;
        self.change_by(by, |register, now| {
            let reset = open_reset(register, token, now)?;
            let closed = PasswordReset { closed: Some(now), versioned: reset.versioned.next(now), ..reset.clone() };
            let before = register.user(reset.user).ok_or(AccessError::WrongToken)?;
            let (mut plan, _) = new_password(register, before, &hash, now);
            plan.records.push(Record::PasswordReset(closed));
            plan.audit.push(by.cause.of_user(before.id).draft(
                None,
                now,
                "password.reset",
                format!("user:{}", before.id),
            ));
            Ok((plan, ()))
        })
        .await
    }

    /// Changes the password of who is logged in, and ends all sessions of the person, this one as well: the caller
    /// begins a new one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_password(
        self: &Arc<Self>,
        by: &By,
        user: UserId,
        session: SessionId,
        current: &str,
        new: &str,
    ) -> Result<Arc<User>, AccessError> {
        let new = Password::new(new).map_err(|why| AccessError::invalid("new_password", why))?;
        let known = self.user_of(session)?;
        let stored = known.password_hash.clone();
        let is_right = match Password::new(current) {
            Ok(current) => self.is_password(by, known.email.folded(), &current, stored.as_deref()).await?,
            Err(_) => false,
        };
        if !is_right {
            return Err(AccessError::WrongLogin);
        }
        let hash = self.passwords.hash(&new).await?;
        self.change_by(by, |register, now| {
            let before = register.person(session, now)?;
            if before.password_hash != stored {
                return Err(AccessError::Raced);
            }
            let (mut plan, after) = new_password(register, before, &hash, now);
            plan.audit.push(by.cause.draft(None, now, "password.change", format!("user:{user}")));
            Ok((plan, Arc::new(after)))
        })
        .await
    }

    /// The person of a session.
    ///
    /// # Errors
    /// [`Refusal::SessionEnded`].
    pub fn user_of(&self, session: SessionId) -> Result<Arc<User>, Refusal> {
        self.register.read().person(session, self.clock.now()).cloned()
    }
}

/// The record of a new account.
pub(super) fn new_user(
    email: Email,
    name: Option<&str>,
    password_hash: Option<String>,
    now: Timestamp,
) -> Result<User, AccessError> {
    let id = UserId::parse(&base62(ID_CHARS)?).map_err(|why| AccessError::Failed("make an account", why.into()))?;
    let name = match name {
        Some(name) => check_name("name", name)?,
        None => email.as_str().to_owned(),
    };
    let password_hash = password_hash.map(Into::into);
    Ok(User { id, email, name, password_hash, status: UserStatus::Active, versioned: Versioned::new(now) })
}

fn new_reset(register: &Register, user: UserId, token: &str, now: Timestamp) -> PasswordReset {
    PasswordReset {
        user,
        token_hash: token_hash(token),
        expires: Timestamp::from_micros(now.micros().saturating_add(RESET_S * MICROS_PER_SECOND)),
        closed: None,
        // One that has expired may be removed already.
        versioned: match register.reset(user).filter(|before| now < before.expires) {
            Some(before) => before.versioned.next(now),
            None => Versioned::new(now),
        },
    }
}

fn open_reset<'r>(register: &'r Register, token: &str, now: Timestamp) -> Result<&'r PasswordReset, AccessError> {
    let found = register.reset_by_token(&token_hash(token));
    found.filter(|reset| reset.closed.is_none() && now < reset.expires).ok_or(AccessError::WrongToken)
}

/// The person with a new password, and the end of all sessions.
fn new_password(register: &Register, before: &User, hash: &str, now: Timestamp) -> (Plan, User) {
    let after = User { password_hash: Some(hash.into()), versioned: before.versioned.next(now), ..before.clone() };
    let mut records = vec![Record::User(after.clone())];
    records.extend(end_sessions(register, before.id, now));
    (Plan { records, ..Plan::default() }, after)
}

/// The sessions of a person, ended.
fn end_sessions(register: &Register, user: UserId, now: Timestamp) -> impl Iterator<Item = Record> {
    register.sessions_of(user, now).map(move |session| Record::Session(ended(session, now)))
}

/// A session, ended.
pub(super) fn ended(session: &Session, now: Timestamp) -> Session {
    Session { ended: Some(now), versioned: session.versioned.next(now), ..session.clone() }
}

pub(super) fn describe(user: &User) -> Option<String> {
    json(&json!({ "email": user.email.as_str(), "name": user.name, "status": user.status.name() }))
}
