//! Connections, plain or over TLS. For TLS: rustls with ring, HTTP/1.1 only.

use std::path::Path;

use anyhow::{Context, ensure};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Largest file of certificates, in bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Makes connections to URLs of one scheme. The roots of the system are read only for TLS.
pub(super) fn connector(is_tls: bool, ca: Option<&Path>) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().context("failed to set up TLS")?;
    let config = match ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None if is_tls => builder.with_native_roots().context("failed to read the system's certificates; use --ca")?,
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}

/// The certificates in the PEM file at `path`.
fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let failed = || format!("failed to read the certificates in {}", path.display());
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(failed)?;
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    std::io::Read::read_to_end(&mut std::io::Read::take(file, CA_BYTES_MAX), &mut text).with_context(failed)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        roots.add(certificate.with_context(failed)?).with_context(failed)?;
    }
    ensure!(!roots.is_empty(), "{} holds no certificate in PEM form", path.display());
    Ok(roots)
}
