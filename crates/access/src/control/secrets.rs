//! Secrets that requests are signed with. They are stored encrypted, since a signature can only be checked by who
//! knows the secret.

use std::sync::Arc;

use domain::access::ids::SecretId;
use domain::access::principal::{Principal, Refusal, Subject};
use domain::access::record::{Record, SigningSecret, Versioned};
use domain::limits::{SECRETS_KEPT_MAX, SECRETS_MAX};
use domain::time::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use super::creation::refuse_repeated;
use super::keys::{check_project, check_secret_within};
use super::{AccessControl, By, CreationKey, Plan, check_name, check_version, json};
use crate::failure::AccessError;
use crate::master_key::{MasterKey, WrapError};
use crate::random::bytes;
use crate::secret_text::SecretText;
use crate::signatures::{self, SignatureHeader};

/// What secrets are encrypted for.
const PURPOSE: &str = "signing secret";

/// Encrypts a secret for its row.
pub(super) fn wrap(master: &MasterKey, id: SecretId, secret: &[u8], nonce: [u8; 12]) -> Result<Vec<u8>, WrapError> {
    master.wrap(PURPOSE, id.as_str(), secret, nonce)
}

/// Decrypts a secret.
pub(super) fn unwrap(master: &MasterKey, secret: &SigningSecret) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    master.unwrap(PURPOSE, secret.id.as_str(), &secret.wrapped)
}

/// A secret to be made.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// What people call it.
    pub name: String,
    /// The one project that it is for.
    pub project: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// A secret that was made. Its text cannot be had again.
#[derive(Debug, Clone)]
pub struct MadeSecret {
    /// Its record.
    pub secret: Arc<SigningSecret>,
    /// Its text.
    pub text: SecretText,
}

/// A signed request whose body has not been compared yet. Who it acts for is told when its signature fits; before that
/// nothing is, neither whose the secret is nor whether there is one.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    id: SecretId,
    header: SignatureHeader,
    secret: Option<Arc<SigningSecret>>,
}

impl SignedRequest {
    /// Who it says that it is of.
    pub fn subject(&self) -> Subject {
        Subject::Signature(self.id)
    }

    /// The id of an event of the request that has none: the same for the same signature.
    pub fn event_id(&self, index: usize) -> String {
        self.header.event_id(index)
    }
}

impl AccessControl {
    /// Makes a secret.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_secret(
        self: &Arc<Self>,
        by: &By,
        new: NewSecret,
        repeated: Option<CreationKey>,
    ) -> Result<MadeSecret, AccessError> {
        let workspace = by.workspace()?.clone();
        let made = signatures::SigningSecret::generate()?;
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| AccessError::Failed("make a secret", why);
        let id = SecretId::parse(made.id()).map_err(|why| failed(why.into()))?;
        let wrapped = wrap(&self.master, id, made.bytes(), bytes()?)?;
        let text = SecretText::from(made.to_text().to_string());
        self.change_by(by, |register, now| {
            refuse_repeated(repeated, register, now)?;
            if register.secrets(&workspace, None).filter(|secret| secret.revoked.is_none()).count() >= SECRETS_MAX {
                return Err(AccessError::State("the workspace has as many signing secrets as one may have"));
            }
            if register.secrets_kept(&workspace) >= SECRETS_KEPT_MAX {
                let why = "the workspace has as many signing secrets as one may have with those that have ended, which \
                           are forgotten 30 days after their end";
                return Err(AccessError::State(why));
            }
            check_secret_within(register, by, new.expires)?;
            if new.expires.is_some_and(|expires| expires <= now) {
                return Err(AccessError::invalid("expires", "must be in the future"));
            }
            let secret = SigningSecret {
                id,
                workspace: workspace.clone(),
                project: check_project(register, Some(&workspace), new.project.as_deref())?,
                name: check_name("name", &new.name)?,
                wrapped: wrapped.into(),
                expires: new.expires,
                revoked: None,
                created_by: by.cause.actor.to_string(),
                versioned: Versioned::new(now),
            };
            let draft = by.cause.draft(Some(&workspace), now, "secret.create", format!("secret:{id}"));
            let plan = Plan::of(Record::SigningSecret(secret.clone()), draft.changing(None, describe(&secret)));
            let plan = plan.and(repeated.map(|key| key.record(Some(&workspace), id.as_str(), now)));
            Ok((plan, MadeSecret { secret: Arc::new(secret), text }))
        })
        .await
    }

    /// Revokes a secret.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn revoke_secret(
        self: &Arc<Self>,
        by: &By,
        id: &str,
        version: Option<u64>,
    ) -> Result<Arc<SigningSecret>, AccessError> {
        let workspace = by.workspace()?.clone();
        self.change_by(by, |register, now| {
            let before = SecretId::parse(id).ok().and_then(|id| register.secret(id));
            let before =
                before.filter(|secret| secret.workspace == workspace).ok_or(AccessError::NotFound("secret"))?;
            check_version(version, before.versioned.version)?;
            if before.revoked.is_some() {
                return Ok((Plan::default(), Arc::clone(before)));
            }
            check_secret_within(register, by, before.expires)?;
            let versioned = before.versioned.next(now);
            let after = SigningSecret { revoked: Some(now), versioned, ..SigningSecret::clone(before) };
            let draft = by.cause.draft(Some(&workspace), now, "secret.revoke", format!("secret:{id}"));
            let draft = draft.changing(describe(before), describe(&after));
            Ok((Plan::of(Record::SigningSecret(after.clone()), draft), Arc::new(after)))
        })
        .await
    }

    /// Reads what a request says of its signature, which is compared with its body when that has come.
    ///
    /// # Errors
    /// [`AccessError`] when the header cannot be read, or its time is not about now.
    pub async fn begin_signed(&self, header: &str) -> Result<SignedRequest, AccessError> {
        let header = SignatureHeader::parse(header).map_err(|why| AccessError::invalid("Nilometer-Signature", why))?;
        let now = self.clock.now();
        header.check_time(now).map_err(|why| AccessError::invalid("Nilometer-Signature", why))?;
        // Those that are no ids are known to be none by everybody.
        let id = SecretId::parse(header.key_id()).map_err(|_| Refusal::WrongSignature)?;
        if self.register.read().secret(id).is_none() {
            self.seek().await;
        }
        let secret = self.register.read().secret(id).filter(|secret| secret.revoked.is_none()).cloned();
        Ok(SignedRequest { id, header, secret })
    }

    /// Compares the signature with the request as it was sent, and says who that acts for.
    ///
    /// # Errors
    /// [`AccessError::Refused`] with `WrongSignature` when it does not fit, or there is no such secret.
    pub fn check_signed(
        &self,
        signed: &SignedRequest,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<Principal, AccessError> {
        let failed = |why: signatures::InvalidSecret| AccessError::Failed("open a signing secret", why.into());
        let secret = match &signed.secret {
            Some(secret) => self.opened.get(secret, || {
                let opened = unwrap(&self.master, secret)?;
                signatures::SigningSecret::from_parts(secret.id.as_str(), &opened).map_err(failed)
            })?,
            // As much work as for one that there is.
            None => Arc::new(signatures::SigningSecret::from_parts(signed.id.as_str(), &[0; 32]).map_err(failed)?),
        };
        let fits = signed.header.verify(&secret, method, target, body);
        if fits.is_err() || signed.secret.is_none() {
            return Err(AccessError::Refused(Refusal::WrongSignature));
        }
        Ok(self.register.read().authenticate_signer(signed.id, self.clock.now())?)
    }
}

fn describe(secret: &SigningSecret) -> Option<String> {
    json(&json!({
        "name": secret.name,
        "project": secret.project.as_deref(),
        "expires": secret.expires.map(|at| at.to_string()),
        "revoked": secret.revoked.map(|at| at.to_string()),
    }))
}
