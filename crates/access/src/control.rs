//! The register of a running process: what the store holds, in memory, and the one way to change it. A change is
//! decided on the records as they are, written with its audit entries, and then seen by all requests. Other processes
//! over the same store see it when they look, at the latest after [`domain::limits::REGISTER_STALENESS_MAX`].

mod authenticate;
mod ciphers;
mod creation;
mod customers;
mod encryption;
mod joining;
mod keys;
mod master;
mod members;
mod people;
mod projects;
mod refusals;
mod secrets;
mod sessions;
mod staleness;
mod token_keys;
mod upkeep;
mod workspaces;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::access::audit::{AuditDraft, Cause};
use domain::access::principal::Principal;
use domain::access::record::Record;
use domain::access::register::Register;
use domain::access::removal::Removal;
use domain::access::rights::Permission;
use domain::tenant::{Keyring, TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use ports::ErrorKind;
use ports::clock::Clock;
use ports::register::{AuditLog, RegisterCommit, Revision};

pub use authenticate::{Caller, Presented};
pub use creation::CreationKey;
pub use customers::ProfileChange;
pub use encryption::{EncryptionChange, EncryptionOfRegister};
pub use joining::MadeInvitation;
pub use keys::{KeyChange, MadeKey, NewKey};
pub use master::{IfSealed, MasterFit, MasterReplaced, ReplaceError, has_data_keys, master_fit, replace_master};
pub use members::MemberChange;
pub use people::{MadeMember, MadeReset, UserChange};
pub use projects::ProjectChange;
pub use secrets::{MadeSecret, NewSecret, SignedRequest};
pub use sessions::{Login, TokenPair};
pub use workspaces::WorkspaceChange;

use ciphers::Ciphers;

use crate::external::ExternalVerifier;
use crate::failure::AccessError;
use crate::master_key::MasterKey;
use crate::opened_secrets::OpenedSecrets;
use crate::passwords::PasswordHasher;
use crate::refusal_log::RefusalLog;
use crate::throttle::LoginThrottle;
use crate::tokens::{TokenIssuer, TokenNames, TokenVerifier};

/// The stores that a register lives in.
pub trait Store: ports::register::Register + AuditLog {}

impl<S: ports::register::Register + AuditLog> Store for S {}

/// What a register is made of.
#[derive(Debug)]
pub struct AccessParts {
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What secrets are encrypted with.
    pub master: MasterKey,
    /// The keys of the server's configuration, and the tenant of requests without one.
    pub configured: Keyring,
    /// The BLAKE3 hash of the text that a command over this data folder shows itself by, which may do everything. None
    /// in a server.
    pub command: Option<[u8; 32]>,
    /// Who issues access tokens, and for whom.
    pub names: TokenNames,
    /// An issuer of tokens besides this server.
    pub external: Option<ExternalVerifier>,
}

/// The register of a process.
#[derive(Debug)]
pub struct AccessControl {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    master: MasterKey,
    configured: Keyring,
    command: Option<[u8; 32]>,
    names: TokenNames,
    external: Option<ExternalVerifier>,
    passwords: PasswordHasher,
    throttle: LoginThrottle,
    register: RwLock<Register>,
    /// Held while the register changes; what it is up to.
    changing: Arc<tokio::sync::Mutex<Revision>>,
    /// Held while the profile of a customer is read and changed.
    profiles: tokio::sync::Mutex<()>,
    /// Signs access tokens; none before the first key was made.
    issuer: RwLock<Option<Arc<TokenIssuer>>>,
    verifier: TokenVerifier,
    /// What properties are encrypted with.
    ciphers: Ciphers,
    refusals: RefusalLog,
    opened: OpenedSecrets,
    /// When this process last knew all that others had changed; none while it does not look.
    known_at: Mutex<Option<Duration>>,
    /// When the register was last looked at for something unknown.
    sought_at: tokio::sync::Mutex<Option<Duration>>,
    /// The workspaces that are erased.
    erased: RwLock<BTreeSet<TenantId>>,
}

/// Who asks for a change, and what the audit log says about that.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub principal: Principal,
    /// What the log says.
    pub cause: Cause,
}

impl By {
    /// The workspace that the caller acts in.
    fn workspace(&self) -> Result<&TenantId, AccessError> {
        let scope = self.principal.workspace.as_ref();
        scope
            .map(TenantScope::tenant)
            .ok_or(AccessError::Refused(domain::access::principal::Refusal::WorkspaceRequired))
    }
}

/// Records as they are to be or to go, and what the audit log says about it.
#[derive(Debug, Default)]
struct Plan {
    records: Vec<Record>,
    removals: Vec<Removal>,
    audit: Vec<AuditDraft>,
}

impl Plan {
    /// One record, one entry.
    fn of(record: Record, audit: AuditDraft) -> Self {
        Self { records: vec![record], audit: vec![audit], ..Self::default() }
    }

    /// This plan and one more record.
    fn and(mut self, record: Option<Record>) -> Self {
        self.records.extend(record);
        self
    }
}

impl AccessControl {
    /// The register of the store, as it is now.
    ///
    /// # Errors
    /// When the store cannot be read, or a secret in it is not of this master key.
    pub async fn load(parts: AccessParts) -> Result<Arc<Self>, AccessError> {
        let AccessParts { store, clock, master, configured, command, names, external } = parts;
        let passwords =
            PasswordHasher::start().map_err(|why| AccessError::Failed("start hashing passwords", why.into()))?;
        let mut register = Register::default();
        let revision = store.load(Revision::default(), &mut |record| register.apply(record)).await?;
        let verifier = TokenVerifier::new(&names, &[])?;
        let control = Self {
            store,
            clock,
            master,
            configured,
            command,
            names,
            external,
            passwords,
            throttle: LoginThrottle::default(),
            register: RwLock::new(register),
            changing: Arc::new(tokio::sync::Mutex::new(revision)),
            profiles: tokio::sync::Mutex::default(),
            issuer: RwLock::default(),
            verifier,
            ciphers: Ciphers::default(),
            refusals: RefusalLog::default(),
            opened: OpenedSecrets::default(),
            known_at: Mutex::default(),
            sought_at: tokio::sync::Mutex::default(),
            erased: RwLock::default(),
        };
        // First, since of all that a wrong master key does not open this is what would be missed most.
        control.ciphers.open_all(&control.master, &control.register.read())?;
        control.take_token_keys()?;
        let control = Arc::new(control);
        // Also what shows whether this is the master key of the register.
        control.ensure_token_key().await?;
        Ok(control)
    }

    /// The records, for reading.
    pub fn register(&self) -> RwLockReadGuard<'_, Register> {
        self.register.read()
    }

    /// Whether requests without a credential act as the built-in tenant.
    pub fn has_anonymous(&self) -> bool {
        self.anonymous().is_some()
    }

    /// The workspace that requests without a credential act in, if they are taken.
    pub fn anonymous(&self) -> Option<TenantScope> {
        self.configured.authenticate(None).ok()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The audit log, for reading.
    pub fn audit_log(&self) -> Arc<dyn AuditLog> {
        self.store.clone()
    }

    /// Refuses what would change a workspace that is erased.
    ///
    /// # Errors
    /// [`AccessError::State`].
    pub fn check_not_erased(&self, workspace: &TenantId) -> Result<(), AccessError> {
        if self.erased.read().contains(workspace) {
            return Err(AccessError::State("the workspace is erased: nothing of it can be changed any more"));
        }
        Ok(())
    }

    /// Makes one change, of no workspace that is erased.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Register, Timestamp) -> Result<(Plan, T), AccessError>,
    ) -> Result<T, AccessError> {
        self.change_any(|register, now| {
            let (plan, made) = decide(register, now)?;
            plan.records.iter().filter_map(Record::workspace).try_for_each(|of| self.check_not_erased(of))?;
            Ok((plan, made))
        })
        .await
    }

    /// Makes one change: decides on the records as they are, stores what was decided, and has it seen. It goes on to
    /// its end when the caller no longer waits.
    async fn change_any<T: Send + 'static>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Register, Timestamp) -> Result<(Plan, T), AccessError>,
    ) -> Result<T, AccessError> {
        let mut revision = Arc::clone(&self.changing).lock_owned().await;
        let (plan, made) = decide(&self.register.read(), self.clock.now())?;
        if plan.records.is_empty() && plan.removals.is_empty() && plan.audit.is_empty() {
            return Ok(made);
        }
        let this = Arc::clone(self);
        let changing = tokio::spawn(async move {
            let Plan { records, removals, audit } = plan;
            let commit = RegisterCommit { records, removals, audit };
            match this.store.commit(&commit).await {
                Ok(now) => {
                    // Between the two another process may have committed; a look finds that, and applies this again.
                    if now == Revision(revision.0 + 1) {
                        *revision = now;
                    }
                    this.forget(&commit.removals);
                    this.take(commit.records);
                    Ok(())
                }
                Err(why) => {
                    if why.kind() == ErrorKind::Conflict {
                        this.look(&mut revision).await?;
                    }
                    Err(AccessError::from(why))
                }
            }
        });
        let changed = changing.await;
        changed.map_err(|why| AccessError::Failed("change the register", why.into()))??;
        Ok(made)
    }

    /// Makes one change that somebody asks for, who still has to have the rights that the request came with: its body
    /// may have taken long to arrive.
    async fn change_by<T: Send + 'static>(
        self: &Arc<Self>,
        by: &By,
        decide: impl FnOnce(&Register, Timestamp) -> Result<(Plan, T), AccessError>,
    ) -> Result<T, AccessError> {
        self.change(|register, now| {
            if register.rights_now(&by.principal, now)? != by.principal.rights {
                return Err(AccessError::Raced);
            }
            decide(register, now)
        })
        .await
    }

    /// Whether one who was let in still may do what needs this permission.
    pub fn still_allows(&self, principal: &Principal, permission: Permission) -> bool {
        let rights = self.register.read().rights_now(principal, self.clock.now());
        rights.is_ok_and(|rights| rights.allow(permission))
    }

    /// Writes to the audit log what changes nothing. Apart from changes, which do not wait for it.
    async fn append(self: &Arc<Self>, audit: Vec<AuditDraft>) -> Result<(), AccessError> {
        let this = Arc::clone(self);
        let appending =
            tokio::spawn(
                async move { this.store.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await },
            );
        let appended = appending.await.map_err(|why| AccessError::Failed("write to the audit log", why.into()))?;
        Ok(appended.map(drop)?)
    }

    /// Has what is gone seen by all requests.
    fn forget(&self, removals: &[Removal]) {
        if !removals.is_empty() {
            let mut register = self.register.write();
            removals.iter().for_each(|removal| register.forget(removal));
        }
    }

    /// Has records seen by all requests.
    fn take(&self, records: Vec<Record>) {
        // Only what changes the register gets here, one after another.
        let changed = ciphers::changed(&self.register.read(), &records);
        let opened = self.ciphers.open(&self.master, changed);
        let concerns_tokens = records.iter().any(|record| matches!(record, Record::TokenKey(_)));
        self.opened.close(&records);
        {
            let mut register = self.register.write();
            records.into_iter().for_each(|record| register.apply(record));
            self.ciphers.put(opened);
        }
        if concerns_tokens && let Err(why) = self.take_token_keys() {
            tracing::error!(error = %why, "a key of access tokens in the register cannot be used");
        }
    }
}

/// Refuses a change of what is of another version than the caller believes.
fn check_version(expected: Option<u64>, is: u64) -> Result<(), AccessError> {
    if expected.is_some_and(|expected| expected != is) { Err(AccessError::OtherVersion(is)) } else { Ok(()) }
}

/// A name for people: not blank, without control characters, and not too long.
fn check_name(field: &'static str, name: &str) -> Result<String, AccessError> {
    let name = name.trim();
    let is_sane = !name.is_empty() && name.len() <= domain::limits::NAME_BYTES_MAX && !name.contains(char::is_control);
    if is_sane {
        return Ok(name.to_owned());
    }
    let max = domain::limits::NAME_BYTES_MAX;
    Err(AccessError::invalid(field, format!("must have 1 to {max} bytes of text without control characters")))
}

/// JSON for the audit log.
fn json(value: &serde_json::Value) -> Option<String> {
    Some(value.to_string())
}

#[cfg(test)]
mod tests;
