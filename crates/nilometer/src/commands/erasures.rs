//! What erasures have left to be done in the catalog when a process ends before them.

use std::sync::Arc;

use access::AccessControl;
use api::ApiState;
use domain::access::audit::Cause;
use domain::tenant::TenantScope;
use ports::erasures::Erasures;

use crate::assemble::Engine;

/// Ends the workspaces that are erased, which nobody changes from here on, and has the catalog forget whose erasure is
/// under way when that is made.
pub(super) async fn go_on(engine: &Engine, access: &Arc<AccessControl>, api: &Arc<ApiState>) -> anyhow::Result<()> {
    for tenant in engine.ledger.erased_tenants() {
        access.forget_workspace(&Cause::server(), &TenantScope::for_operator(tenant)).await?;
    }
    let unfinished = engine.ledger.unfinished().into_iter();
    let unfinished = unfinished.map(|(tenant, id, subject)| (TenantScope::for_operator(tenant), id, subject));
    api::resume_erasures(api, unfinished);
    Ok(())
}

/// Has the catalog forget whose erasure is under way, for a command that may see the end of it: by then the name is gone
/// that it would go by.
pub(super) async fn forget_unfinished(engine: &Engine) -> anyhow::Result<()> {
    for (tenant, _, subject) in engine.ledger.unfinished() {
        engine.register_store().forget(&TenantScope::for_operator(tenant), &subject, None).await?;
    }
    Ok(())
}
