//! Whether a dead letter holds anything of what is erased.

use domain::erasure::SubjectKind;
use domain::record::RecordView;
use domain::tenant::TenantId;

use super::StoredErasure;

impl StoredErasure {
    /// Whether a dead letter of this tenant, or of nobody, holds an event of what is erased. Of one that cannot be read
    /// any mention of the name counts if it is the tenant's own. One that is nobody's has to name both as records do;
    /// else it may be another tenant's, and stays for the operator.
    pub fn is_in(&self, tenant: Option<&TenantId>, payload: &[u8]) -> bool {
        let subject = self.subject.as_deref().unwrap_or_default();
        if self.erasure.kind == SubjectKind::Workspace {
            return tenant == Some(&self.tenant);
        }
        let read = RecordView::parse(payload).ok().and_then(|record| {
            if record.tenant() != &self.tenant {
                return Some(false);
            }
            let mut is_held = false;
            for body in record.bodies() {
                let event = body.ok()?.event_with_identity().ok()?.0;
                let name = if self.erasure.kind == SubjectKind::User { event.user } else { event.customer };
                is_held |= name == Some(subject);
            }
            Some(is_held)
        });
        read.unwrap_or_else(|| match tenant {
            Some(tenant) => *tenant == self.tenant && mentions(payload, subject.as_bytes()),
            None => [self.tenant.as_str(), subject].iter().all(|name| has_field(payload, name)),
        })
    }
}

fn mentions(payload: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && payload.windows(text.len()).any(|bytes| bytes == text)
}

/// Whether a payload has this text as records have names: behind its length in two bytes.
fn has_field(payload: &[u8], name: &str) -> bool {
    let Ok(length) = u16::try_from(name.len()) else { return false };
    length > 0 && mentions(payload, &[&length.to_le_bytes()[..], name.as_bytes()].concat())
}
