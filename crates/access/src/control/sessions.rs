//! Logging in and out. A session is held by a cookie or by refresh tokens, of which each is taken once: one that comes
//! a second time was stolen, or its copy was, and ends the session. Logins take the same time and give the same answer
//! whether there is such an account or not.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use domain::access::audit::Cause;
use domain::access::email::Email;
use domain::access::ids::{ID_CHARS, SessionId};
use domain::access::record::{Record, Session, SessionKind, User, UserStatus, Versioned};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde_json::json;

use super::joining::token_hash;
use super::people::ended;
use super::{AccessControl, By, Plan};
use crate::failure::AccessError;
use crate::passwords::{Password, PasswordError, needs_rehash};
use crate::random::{base62, bytes};
use crate::refresh;
use crate::secret_text::SecretText;

/// How long a session lasts after its last refresh, or a cookie after its login, in seconds.
const SESSION_S: i64 = 14 * 24 * 3_600;
/// Most sessions of a person that are on; a further login ends the oldest.
const SESSIONS_MAX: usize = 50;

/// A login.
#[derive(Debug)]
pub struct Login {
    /// Who.
    pub user: Arc<User>,
    /// The session.
    pub session: SessionId,
    /// What a cookie has to hold; none when the session is held by refresh tokens.
    pub cookie: Option<SecretText>,
    /// How long the session lasts, if it is not ended.
    pub lasts: Duration,
}

/// An access token, and the refresh token that the next one is got with.
#[derive(Debug)]
pub struct TokenPair {
    /// The access token.
    pub access: SecretText,
    /// How long it is taken.
    pub expires_in: Duration,
    /// The refresh token.
    pub refresh: SecretText,
}

impl AccessControl {
    /// Logs a person in, by a cookie or by tokens.
    ///
    /// # Errors
    /// [`AccessError::WrongLogin`] whatever is wrong, [`AccessError::Throttled`] after too many attempts.
    pub async fn log_in(
        self: &Arc<Self>,
        by: &By,
        email: &str,
        password: &str,
        by_cookie: bool,
    ) -> Result<Login, AccessError> {
        let email = Email::parse(email).ok();
        let account = email.as_ref().map_or("", |email| email.folded());
        let user = self.register.read().user_by_email(account).cloned();
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        // What can be no password is compared all the same, with that of no account.
        let typed = Password::new(password).ok();
        let stored = stored.filter(|_| typed.is_some());
        let password = typed.map_or_else(|| Password::new("what is compared with nothing"), Ok);
        let password = password.map_err(|why| AccessError::invalid("password", why))?;
        let is_right = self.is_password(by, account, &password, stored.as_deref()).await?;
        let Some(user) = user.filter(|user| is_right && user.status == UserStatus::Active) else {
            return Err(AccessError::WrongLogin);
        };
        let login = self.begin_session(by, &user, by_cookie).await?;
        if stored.as_deref().is_some_and(needs_rehash) {
            self.rehash(&user, &password).await?;
        }
        Ok(login)
    }

    /// Hashes a password anew that was hashed with other parameters than those of today.
    async fn rehash(self: &Arc<Self>, user: &User, password: &Password) -> Result<(), AccessError> {
        let hash = self.passwords.hash(password).await?;
        self.change(|register, now| {
            let known = register.user(user.id).filter(|known| known.password_hash == user.password_hash);
            let Some(known) = known else { return Ok((Plan::default(), ())) };
            let versioned = known.versioned.next(now);
            let after = User { password_hash: Some(hash.into()), versioned, ..User::clone(known) };
            let draft = Cause::server().draft(None, now, "password.rehash", format!("user:{}", user.id));
            Ok((Plan::of(Record::User(after), draft), ()))
        })
        .await
    }

    /// Begins a session of a person who has shown the password, as `user` says: if the password has changed since, or the
    /// person may not log in any more, it does not begin.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn begin_session(
        self: &Arc<Self>,
        by: &By,
        user: &Arc<User>,
        by_cookie: bool,
    ) -> Result<Login, AccessError> {
        let id = SessionId::parse(&base62(ID_CHARS)?);
        let id = id.map_err(|why| AccessError::Failed("begin a session", why.into()))?;
        let cookie = by_cookie.then(|| bytes::<32>().map(|secret| crate::text::base64url(&secret))).transpose()?;
        let user = Arc::clone(user);
        self.change(|register, now| {
            let known = register.user(user.id).filter(|known| known.status == UserStatus::Active);
            known.filter(|known| known.password_hash == user.password_hash).ok_or(AccessError::WrongLogin)?;
            let kind =
                cookie.as_deref().map_or(SessionKind::Tokens(0), |cookie| SessionKind::Cookie(token_hash(cookie)));
            let (expires, versioned) = (expiry(now), Versioned::new(now));
            let session = Session { id, user: user.id, kind, expires, ended: None, versioned };
            let draft = by.cause.of_user(user.id).draft(None, now, "login", format!("session:{id}"));
            let mut plan = Plan::of(Record::Session(session), draft);
            let mut others: Vec<_> = register.sessions_of(user.id, now).collect();
            others.sort_by_key(|session| session.versioned.created);
            let surplus = (others.len() + 1).saturating_sub(SESSIONS_MAX);
            for oldest in others.into_iter().take(surplus) {
                let because = super::json(&json!({ "because": format!("more than {SESSIONS_MAX} sessions") }));
                let draft = by.cause.of_user(user.id).draft(None, now, "session.end", format!("session:{}", oldest.id));
                plan.audit.push(draft.changing(None, because));
                plan.records.push(Record::Session(ended(oldest, now)));
            }
            let lasts = Duration::from_secs(SESSION_S.unsigned_abs());
            Ok((plan, Login { user: Arc::clone(&user), session: id, cookie: cookie.clone().map(Into::into), lasts }))
        })
        .await
    }

    /// The first tokens of a session.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn first_tokens(self: &Arc<Self>, login: &Login) -> Result<TokenPair, AccessError> {
        self.pair(&login.user, login.session, 0).await
    }

    /// New tokens for a refresh token, which is taken once. One that was taken before ends the session.
    ///
    /// # Errors
    /// [`AccessError::Refused`] with `SessionEnded`.
    pub async fn refresh_tokens(self: &Arc<Self>, by: &By, token: &str) -> Result<TokenPair, AccessError> {
        use domain::access::principal::Refusal::SessionEnded;
        let parsed = refresh::parse(&self.master, token).ok_or(AccessError::Refused(SessionEnded))?;
        let id = SessionId::parse(parsed.session_id).map_err(|_| AccessError::Refused(SessionEnded))?;
        let generation = parsed.generation;
        if self.register.read().session(id).is_none() {
            // A genuine token of a session that another process has begun.
            self.seek().await;
        }
        let refreshed = self.change(|register, now| {
            let user = Arc::clone(register.person(id, now)?);
            let before = register.session(id).ok_or(AccessError::Refused(SessionEnded))?;
            let SessionKind::Tokens(next) = before.kind else { return Err(AccessError::Refused(SessionEnded)) };
            if generation != next {
                let draft = by.cause.of_user(user.id).draft(None, now, "session.reuse", format!("session:{id}"));
                return Ok((Plan::of(Record::Session(ended(before, now)), draft), None));
            }
            let after = Session {
                kind: SessionKind::Tokens(next + 1),
                expires: expiry(now),
                versioned: before.versioned.next(now),
                ..before.clone()
            };
            // The one change without an entry: it gives nobody anything that the login has not given, and comes every
            // few minutes of each person who works. A token that comes again, which ends the session, has one.
            Ok((Plan { records: vec![Record::Session(after)], ..Plan::default() }, Some((user, next + 1))))
        });
        match refreshed.await? {
            Some((user, next)) => self.pair(&user, id, next).await,
            None => Err(AccessError::Refused(SessionEnded)),
        }
    }

    async fn pair(self: &Arc<Self>, user: &User, session: SessionId, next: u64) -> Result<TokenPair, AccessError> {
        let (issuer, now) = (self.issuer().await?, self.clock.now());
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| AccessError::Failed("issue a token", why);
        let issued = issuer.issue(user.id.as_str(), session.as_str(), now).map_err(|why| failed(why.into()))?;
        let refresh = refresh::compose(&self.master, session.as_str(), next).map_err(|why| failed(why.into()))?;
        // Tokens count in whole seconds, from the one that has begun.
        let second = now.micros().div_euclid(MICROS_PER_SECOND) * MICROS_PER_SECOND;
        let lasts_us = issued.expires_at.micros().saturating_sub(second).max(0);
        Ok(TokenPair {
            access: issued.text.into(),
            expires_in: Duration::from_micros(lasts_us.unsigned_abs()),
            refresh: refresh.into(),
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn log_out(self: &Arc<Self>, by: &By, id: SessionId) -> Result<(), AccessError> {
        self.change(|register, now| {
            register.person(id, now)?;
            let session = register.session(id).ok_or(AccessError::NotFound("session"))?;
            let draft = by.cause.draft(None, now, "logout", format!("session:{id}"));
            Ok((Plan::of(Record::Session(ended(session, now)), draft), ()))
        })
        .await
    }

    /// Counts an attempt of an account that is not made yet; it costs a hash as any other does.
    pub(super) fn count_attempt(&self, by: &By, account: &str) -> Result<(), AccessError> {
        let attempt = self.throttle.attempt(account, address_of(by), self.clock.monotonic());
        attempt.map_err(AccessError::Throttled)
    }

    /// Compares a password with the stored one of an account. Every way to try one goes through here, so that the
    /// attempts on an account are counted together, and refused after too many.
    pub(super) async fn is_password(
        self: &Arc<Self>,
        by: &By,
        account: &str,
        password: &Password,
        stored: Option<&str>,
    ) -> Result<bool, AccessError> {
        let (address, now) = (address_of(by), self.clock.monotonic());
        if let Err(wait) = self.throttle.attempt(account, address, now) {
            self.refuse_in_turn().await;
            return Err(AccessError::Throttled(wait));
        }
        let compared = self.passwords.verify(password, stored).await;
        match &compared {
            Ok(true) => self.throttle.succeeded(account, address, now),
            Ok(false) => self.note_failed_login(by, account).await,
            Err(_) => self.throttle.undecided(account, address),
        }
        if matches!(compared, Err(PasswordError::Busy)) {
            self.refuse_in_turn().await;
        }
        Ok(compared?)
    }

    /// Waits before a refusal is answered: who tries without pause must not take the processors either.
    async fn refuse_in_turn(&self) {
        self.clock.sleep(self.throttle.refused(self.clock.monotonic())).await;
    }
}

/// The address that a request came from.
fn address_of(by: &By) -> IpAddr {
    by.cause.address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

fn expiry(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(SESSION_S * MICROS_PER_SECOND))
}
