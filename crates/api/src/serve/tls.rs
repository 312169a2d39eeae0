//! TLS of the accept loop: one certificate with its key, from two files, read again when what they hold changes. A
//! new pair that makes no sense changes nothing. HTTP/2 and HTTP/1.1 are agreed on by ALPN.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// The name of HTTP/2 in ALPN (RFC 7540, section 3.1).
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
/// Largest file of a certificate or a key, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificate cannot be used.
    #[error("failed to read the certificates in {}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// The file of the key cannot be used.
    #[error("failed to read the private key in {}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// The two do not make a server's certificate.
    #[error("failed to use the key with the first certificate")]
    Pair(#[source] rustls::Error),
}

/// What is wrong with a file of PEM.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, or is too large.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no PEM, or has not what it should.
    #[error(transparent)]
    Pem(#[from] pem::Error),
}

/// A certificate for the connections of a server, and the files that it comes from.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    /// What was found in them last.
    found: blake3::Hash,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files hold, in short, and the pair that it makes.
type Look = (blake3::Hash, Result<CertifiedKey, TlsError>);

/// The pair that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// TLS with the certificates in the file `certificate`, the server's own first, and its private key in `key`,
    /// both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] says which of the two cannot be used, or that they do not fit.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        let (found, pair) = files.look();
        let current = Arc::new(Current(RwLock::new(Arc::new(pair?))));
        let config = ServerConfig::builder_with_provider(default_provider().into());
        let config = config.with_safe_default_protocol_versions().map_err(TlsError::Pair)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        Ok(Self { files, found, current, config: Arc::new(config) })
    }

    /// Makes connections that the certificate of the moment is shown to.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }

    /// Looks at the files again and again, and takes what is new. Does not end.
    pub(super) async fn follow(mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let files = self.files.clone();
            if let Ok(look) = tokio::task::spawn_blocking(move || files.look()).await {
                self.take(look);
            }
        }
    }

    /// Takes a new pair. What is wrong with one is said once.
    fn take(&mut self, (found, pair): Look) {
        if found == self.found {
            return;
        }
        self.found = found;
        match pair {
            Ok(pair) => {
                *self.current.0.write() = Arc::new(pair);
                tracing::info!(file = %self.files.certificate.display(), "new connections get the new certificate");
            }
            Err(error) => {
                let why = error.source().map(ToString::to_string);
                tracing::warn!(%error, why, "the new certificate is not used; the old one stays");
            }
        }
    }
}

impl Files {
    fn look(&self) -> Look {
        let (certificate, key) = (read(&self.certificate), read(&self.key));
        let mut hasher = blake3::Hasher::new();
        for bytes in [&certificate, &key] {
            match bytes {
                Ok(bytes) => hasher.update(blake3::hash(bytes).as_bytes()),
                Err(why) => hasher.update(why.to_string().as_bytes()),
            };
        }
        (hasher.finalize(), self.pair(certificate, key))
    }

    fn pair(&self, certificate: io::Result<Vec<u8>>, key: io::Result<Vec<u8>>) -> Result<CertifiedKey, TlsError> {
        let refused = |source| TlsError::Certificate { file: self.certificate.clone(), source };
        let bytes = certificate.map_err(|why| refused(why.into()))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.map_err(|why| refused(why.into()))?;
        if chain.is_empty() {
            return Err(refused(pem::Error::NoItemsFound.into()));
        }
        let refused = |source| TlsError::Key { file: self.key.clone(), source };
        let bytes = key.map_err(|why| refused(why.into()))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|why| refused(why.into()))?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(TlsError::Pair)
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
