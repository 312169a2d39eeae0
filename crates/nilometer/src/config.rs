//! From settings to a configuration that makes sense: a file, the environment and flags are laid
//! over the defaults, then checked. Every refusal names the setting. Nothing is read later on.

mod layers;
mod settings;
mod validate;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use api::CacheTimes;
use domain::limits::Limits;
use domain::tenant::Keyring;
use domain::window::WindowRule;

pub(crate) use layers::SettingFlags;
pub(crate) use settings::DATA_DEFAULT;

use crate::assemble::EngineOptions;
use crate::cli::ServeArgs;

/// The environment variable that names the file of settings.
pub(crate) const CONFIG_VARIABLE: &str = "NILOMETER_CONFIG";
/// What the environment variables of all settings begin with.
const VARIABLE_PREFIX: &str = "NILOMETER_";

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

impl Config {
    /// The configuration that `args`, the environment and the file make.
    pub(crate) fn load(args: ServeArgs) -> Result<Self, ConfigError> {
        layers::check_environment(std::env::vars_os().map(|(name, _)| name))?;
        let settings = layers::merge(args.config.as_deref(), args.settings)?;
        validate::check(settings)
    }

    /// The configuration that the environment and `file` make, for a command that stands in for the
    /// server of a folder.
    pub(crate) fn of_folder(file: Option<&Path>) -> Result<Self, ConfigError> {
        layers::check_environment(std::env::vars_os().map(|(name, _)| name))?;
        validate::check(layers::merge(file, SettingFlags::of_environment()?)?)
    }
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

/// A setting that is unknown or makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

#[cfg(test)]
mod tests;
