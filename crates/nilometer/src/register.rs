//! Opens the register of a data folder: who may do what, by the settings and the server's secrets.

use std::sync::Arc;

use access::control::{EncryptionOfRegister, has_data_keys};
use access::{AccessControl, AccessParts};
use anyhow::Context;
use domain::tenant::Keyring;
use ports::encryption::{Encryption, NoEncryption};

use crate::assemble::Engine;
use crate::config::AccessConfig;
use crate::folder::MASTER_KEY_FILE;
use crate::secrets;

/// The register of an open folder, with the keys of the configuration; a command over the folder shows itself by the
/// text with the BLAKE3 hash `command`.
pub(crate) async fn open(
    engine: &Engine,
    config: &AccessConfig,
    configured: Keyring,
    command: Option<[u8; 32]>,
) -> anyhow::Result<Arc<AccessControl>> {
    let store = engine.register_store();
    let control = AccessControl::load(AccessParts {
        clock: engine.clock.clone(),
        master: secrets::master_key(&engine.data, config.master_key_file.as_deref(), &*store).await?,
        store,
        configured,
        command,
        names: config.names.clone(),
        external: config.external.as_ref().map(secrets::external).transpose()?,
    });
    let named = config.master_key_file.clone().unwrap_or_else(|| engine.data.join(MASTER_KEY_FILE));
    control.await.with_context(|| {
        format!("failed to open the register of workspaces, people and keys with the master key in {}", named.display())
    })
}

/// What the workspaces of an open folder encrypt. The master key is needed only if one of them ever did.
pub(crate) async fn encryption(engine: &Engine, config: &AccessConfig) -> anyhow::Result<Arc<dyn Encryption>> {
    if !has_data_keys(&*engine.register_store()).await? {
        return Ok(Arc::new(NoEncryption));
    }
    Ok(Arc::new(EncryptionOfRegister(open(engine, config, Keyring::new(), None).await?)))
}
