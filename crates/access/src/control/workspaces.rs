//! Making and changing workspaces.

use std::sync::Arc;

use domain::access::audit::{Cause, WORKSPACE_ERASURE_ACTION};
use domain::access::principal::{Refusal, Subject};
use domain::access::record::{Record, Workspace, WorkspaceStatus};
use domain::access::register::Register;
use domain::access::rights::{Permission, Rights, Role};
use domain::rate::Rate;
use domain::tenant::{TenantId, TenantScope};
use ports::encryption::Encryption;
use serde_json::json;

use super::{AccessControl, By, CreationKey, EncryptionOfRegister, Plan, check_name, check_version, json};
use crate::failure::AccessError;

/// Longest id of a new workspace, in bytes.
const ID_BYTES_MAX: usize = 63;

/// A change of a workspace: what is given replaces what holds.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceChange {
    /// What people call it.
    pub name: Option<String>,
    /// Whether it is served; for the operator alone.
    pub status: Option<WorkspaceStatus>,
    /// Whether each read of raw events is written to its audit log.
    pub audits_reads: Option<bool>,
    /// Whether tokens of the external issuer open it; for owners, and not for the operator.
    pub takes_external_tokens: Option<bool>,
    /// How many requests of it a second are taken; none: as many as the server says. For the operator alone.
    pub requests_rate: Option<Option<Rate>>,
    /// How many events of it a second are taken; none: as many as the server says. For the operator alone.
    pub events_rate: Option<Option<Rate>>,
}

impl AccessControl {
    /// Makes a workspace.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_workspace(
        self: &Arc<Self>,
        by: &By,
        id: &str,
        name: Option<&str>,
        key: Option<CreationKey>,
    ) -> Result<Arc<Workspace>, AccessError> {
        self.change_by(by, |register, now| {
            if let Some(made) = key.map(|key| key.made(register, now)).transpose()?.flatten() {
                let made = TenantId::parse(&made).ok().and_then(|id| register.workspace(&id).cloned());
                return made.map(|made| (Plan::default(), made)).ok_or(AccessError::NotFound("workspace"));
            }
            let id = new_id(register, id)?;
            let name = name.map(|name| check_name("name", name)).transpose()?;
            let workspace = Workspace::new(id.clone(), name.unwrap_or_else(|| id.to_string()), now);
            let after = describe(&workspace);
            let drafts = by.cause.drafts_of_new_workspace(&id, now).map(|draft| draft.changing(None, after.clone()));
            let plan =
                Plan { records: vec![Record::Workspace(workspace.clone())], audit: drafts.into(), ..Plan::default() };
            Ok((plan.and(key.map(|key| key.record(None, id.as_str(), now))), Arc::new(workspace)))
        })
        .await
    }

    /// Changes a workspace.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_workspace(
        self: &Arc<Self>,
        by: &By,
        id: &TenantId,
        change: WorkspaceChange,
        version: Option<u64>,
    ) -> Result<Arc<Workspace>, AccessError> {
        self.change_by(by, |register, now| {
            let before = register.workspace(id).ok_or(AccessError::NotFound("workspace"))?;
            self.check_not_erased(id)?;
            check_version(version, before.versioned.version)?;
            if change.status.is_some() && !by.principal.rights.is_operator {
                return Err(AccessError::Forbidden(
                    "only the operator of the server changes the status of a workspace",
                ));
            }
            if (change.requests_rate.is_some() || change.events_rate.is_some()) && !by.principal.rights.is_operator {
                return Err(AccessError::Forbidden(
                    "only the operator of the server changes the limits of a workspace",
                ));
            }
            let Rights { role, is_operator, .. } = by.principal.rights;
            if change.audits_reads.is_some() && !by.principal.rights.allow(Permission::ManageMembers) && !is_operator {
                return Err(Refusal::NotAllowed(Permission::ManageMembers).into());
            }
            // Whoever the other issuer calls an owner is one, so this makes owners.
            let may_make_owners = role == Some(Role::Owner) || by.principal.subject == Subject::Command;
            if change.takes_external_tokens.is_some() && !may_make_owners {
                return Err(AccessError::Forbidden("only an owner says whether tokens of another issuer open it"));
            }
            let mut after = Workspace::clone(before);
            if let Some(name) = &change.name {
                after.name = check_name("name", name)?;
            }
            after.status = change.status.unwrap_or(after.status);
            after.audits_reads = change.audits_reads.unwrap_or(after.audits_reads);
            after.takes_external_tokens = change.takes_external_tokens.unwrap_or(after.takes_external_tokens);
            after.rates.requests = change.requests_rate.unwrap_or(after.rates.requests);
            after.rates.events = change.events_rate.unwrap_or(after.rates.events);
            if after == **before {
                return Ok((Plan::default(), Arc::clone(before)));
            }
            after.versioned = before.versioned.next(now);
            let draft = by.cause.draft(Some(id), now, "workspace.change", format!("workspace:{id}"));
            let draft = draft.changing(describe(before), describe(&after));
            let mut plan = Plan::of(Record::Workspace(after.clone()), draft.clone());
            if by.principal.rights.is_operator {
                plan.audit.push(domain::access::audit::AuditDraft { workspace: None, ..draft });
            }
            Ok((plan, Arc::new(after)))
        })
        .await
    }
}

impl AccessControl {
    /// Ends a workspace whose data is erased: nothing is served any more, its data key is destroyed, nothing but the id is
    /// left in the register, and the id is never given again. Nobody changes it any more: this is called at each start as
    /// well, for all that are erased. Again without effect.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn forget_workspace(self: &Arc<Self>, cause: &Cause, scope: &TenantScope) -> Result<(), AccessError> {
        let id = scope.tenant();
        self.erased.write().insert(id.clone());
        self.change_any(|register, now| {
            let Some(before) = register.workspace(id) else { return Ok((Plan::default(), ())) };
            let mut after = Workspace::clone(before);
            (after.status, after.name) = (WorkspaceStatus::Deleting, id.to_string());
            if after == **before {
                return Ok((Plan::default(), ()));
            }
            after.versioned = before.versioned.next(now);
            let status = |status: WorkspaceStatus| json(&json!({ "status": status.name() }));
            let draft = cause.draft(None, now, WORKSPACE_ERASURE_ACTION, format!("workspace:{id}"));
            let draft = draft.changing(status(before.status), status(after.status));
            Ok((Plan::of(Record::Workspace(after), draft), ()))
        })
        .await?;
        EncryptionOfRegister(Arc::clone(self)).destroy_data_key(scope, cause).await?;
        Ok(self.store.forget_workspace(scope).await?)
    }
}

/// The id of a new workspace. Ids that people could take for one another are not made: small ASCII letters only, and
/// none that differs from a known one in case alone.
fn new_id(register: &Register, text: &str) -> Result<TenantId, AccessError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !begins || text.len() > ID_BYTES_MAX || !text.bytes().all(is_plain) {
        let why =
            format!("must have 1 to {ID_BYTES_MAX} of a-z, 0-9, '-', '_' and '.', and begin with one of the first two");
        return Err(AccessError::invalid("id", why));
    }
    let id = TenantId::parse(text).map_err(|why| AccessError::invalid("id", why))?;
    let is_taken = register.workspace(&id).is_some()
        || register.workspaces(None).any(|known| known.id.as_str().eq_ignore_ascii_case(text));
    if is_taken {
        return Err(AccessError::Exists { field: "id", why: "is the id of another workspace" });
    }
    Ok(id)
}

fn describe(workspace: &Workspace) -> Option<String> {
    let Workspace { name, status, audits_reads, takes_external_tokens, rates, .. } = workspace;
    json(&json!({
        "name": name, "status": status.name(), "audit_reads": audits_reads, "external_tokens": takes_external_tokens,
        "requests_per_sec": rates.requests.map(Rate::get), "events_per_sec": rates.events.map(Rate::get),
    }))
}
