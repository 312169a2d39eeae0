//! What each workspace encrypts of the properties of its events.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::Cause;
use domain::encryption::FieldEncryption;
use domain::tenant::TenantScope;

use crate::PortError;

/// Paths and keys of all workspaces.
#[async_trait]
pub trait Encryption: Send + Sync + Debug {
    /// The paths of a workspace and the cipher over all versions of its key, as they are now. `None` when nothing of
    /// it was ever encrypted. Answered from memory: asked once for each request.
    fn of(&self, scope: &TenantScope) -> Option<Arc<FieldEncryption>>;

    /// Destroys every version of a workspace's data key, and takes its paths out of use: what was encrypted is read by
    /// nobody any more, wherever a copy of it is. The key is gone from the store with the commit of this, which adds an
    /// entry to the workspace's audit log; earlier versions of the store's pages and backups of it are for others to
    /// remove. Of a workspace without a key it changes nothing.
    ///
    /// # Errors
    /// When the store cannot be written; `Conflict` when the key has changed meanwhile.
    async fn destroy_data_key(&self, scope: &TenantScope, cause: &Cause) -> Result<(), PortError>;
}

/// Encrypts nothing, and has no keys: for processes that hold no folder.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEncryption;

#[async_trait]
impl Encryption for NoEncryption {
    fn of(&self, _: &TenantScope) -> Option<Arc<FieldEncryption>> {
        None
    }

    async fn destroy_data_key(&self, _: &TenantScope, _: &Cause) -> Result<(), PortError> {
        Ok(())
    }
}
