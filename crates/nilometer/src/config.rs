//! From settings to a configuration that makes sense: a file, the environment and flags are laid
//! over the defaults, then checked. Every refusal names the setting. Nothing is read later on.

mod settings;
mod error;
mod layers;
mod checked;
mod validate;

use std::path::Path;

pub(crate) use checked::{Config, LogConfig, LogFormat};
pub(crate) use error::ConfigError;
pub(crate) use layers::{CONFIG_VARIABLE, SettingFlags};
pub(crate) use settings::DATA_DEFAULT;

impl Config {
    /// The configuration that `flags` (each read from the environment when it is not given) and `file` make.
    pub(crate) fn load(file: Option<&Path>, flags: SettingFlags) -> Result<Self, ConfigError> {
        layers::check_environment(std::env::vars_os().map(|(name, _)| name))?;
        validate::check(layers::merge(file, flags)?)
    }

    /// The configuration that the environment and `file` make, for a command that stands in for the
    /// server of a folder.
    pub(crate) fn of_folder(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load(file, SettingFlags::of_environment()?)
    }
}

#[cfg(test)]
mod tests;
