//! Lays the file, then the environment and the flags over the defaults. Knows no meaning of any
//! setting, only that it must be a known one and of the right type.

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use toml::{Table, Value};

use super::error::ConfigError;
use super::files::{self, Environment};
use super::settings::{SETTINGS, Setting, Settings, VARIABLE_PREFIX, variable};

/// The environment variable that names the file of settings.
pub(crate) const CONFIG_VARIABLE: &str = "NILOMETER_CONFIG";

/// What a command alone reads, which has to do no harm to the others.
const COMMAND_SETTING: &str = "postgres_admin_url";

/// The settings given as flags or in the environment.
#[derive(Debug, Default)]
pub(crate) struct SettingFlags(pub(super) Table);

impl SettingFlags {
    /// The settings of the environment alone.
    pub(super) fn of_environment() -> Result<Self, ConfigError> {
        let defaults = defaults();
        let mut table = Table::new();
        for setting in SETTINGS {
            let name = variable(setting.name);
            let Some(text) = std::env::var_os(&name) else { continue };
            let place = format!("environment variable {name}");
            let text = text.into_string().map_err(|_| ConfigError::new(format!("{place} is no text")))?;
            table.insert(setting.name.to_owned(), typed(&defaults, setting.name, text, &place)?);
        }
        Ok(Self(table))
    }

    /// Adds the settings whose values stand in files that the environment names. A flag goes before them.
    pub(super) fn add_files(&mut self, environment: &Environment<'_>) -> Result<(), ConfigError> {
        let defaults = defaults();
        for setting in SETTINGS {
            let Some((file, text)) = files::value(setting.name, environment)? else { continue };
            if !self.0.contains_key(setting.name) {
                let place = format!("file {}", file.display());
                self.0.insert(setting.name.to_owned(), typed(&defaults, setting.name, text, &place)?);
            }
        }
        Ok(())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let defaults = defaults();
        command.next_help_heading("Settings").args(SETTINGS.iter().map(|setting| flag(setting, &defaults)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let defaults = defaults();
        let given = SETTINGS.iter().filter(|setting| {
            matches!(matches.value_source(setting.name), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        });
        let value = |setting: &Setting| match defaults.get(setting.name) {
            Some(Value::Integer(_)) => matches.get_one::<i64>(setting.name).copied().map(Value::Integer),
            _ => matches.get_one::<String>(setting.name).cloned().map(Value::String),
        };
        Ok(Self(given.filter_map(|setting| Some((setting.name.to_owned(), value(setting)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

/// The flag of `setting`, which also reads the environment. Its default is only shown: it is laid
/// below the file, where clap cannot put it.
fn flag(setting: &Setting, defaults: &Table) -> Arg {
    let default = match defaults.get(setting.name) {
        Some(Value::String(text)) if text.is_empty() => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let arg = Arg::new(setting.name)
        .long(setting.name.replace('_', "-"))
        .env(variable(setting.name))
        .hide_env_values(true)
        .value_name(setting.unit)
        .help(format!("{} [default: {default}]", setting.help));
    match defaults.get(setting.name) {
        Some(Value::Integer(_)) => arg.value_parser(value_parser!(i64).range(0..)),
        _ => arg.value_parser(value_parser!(String)),
    }
}

/// A value of the type of the setting `name`.
fn typed(defaults: &Table, name: &str, text: String, place: &str) -> Result<Value, ConfigError> {
    match defaults.get(name) {
        Some(Value::Integer(_)) => {
            let number = text.parse().map_err(|_| ConfigError::new(format!("{place} is no whole number")))?;
            Ok(Value::Integer(number))
        }
        _ => Ok(Value::String(text)),
    }
}

pub(super) fn defaults() -> Table {
    Table::try_from(Settings::default()).unwrap_or_default()
}

/// Whether Kubernetes makes a variable of this name for a Service called `nilometer`, or one whose name begins so,
/// such as `nilometer-metrics`: `NILOMETER_SERVICE_HOST`, `NILOMETER_SERVICE_PORT` with or without the name of a
/// port, `NILOMETER_PORT`, and `NILOMETER_PORT_8080_TCP` with or without `_PROTO`, `_PORT` or `_ADDR`. A `…_PORT` of
/// a longer name is one only beside its `…_SERVICE_HOST`, of which `has` tells.
fn is_of_kubernetes(name: &str, has: impl Fn(&str) -> bool) -> bool {
    let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { return false };
    if rest == "PORT" || name.strip_suffix("_PORT").is_some_and(|service| has(&format!("{service}_SERVICE_HOST"))) {
        return true;
    }
    let ends = std::iter::once(0).chain(rest.match_indices('_').map(|(at, _)| at + 1));
    ends.filter_map(|at| rest.get(at..)).any(is_variable_of_a_service)
}

/// Whether `rest` is what stands behind the name of a Service.
fn is_variable_of_a_service(rest: &str) -> bool {
    if matches!(rest, "SERVICE_HOST" | "SERVICE_PORT") || rest.starts_with("SERVICE_PORT_") {
        return true;
    }
    let mut parts = rest.split('_');
    let is_port = parts.next() == Some("PORT")
        && parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
        && parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"));
    is_port && parts.next().is_none_or(|last| matches!(last, "PROTO" | "PORT" | "ADDR")) && parts.next().is_none()
}

/// Refuses a variable that looks like a setting and is none.
pub(super) fn check_environment(names: impl Iterator<Item = OsString>) -> Result<(), ConfigError> {
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in &names {
        let all = || SETTINGS.iter().map(|setting| setting.name).chain(std::iter::once(COMMAND_SETTING));
        let is_setting = |name: &str| all().any(|setting| variable(setting) == name);
        let known = *name == CONFIG_VARIABLE
            || is_setting(name)
            || name.strip_suffix(files::FILE_SUFFIX).is_some_and(is_setting);
        if name.starts_with(VARIABLE_PREFIX)
            && !known
            && !is_of_kubernetes(name, |other| names.iter().any(|name| name == other))
        {
            return Err(ConfigError::new(format!("unknown environment variable {name}: no setting has this name")));
        }
    }
    Ok(())
}

/// The defaults, under the file, under the flags.
pub(super) fn merge(file: Option<&Path>, flags: SettingFlags) -> Result<Settings, ConfigError> {
    let mut table = defaults();
    if let Some(path) = file {
        let refused = |why: &dyn std::fmt::Display| ConfigError::new(format!("config file {}: {why}", path.display()));
        let text = files::read_text(path).map_err(|why| refused(&why))?;
        // Read as settings first: that error shows the line.
        toml::from_str::<Settings>(&text).map_err(|why| refused(&why))?;
        table.extend(toml::from_str::<Table>(&text).map_err(|why| refused(&why))?);
    }
    table.extend(flags.0);
    table.try_into().map_err(|why: toml::de::Error| ConfigError::new(why.to_string()))
}
