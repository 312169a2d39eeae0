//! What the audit log says of failed logins, refused permissions and reads.

use std::net::IpAddr;
use std::sync::Arc;

use domain::access::audit::Cause;
use domain::access::principal::{Principal, Refusal};
use domain::tenant::{TenantId, TenantScope};
use serde_json::json;

use super::{AccessControl, By, json};
use crate::failure::AccessError;

impl AccessControl {
    pub(super) async fn note_failed_login(self: &Arc<Self>, by: &By, account: &str) {
        // What was typed by who guesses names is one kind: else each would be an entry.
        let is_known = self.register.read().user_by_email(account).is_some();
        let kind = format!("login\0{}\0{}", if is_known { account } else { "" }, network(&by.cause));
        // An address, not an id: there may be no such account, and which is not to show.
        self.note(kind, None, &by.cause, "login.failed", format!("account:{account}")).await;
    }

    /// Notes that a caller was refused a permission.
    pub async fn note_refusal(self: &Arc<Self>, principal: &Principal, cause: &Cause, why: Refusal) {
        let Refusal::NotAllowed(permission) = why else { return };
        let workspace = principal.workspace.as_ref().map(TenantScope::tenant);
        let kind = format!("{}\0{}\0{}", cause.actor, workspace.map_or("", TenantId::as_str), permission.name());
        self.note(kind, workspace, cause, "permission.refused", permission.name().to_owned()).await;
    }

    async fn note(
        self: &Arc<Self>,
        kind: String,
        workspace: Option<&TenantId>,
        cause: &Cause,
        action: &str,
        target: String,
    ) {
        let Some(left_out) = self.refusals.sample(kind, self.clock.monotonic()) else { return };
        let after = (left_out > 0).then(|| json(&json!({ "not_noted_before": left_out }))).flatten();
        let draft = cause.draft(workspace, self.clock.now(), action, target).changing(None, after);
        if let Err(why) = self.append(draft).await {
            tracing::warn!(error = %why, action, "not written to the audit log");
        }
    }

    /// Notes that a workspace's data was written out. The answer is given after that is durable.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note_export(self: &Arc<Self>, by: &By, what: &str) -> Result<(), AccessError> {
        let workspace = by.workspace()?;
        self.append(by.cause.draft(Some(workspace), self.clock.now(), "export", what)).await
    }

    /// Notes a read of raw events, when the workspace asks for that. The answer is given after it is durable.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note_read(self: &Arc<Self>, by: &By, what: &str) -> Result<(), AccessError> {
        let workspace = by.workspace()?;
        if !self.register.read().workspace(workspace).is_some_and(|workspace| workspace.audits_reads) {
            return Ok(());
        }
        self.append(by.cause.draft(Some(workspace), self.clock.now(), "events.read", what)).await
    }
}

/// The address of a request, of IPv6 its /64: who has one has them all.
fn network(cause: &Cause) -> String {
    match cause.address.as_deref().and_then(|address| address.parse().ok()) {
        Some(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
        Some(address) => address.to_string(),
        None => String::new(),
    }
}
