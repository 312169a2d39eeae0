//! The server's own secrets, each in a file: the master key, which others are encrypted with, the token of metrics,
//! and the public keys of an external issuer. The master key lies in the data folder unless a file is named; the first
//! start makes one there.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use access::Store;
use access::control::master_fit;
use access::external::{ExternalIssuer, ExternalVerifier};
use access::master_key::MasterKey;
use anyhow::{Context, ensure};
use vfs::{DiskVfs, Publisher, Vfs};

use crate::config::{ConfigError, ExternalIssuerFile};
use crate::folder::{MASTER_KEY_FILE, NEXT_MASTER_KEY_FILE};

/// Longest of these files, in bytes.
const SECRET_BYTES_MAX: u64 = 1 << 20;
/// Shortest token of metrics, in bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// The master key in the file `named`, or else in the folder `data`, where it is made when there is none and the register
/// in `store` holds nothing that another one has encrypted.
pub(crate) async fn master_key(data: &Path, named: Option<&Path>, store: &dyn Store) -> anyhow::Result<MasterKey> {
    if named.is_none() {
        settle_next(data, store).await?;
    }
    let path = named.map_or_else(|| data.join(MASTER_KEY_FILE), Path::to_owned);
    if named.is_none() && !path.exists() {
        ensure!(
            !master_fit(store, None).await?.needs_one,
            "{} is missing, though the catalog holds secrets that it opens: restore it, or, if it is lost, give them up, and \
             with them all encrypted properties, with `nilometer admin replace-master-key --old-is-lost`",
            path.display()
        );
        return make_master_key(data);
    }
    read_master_key(&path)
}

/// Ends a change of the master key that was interrupted: the new one is in its place, if the register was wrapped under it,
/// or gone. It was if the new one opens anything: a change leaves at least a key of access tokens that nothing else opens.
pub(crate) async fn settle_next(data: &Path, store: &dyn Store) -> anyhow::Result<()> {
    let next = data.join(NEXT_MASTER_KEY_FILE);
    if !next.exists() {
        return Ok(());
    }
    if master_fit(store, Some(&read_master_key(&next)?)).await?.opened > 0 {
        tracing::warn!("a change of the master key was interrupted, and is ended now");
        return publish_next(data);
    }
    drop_next(data)
}

/// Makes a new master key beside the one in the folder `data`.
pub(crate) fn make_next(data: &Path) -> anyhow::Result<MasterKey> {
    write_master_key(data, NEXT_MASTER_KEY_FILE)
}

/// Takes a new master key away that nothing was wrapped under.
pub(crate) fn drop_next(data: &Path) -> anyhow::Result<()> {
    let next = data.join(NEXT_MASTER_KEY_FILE);
    DiskVfs.remove(&next).with_context(|| format!("failed to remove {}", next.display()))
}

/// Puts the new master key in the place of the old one.
pub(crate) fn publish_next(data: &Path) -> anyhow::Result<()> {
    let (next, own) = (data.join(NEXT_MASTER_KEY_FILE), data.join(MASTER_KEY_FILE));
    let moved = DiskVfs.rename(&next, &own).and_then(|()| DiskVfs.sync_dir(data));
    moved.with_context(|| format!("failed to rename {}", next.display()))
}

/// The master key in the folder `data`, if there is one.
pub(crate) fn own_master_key(data: &Path) -> anyhow::Result<Option<MasterKey>> {
    let path = data.join(MASTER_KEY_FILE);
    if path.exists() { read_master_key(&path).map(Some) } else { Ok(None) }
}

/// The master key in a file.
pub(crate) fn read_master_key(path: &Path) -> anyhow::Result<MasterKey> {
    let text = read("master_key_file", path)?;
    let key = MasterKey::parse(text.trim());
    Ok(key.map_err(|why| ConfigError::new(format!("master_key_file {}: {why}", path.display())))?)
}

/// Makes a master key in the folder `data`.
fn make_master_key(data: &Path) -> anyhow::Result<MasterKey> {
    write_master_key(data, MASTER_KEY_FILE)
}

fn write_master_key(data: &Path, name: &str) -> anyhow::Result<MasterKey> {
    let path = data.join(name);
    let key = MasterKey::generate().context("failed to make a master key")?;
    let mut file = Publisher::create(Arc::new(DiskVfs), data, name)?;
    file.write_all(key.to_text().as_bytes()).and_then(|()| file.write_all(b"\n"))?;
    file.finish().with_context(|| format!("failed to write {}", path.display()))?;
    tracing::info!(file = %path.display(), "made a master key; without it no signing secret, no token and no encrypted property can be read");
    Ok(key)
}

/// The BLAKE3 hash of the token in a file.
pub(crate) fn token_hash(path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = read("metrics_token_file", path)?;
    let token = text.trim();
    ensure!(
        token.len() >= TOKEN_BYTES_MIN,
        ConfigError::new(format!(
            "metrics_token_file {}: a token has at least {TOKEN_BYTES_MIN} bytes",
            path.display()
        ))
    );
    Ok(*blake3::hash(token.as_bytes()).as_bytes())
}

/// What verifies tokens of an external issuer.
pub(crate) fn external(issuer: &ExternalIssuerFile) -> anyhow::Result<ExternalVerifier> {
    let ExternalIssuerFile { issuer, audience, jwks_file, workspace_claim, role_claim } = issuer.clone();
    let jwks = read("jwt_jwks_file", &jwks_file)?;
    let verifier = ExternalVerifier::new(&ExternalIssuer { issuer, audience, jwks, workspace_claim, role_claim });
    Ok(verifier.map_err(|why| ConfigError::new(format!("jwt_jwks_file {}: {why}", jwks_file.display())))?)
}

fn read(setting: &str, path: &Path) -> anyhow::Result<String> {
    let refused = |why: &dyn std::fmt::Display| ConfigError::new(format!("{setting} {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|why| refused(&why))?;
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    let length = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|why| refused(&why))?;
    ensure!(length as u64 <= SECRET_BYTES_MAX, refused(&format!("is larger than {SECRET_BYTES_MAX} bytes")));
    Ok(text)
}
