//! The keys that access tokens are signed with. The newest signs; those before it are taken until their tokens have
//! ended.

use std::sync::Arc;

use domain::access::record::{Record, TokenKeyRecord, Versioned};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use zeroize::Zeroizing;

use super::{AccessControl, By, Plan};
use crate::failure::AccessError;
use crate::master_key::{MasterKey, WrapError};
use crate::random::bytes;
use crate::tokens::{PublicTokenKey, TokenIssuer, TokenKey};

/// The tokens of a key that was retired so long ago have ended, in seconds.
pub(super) const RETIRED_S: i64 = 3_600;
/// What keys are encrypted for.
const PURPOSE: &str = "token key";

/// Most keys whose tokens may be on their way at once.
const KEYS_IN_USE_MAX: usize = 32;

/// Decrypts the private part of a key.
pub(super) fn unwrap(master: &MasterKey, key: &TokenKeyRecord) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    master.unwrap(PURPOSE, &key.kid, &key.wrapped)
}

/// A new key, which signs from now on.
pub(super) fn generate(master: &MasterKey, now: Timestamp) -> Result<TokenKeyRecord, AccessError> {
    let key = TokenKey::generate()?;
    let kid = key.public().kid().to_owned();
    let wrapped = master.wrap(PURPOSE, &kid, &key.seed()[..], bytes::<12>()?)?.into();
    Ok(TokenKeyRecord { kid, wrapped, retired: None, versioned: Versioned::new(now) })
}

/// Whether a token of the key may still be on its way.
fn is_in_use(key: &TokenKeyRecord, now: Timestamp) -> bool {
    let age_us = key.retired.map(|at| now.micros().saturating_sub(at.micros()));
    age_us.is_none_or(|age_us| age_us <= RETIRED_S * MICROS_PER_SECOND)
}

impl AccessControl {
    /// Makes a new key, which signs from now on.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate_token_key(self: &Arc<Self>, by: &By) -> Result<String, AccessError> {
        self.new_token_key(by, true).await
    }

    async fn new_token_key(self: &Arc<Self>, by: &By, replaces: bool) -> Result<String, AccessError> {
        let new = generate(&self.master, self.clock.now())?;
        self.change_by(by, |register, now| {
            let current = register.token_keys().find(|key| key.retired.is_none());
            if let Some(current) = current.filter(|_| !replaces) {
                return Ok((Plan::default(), current.kid.clone()));
            }
            if register.token_keys().filter(|key| is_in_use(key, now)).count() >= KEYS_IN_USE_MAX {
                return Err(AccessError::State(
                    "too many keys of access tokens were made within the hour: try again later",
                ));
            }
            let new = TokenKeyRecord { versioned: Versioned::new(now), ..new };
            let kid = new.kid.clone();
            let draft = by.cause.draft(None, now, "token-key.rotate", format!("token-key:{kid}"));
            let mut plan = Plan::of(Record::TokenKey(new), draft);
            for old in register.token_keys().filter(|key| key.retired.is_none()) {
                let (retired, versioned) = (Some(now), old.versioned.next(now));
                plan.records.push(Record::TokenKey(TokenKeyRecord { retired, versioned, ..old.clone() }));
            }
            Ok((plan, kid))
        })
        .await
    }

    /// What signs access tokens; made with the first that is needed.
    pub(super) async fn issuer(self: &Arc<Self>) -> Result<Arc<TokenIssuer>, AccessError> {
        if let Some(issuer) = self.issuer.read().clone() {
            return Ok(issuer);
        }
        self.ensure_token_key().await?;
        let issuer = self.issuer.read().clone();
        issuer.ok_or(AccessError::State("no key of access tokens can be used"))
    }

    /// Makes a key if there is none that signs.
    pub(super) async fn ensure_token_key(self: &Arc<Self>) -> Result<(), AccessError> {
        self.new_token_key(&By::server(), false).await.map(drop)
    }

    /// Takes the keys of the register into use.
    pub(super) fn take_token_keys(&self) -> Result<(), AccessError> {
        let mut public = Vec::new();
        let mut signing: Option<(Timestamp, TokenKey)> = None;
        let now = self.clock.now();
        for record in self.register.read().token_keys().filter(|key| is_in_use(key, now)) {
            let seed = unwrap(&self.master, record)?;
            let key = TokenKey::from_seed(&record.kid, &seed)?;
            let known = PublicTokenKey::new(&record.kid, *key.public().bytes())?;
            match record.retired {
                Some(at) => public.push(known.retired(at)),
                None => {
                    public.push(known);
                    let created = record.versioned.created;
                    if signing.as_ref().is_none_or(|(other, _)| created >= *other) {
                        signing = Some((created, key));
                    }
                }
            }
        }
        self.verifier.replace_keys(&public)?;
        *self.issuer.write() = signing.map(|(_, key)| Arc::new(TokenIssuer::new(self.names.clone(), &key)));
        Ok(())
    }

    /// The public keys that tokens can be checked with, as a JWK set.
    pub fn jwks(&self) -> String {
        self.verifier.jwks(self.clock.now())
    }
}
