//! Opens the register of a data folder: who may do what, by the settings and the server's secrets.

use std::sync::Arc;

use access::{AccessControl, AccessParts};
use anyhow::Context;
use domain::tenant::Keyring;

use crate::assemble::Engine;
use crate::config::AccessConfig;
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
    control.await.context("failed to open the register of workspaces, people and keys")
}
