//! A configuration that makes sense; [`super::validate`] makes it.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use access::tokens::TokenNames;
use api::{CacheTimes, SessionCookie, WebOptions};
use domain::limits::Limits;
use domain::tenant::Keyring;

use crate::assemble::EngineOptions;

/// A checked configuration of a server.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) profile: Profile,
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) keyring: Keyring,
    pub(crate) access: AccessConfig,
    pub(crate) web: WebOptions,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) log: LogConfig,
    pub(crate) worker_threads: Option<NonZeroUsize>,
    pub(crate) limits: Limits,
    pub(crate) cache: CacheTimes,
    pub(crate) engine: EngineOptions,
}

/// Who may do what, as far as settings say.
#[derive(Debug, Clone)]
pub(crate) struct AccessConfig {
    /// Where the master key is, if not in the data folder.
    pub(crate) master_key_file: Option<PathBuf>,
    /// What the cookie of a session is called.
    pub(crate) cookie: SessionCookie,
    /// Who may read the server's own metrics.
    pub(crate) metrics: MetricsAccess,
    /// Who issues access tokens, and for whom.
    pub(crate) names: TokenNames,
    /// An issuer of tokens besides this server.
    pub(crate) external: Option<ExternalIssuerFile>,
}

/// Who may read the server's own metrics, besides its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricsAccess {
    /// Everyone who reaches the server.
    Everyone,
    /// Who has the token in the file, if there is one.
    Token(Option<PathBuf>),
}

/// An issuer of tokens, whose keys are in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalIssuerFile {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) jwks_file: PathBuf,
    pub(crate) workspace_claim: String,
    pub(crate) role_claim: String,
}

/// What the server is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// On one's own machine: on a loopback address no key is needed.
    Dev,
    /// In automated tests: as in production, with log lines for people.
    Test,
    /// In production.
    Prod,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Prod => "prod",
        })
    }
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How log lines look and which are written.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Human,
    Json,
}
