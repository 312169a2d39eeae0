//! From settings to a configuration that makes sense: a file, the environment and flags are laid
//! over the defaults, then checked. Every refusal names the setting. Nothing is read later on.

mod access;
mod settings;
mod error;
mod files;
mod layers;
mod checked;
mod postgres;
mod rates;
mod reach;
mod validate;

use std::path::{Path, PathBuf};

pub(crate) use checked::{AccessConfig, Config, ExternalIssuerFile, LogConfig, LogFormat, MetricsAccess, TlsFiles};
pub(crate) use error::ConfigError;
pub(crate) use layers::{CONFIG_VARIABLE, SettingFlags};
#[cfg(feature = "cluster")]
pub(crate) use postgres::{OWNER_URL, login_passwords};
use settings::DATA_DEFAULT;

impl Config {
    /// The configuration that `flags` (each read from the environment when it is not given) and `file` make.
    pub(crate) fn load(file: Option<&Path>, mut flags: SettingFlags) -> Result<Self, ConfigError> {
        layers::check_environment(std::env::vars_os().map(|(name, _)| name))?;
        flags.add_files(&|name| std::env::var_os(name))?;
        validate::check(layers::merge(file, flags)?)
    }

    /// Has the database go on with a new journal.
    pub(crate) fn begin_new_journal(&mut self) -> Result<(), ConfigError> {
        match &mut self.engine.postgres {
            None => Err(ConfigError::new("--new-journal is for a ledger in PostgreSQL: postgres_url must be set")),
            #[cfg(feature = "cluster")]
            Some(postgres) => {
                postgres.new_journal = true;
                Ok(())
            }
            #[cfg(not(feature = "cluster"))]
            Some(never) => match *never {},
        }
    }

    /// Has a copy of a folder taken that holds a journal alone; whether it is one.
    pub(crate) fn recovers_journal(&mut self) -> bool {
        match &mut self.engine.postgres {
            None => false,
            #[cfg(feature = "cluster")]
            Some(postgres) => {
                postgres.recover_copy = true;
                true
            }
            #[cfg(not(feature = "cluster"))]
            Some(never) => match *never {},
        }
    }

    /// The configuration that the environment and `file` make, for a command that stands in for the
    /// server of a folder.
    pub(crate) fn of_folder(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load(file, SettingFlags::of_environment()?)
    }
}

/// The data folder of a command that reads no other setting: the one that is `given`, by a flag or the environment, else
/// the one in the file that the environment names, else the default.
pub(crate) fn data_folder(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let named = files::value("data", &|name| std::env::var_os(name))?;
    let data = given.or_else(|| named.map(|(_, text)| text.into())).unwrap_or_else(|| DATA_DEFAULT.into());
    if data.as_os_str().is_empty() { Err(ConfigError::new("data must not be empty")) } else { Ok(data) }
}

/// The value of a setting that commands alone read, in the file that the environment names.
#[cfg(feature = "cluster")]
pub(crate) fn value_in_file(name: &str) -> Result<Option<String>, ConfigError> {
    Ok(files::value(name, &|name| std::env::var_os(name))?.map(|(_, text)| text))
}

#[cfg(test)]
mod tests;
