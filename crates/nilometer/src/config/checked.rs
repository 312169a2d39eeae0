//! A configuration that makes sense; [`super::validate`] makes it.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use api::CacheTimes;
use domain::limits::Limits;
use domain::tenant::Keyring;
use domain::window::WindowRule;

use crate::assemble::EngineOptions;

/// A checked configuration of a server.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) profile: Profile,
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) keyring: Keyring,
    pub(crate) log: LogConfig,
    pub(crate) worker_threads: Option<NonZeroUsize>,
    pub(crate) limits: Limits,
    pub(crate) cache: CacheTimes,
    pub(crate) rule: WindowRule,
    pub(crate) engine: EngineOptions,
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
