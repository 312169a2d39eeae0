//! What the audit log says of failed logins, refused permissions and reads.

use std::net::IpAddr;
use std::sync::Arc;

use domain::access::audit::{Cause, ERASURE_ACTION, erasure_target};
use domain::access::principal::{Principal, Refusal};
use domain::erasure::Subject;
use domain::tenant::{TenantId, TenantScope};
use serde_json::{Map, Value, json};

use super::{AccessControl, By, json};
use crate::failure::AccessError;

/// How much is kept of what a read of raw events asks for, in bytes of JSON.
const READ_BYTES_MAX: usize = 4 << 10;

impl AccessControl {
    pub(super) async fn note_failed_login(self: &Arc<Self>, by: &By, account: &str) {
        // What was typed by who guesses names is one kind: else each would be an entry.
        let is_known = self.register.read().user_by_email(account).is_some();
        let kind = format!("login\0{}\0{}", if is_known { account } else { "" }, network(&by.cause));
        // An address, not an id: there may be no such account, and which is not to show.
        self.note(kind, None, &by.cause, "login.failed", format!("account:{account}")).await;
    }

    /// Notes that somebody tried to register a text that another workspace holds, now and then: who has it may have
    /// stolen it, or tries which texts are keys. The workspace of the caller is told of the refusal, the server whose
    /// key it was about, and the holder nothing of the other workspace.
    pub(super) async fn note_held_text(
        self: &Arc<Self>,
        by: &By,
        workspace: Option<&TenantId>,
        hash: &[u8; 32],
        configured: Option<&TenantId>,
    ) {
        let (holder, target) = match (configured, self.register.read().registered_key(hash)) {
            (Some(holder), _) => (Some(holder.clone()), "configuration".to_owned()),
            (None, Some(key)) => (key.workspace.clone(), format!("key:{}", key.id)),
            (None, None) => return,
        };
        if holder.as_ref() == workspace {
            return;
        }
        let (actor, from) = (&by.cause.actor, workspace.map_or("", TenantId::as_str));
        let sampled = self.refusals.sample(format!("{actor}\0{from}\0held text"), self.clock.monotonic());
        let Some(left_out) = sampled else { return };
        let now = self.clock.now();
        let holder = holder.as_ref().map(TenantId::as_str);
        let told = json!({ "workspace": from, "holder": holder, "not_noted_before": left_out });
        let of_server = by.cause.draft(None, now, "key.register.refused", target).changing(None, json(&told));
        let own = workspace.map(|own| by.cause.draft(Some(own), now, "key.register.refused", "key"));
        let written = self.append([Some(of_server), own].into_iter().flatten().collect()).await;
        if let Err(why) = written {
            tracing::warn!(error = %why, "a refused registration is not written to the audit log");
        }
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
        if let Err(why) = self.append(vec![draft]).await {
            tracing::warn!(error = %why, action, "not written to the audit log");
        }
    }

    /// Notes that a workspace's data was written out. The answer is given after that is durable.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note_export(self: &Arc<Self>, by: &By, what: &str) -> Result<(), AccessError> {
        let workspace = by.workspace()?;
        self.append(vec![by.cause.draft(Some(workspace), self.clock.now(), "export", what)]).await
    }

    /// Notes that an erasure is asked for, without the name of whom it is about.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note_erasure(self: &Arc<Self>, by: &By, id: &str, subject: &Subject) -> Result<(), AccessError> {
        let workspace = by.workspace()?;
        let after = json(&json!({ "kind": subject.kind().as_str() }));
        let draft = by.cause.draft(Some(workspace), self.clock.now(), ERASURE_ACTION, erasure_target(id));
        self.append(vec![draft.changing(None, after)]).await
    }

    /// Leaves nothing of a user or a customer in the register and the audit log, by the erasure of this id that was noted.
    /// What the files of the store still hold goes by [`AccessControl::scrub`]. Not to be dropped half way.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_subject(&self, scope: &TenantScope, id: &str, subject: &Subject) -> Result<(), AccessError> {
        // A change of a profile is decided on what is stored.
        let _turn = self.profiles.lock().await;
        Ok(self.store.forget(scope, subject, id).await?)
    }

    /// Leaves nothing in the files of the store of what was forgotten. Changes wait as long as that takes.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn scrub(&self) -> Result<(), AccessError> {
        Ok(self.store.scrub().await?)
    }

    /// Notes a read of raw events by `route`, when the workspace asks for that, and what was asked for, of which
    /// [`READ_BYTES_MAX`] bytes are kept. The answer is given after it is durable.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note_read(
        self: &Arc<Self>,
        by: &By,
        route: &str,
        asked: impl FnOnce() -> Map<String, Value>,
    ) -> Result<(), AccessError> {
        let workspace = by.workspace()?;
        if !self.register.read().workspace(workspace).is_some_and(|workspace| workspace.audits_reads) {
            return Ok(());
        }
        let draft = by.cause.draft(Some(workspace), self.clock.now(), "events.read", route);
        self.append(vec![draft.changing(None, json(&bounded(asked())))]).await
    }
}

/// What was asked for, if it is not too long; else the beginning of its text.
fn bounded(asked: Map<String, Value>) -> Value {
    let asked = Value::Object(asked);
    let text = asked.to_string();
    if text.len() <= READ_BYTES_MAX {
        return asked;
    }
    json!({ "begins": &text[..text.floor_char_boundary(READ_BYTES_MAX)], "bytes": text.len() })
}

/// The address of a request, of IPv6 its /64: who has one has them all.
fn network(cause: &Cause) -> String {
    match cause.address {
        Some(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
        Some(address) => address.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use domain::access::audit::CUT;

    use super::*;

    #[test]
    fn what_a_read_asks_for_is_kept_whole_or_begun() {
        let asked = |filter: &str| Map::from_iter([("customer".to_owned(), json!(filter))]);
        assert_eq!(bounded(asked("ä")), json!({ "customer": "ä" }));
        for length in READ_BYTES_MAX - 20..READ_BYTES_MAX + 20 {
            let text = bounded(asked(&"ä".repeat(length))).to_string();
            assert!(text.len() < READ_BYTES_MAX + 100, "{length}");
            assert!(text.starts_with(r#"{"begins":"{\"customer\":\"ä"#), "{text}");
            assert!(text.starts_with(CUT), "an erasure knows that it was cut: {text}");
        }
        assert_eq!(bounded(asked(&"a".repeat(9_000)))["bytes"].as_u64().unwrap(), 9_015);
    }
}
