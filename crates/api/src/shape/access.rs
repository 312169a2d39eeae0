//! Workspaces, keys and the audit log as JSON. Nothing here can hold a secret but the bodies whose name begins with `Made`,
//! which for that reason are not printed.

use std::collections::BTreeSet;

use access::control::{MadeInvitation, MadeKey, MadeSecret};
use domain::access::audit::{AuditDetail, AuditEntry};
use domain::access::record::{ApiKey, Invitation, KeyOrigin, Project, SigningSecret, Versioned, Workspace};
use domain::access::rights::{KeyScope, Permission, Rights};
use domain::rate::Rate;
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workspace)]
pub(crate) struct WorkspaceBody {
    /// Its id, which is also the name of the tenant in events and answers.
    #[schema(example = "acme")]
    id: String,
    /// What people call it.
    name: String,
    /// `active`, `suspended` or `deleting`.
    #[schema(example = "active")]
    status: &'static str,
    /// Whether each read of raw events is written to the audit log.
    audit_reads: bool,
    /// Whether tokens of the configured external issuer open it.
    external_tokens: bool,
    /// How many requests a second are taken of it; null: as many as the server is set to. The operator sets it.
    #[schema(maximum = 1_000_000_000)]
    requests_per_sec: Option<u32>,
    /// How many events a second are taken of it; null: as many as the server is set to. The operator sets it.
    #[schema(maximum = 1_000_000_000)]
    events_per_sec: Option<u32>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl From<&Workspace> for WorkspaceBody {
    fn from(workspace: &Workspace) -> Self {
        let Versioned { created, updated, version } = workspace.versioned;
        Self {
            id: workspace.id.to_string(),
            name: workspace.name.clone(),
            status: workspace.status.name(),
            audit_reads: workspace.audits_reads,
            external_tokens: workspace.takes_external_tokens,
            requests_per_sec: workspace.rates.requests.map(Rate::get),
            events_per_sec: workspace.rates.events.map(Rate::get),
            created,
            updated,
            version,
        }
    }
}

/// The workspace that a request acts in, and what its caller may do there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrentWorkspace)]
pub(crate) struct CurrentWorkspaceBody {
    #[serde(flatten)]
    workspace: WorkspaceBody,
    /// The caller's role, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// What the caller may do, as `x-permission` names it.
    permissions: Vec<&'static str>,
}

impl CurrentWorkspaceBody {
    /// The workspace for a caller with these rights.
    pub(crate) fn new(workspace: &Workspace, rights: Rights) -> Self {
        let allowed = Permission::ALL.into_iter().filter(|permission| rights.allow(*permission));
        let permissions = allowed.map(Permission::name).collect();
        Self { workspace: workspace.into(), role: rights.role.map(|role| role.name()), permissions }
    }
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
pub(crate) struct ProjectBody {
    /// The word that events carry.
    id: String,
    /// What people call it.
    name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl From<&Project> for ProjectBody {
    fn from(project: &Project) -> Self {
        let Versioned { created, updated, version } = project.versioned;
        Self { id: project.id.to_string(), name: project.name.clone(), created, updated, version }
    }
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(crate) struct InvitationBody {
    /// Its id.
    id: String,
    /// Who is meant.
    email: String,
    /// As what.
    role: &'static str,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl From<&Invitation> for InvitationBody {
    fn from(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id.to_string(),
            email: invitation.email.as_str().to_owned(),
            role: invitation.role.name(),
            expires: invitation.expires,
            created_by: invitation.created_by.clone(),
            created: invitation.versioned.created,
            version: invitation.versioned.version,
        }
    }
}

/// An invitation that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeInvitation)]
pub(crate) struct MadeInvitationBody {
    #[serde(flatten)]
    invitation: InvitationBody,
    /// For `POST /v1/auth/register`. Shown this once; no mail is sent.
    token: String,
}

impl From<MadeInvitation> for MadeInvitationBody {
    fn from(made: MadeInvitation) -> Self {
        Self { invitation: (&made.invitation).into(), token: made.token.expose().to_owned() }
    }
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyBody {
    /// Its id, the public part of its text.
    id: String,
    /// How its text begins; none for a key that was made elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "nm_live_Ab3dE6gH9jK2")]
    prefix: Option<String>,
    /// What people call it.
    name: String,
    /// What it may be used for: `ingest`, `read`, `admin`, `decrypt`.
    scopes: Vec<&'static str>,
    /// The one project that it is for, if it is for one.
    project: Option<String>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// The ranges of addresses that it may be used from; everywhere when empty.
    addresses: Vec<String>,
    /// How many requests a second are taken with it; null: as many as the server is set to. The operator sets it.
    #[schema(maximum = 1_000_000_000)]
    requests_per_sec: Option<u32>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl KeyBody {
    /// A key as of `now`.
    pub(crate) fn new(key: &ApiKey, now: Timestamp) -> Self {
        let Versioned { created, updated, version } = key.versioned;
        let prefix = match key.origin {
            KeyOrigin::Made(purpose) => Some(format!("nm_{}_{}", purpose.name(), key.id)),
            KeyOrigin::Registered => None,
        };
        Self {
            id: key.id.to_string(),
            prefix,
            name: key.name.clone(),
            scopes: key.scopes.iter().map(KeyScope::name).collect(),
            project: key.project.as_deref().map(str::to_owned),
            expires: key.expires,
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            requests_per_sec: key.rate.map(Rate::get),
            status: status(key.revoked, key.expires, now),
            last_used: key.last_used,
            created_by: key.created_by.clone(),
            created,
            updated,
            version,
        }
    }
}

fn status(revoked: Option<Timestamp>, expires: Option<Timestamp>, now: Timestamp) -> &'static str {
    match (revoked, expires) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if now >= expires => "expired",
        _ => "active",
    }
}

/// An API key that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
pub(crate) struct MadeKeyBody {
    #[serde(flatten)]
    about: KeyBody,
    /// The key. Shown this once; none for a key that was made elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
}

impl MadeKeyBody {
    /// A key that was made at `now`.
    pub(crate) fn new(made: MadeKey, now: Timestamp) -> Self {
        Self { about: KeyBody::new(&made.key, now), key: made.text.map(|text| text.expose().to_owned()) }
    }
}

/// A secret that requests are signed with, without its secret part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SigningSecret)]
pub(crate) struct SecretBody {
    /// Its id, which `Nilometer-Signature` names as `k`.
    id: String,
    /// What people call it.
    name: String,
    /// The one project that it is for, if it is for one.
    project: Option<String>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl SecretBody {
    /// A secret as of `now`.
    pub(crate) fn new(secret: &SigningSecret, now: Timestamp) -> Self {
        Self {
            id: secret.id.to_string(),
            name: secret.name.clone(),
            project: secret.project.as_deref().map(str::to_owned),
            expires: secret.expires,
            status: status(secret.revoked, secret.expires, now),
            created_by: secret.created_by.clone(),
            created: secret.versioned.created,
            version: secret.versioned.version,
        }
    }
}

/// A signing secret that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeSigningSecret)]
pub(crate) struct MadeSecretBody {
    #[serde(flatten)]
    about: SecretBody,
    /// The secret. Shown this once.
    secret: String,
}

impl MadeSecretBody {
    /// A secret that was made at `now`.
    pub(crate) fn new(made: MadeSecret, now: Timestamp) -> Self {
        Self { about: SecretBody::new(&made.secret, now), secret: made.text.expose().to_owned() }
    }
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditBody {
    /// Its number in the log, from 1.
    seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who: `user:<id>`, `key:<id>`, `external:<id>`, `config-key:<start of its hash>`, `dev`, `command` or `server`.
    actor: String,
    /// What was done.
    #[schema(example = "key.create")]
    action: String,
    /// What it was done to.
    #[schema(example = "key:Ab3dE6gH9jK2")]
    target: String,
    /// The number of the entry about the erasure that has removed the rest: the name in the target, `before`, `after`,
    /// `address` and `request_id`. Absent where nothing was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<u64>,
    /// `true` when the rest is not there, though nothing was erased: somebody has removed it from the catalog. Absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail_missing: Option<bool>,
    /// What was there before.
    #[schema(value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// What is there now. Of what an external login does it has `external_login` too: what its issuer calls it.
    #[schema(value_type = Option<Object>)]
    after: Option<Box<RawValue>>,
    /// The address that the request came from.
    address: Option<String>,
    /// The id of the request.
    request_id: Option<String>,
    /// The hash of this entry and all before it, in hexadecimal digits.
    hash: String,
}

impl From<AuditEntry> for AuditBody {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { seq, draft, detail, hash } = entry;
        let erased_by = match detail {
            AuditDetail::Erased { by, .. } => Some(by),
            AuditDetail::InChain | AuditDetail::Apart(_) | AuditDetail::Missing { .. } => None,
        };
        let detail_missing = matches!(detail, AuditDetail::Missing { .. }).then_some(true);
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        Self {
            seq,
            at: draft.at,
            actor: draft.actor,
            action: draft.action,
            target: draft.target,
            erased_by,
            detail_missing,
            before: raw(draft.before),
            after: raw(draft.after),
            address: draft.address,
            request_id: draft.request_id,
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The names of scopes, each once.
pub(crate) fn scopes(names: &[String]) -> Option<Vec<KeyScope>> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().map(|name| KeyScope::ALL.into_iter().find(|scope| scope.name() == name)).collect()
}

#[cfg(test)]
mod tests {
    use domain::access::audit::{AuditHead, Cause, SALT_BYTES};

    use super::*;

    #[test]
    fn an_entry_whose_detail_is_missing_says_so_and_others_do_not() {
        let draft = Cause::command().draft(None, Timestamp::from_micros(7), "test", "test");
        let whole = AuditEntry::after(AuditHead::default(), draft, [1; SALT_BYTES]);
        let erased = whole.clone().erased(2);
        let hash = erased.detail_hash().unwrap_or_default();
        let missing = AuditEntry { detail: AuditDetail::Missing { hash }, ..erased.clone() };
        let told = |entry: AuditEntry| {
            let body = AuditBody::from(entry);
            (body.erased_by, body.detail_missing)
        };
        assert_eq!([whole, erased, missing].map(told), [(None, None), (Some(2), None), (None, Some(true))]);
    }
}
