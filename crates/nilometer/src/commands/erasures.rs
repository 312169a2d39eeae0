//! What erasures have left to be done in the catalog when a process ends before them.

use std::sync::Arc;

use access::AccessControl;
use api::ApiState;
use domain::access::audit::Cause;
use domain::tenant::TenantScope;

use crate::assemble::Engine;

/// Ends the workspaces that are erased, which nobody changes from here on.
pub(super) async fn end_workspaces(engine: &Engine, access: &Arc<AccessControl>) -> anyhow::Result<()> {
    for tenant in engine.erasures.erased_tenants() {
        access.forget_workspace(&Cause::server(), &TenantScope::for_operator(tenant)).await?;
    }
    Ok(())
}

/// Ends the workspaces that are erased, and has the catalog forget what erasures remove for as long as the server runs.
pub(super) async fn go_on(engine: &Engine, access: &Arc<AccessControl>, api: &Arc<ApiState>) -> anyhow::Result<()> {
    end_workspaces(engine, access).await?;
    api::forget_by_and_by(api);
    Ok(())
}
