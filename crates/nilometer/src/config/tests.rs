//! Settings: every one documented, every refusal named, the layers in their order.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use clap::{CommandFactory, Parser};
use domain::limits::Limits;
use domain::window::WindowRule;
use toml::Value;

use super::checked::Profile;
use super::layers::{SettingFlags, check_environment, defaults, merge};
use super::settings::{SETTINGS, Settings};
use super::validate::check;
use super::*;
use crate::cli::{Cli, Command};

fn with(name: &str, value: impl Into<Value>) -> Result<Config, ConfigError> {
    let flags = SettingFlags([(name.to_owned(), value.into())].into_iter().collect());
    merge(None, flags).and_then(check)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn every_setting_has_a_default_and_a_line_of_help() {
    let mut described: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let defaults = defaults();
    let mut known: Vec<_> = defaults.keys().map(String::as_str).collect();
    described.sort_unstable();
    known.sort_unstable();
    assert_eq!(described, known);
}

#[test]
fn the_defaults_make_sense_and_are_those_of_the_parts() {
    let config = check(Settings::default()).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.rule, WindowRule::default());
    assert_eq!(config.profile, Profile::Dev);
}

#[test]
fn help_shows_name_unit_default_and_variable_of_every_setting() {
    let mut command = Cli::command();
    let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
    for setting in SETTINGS {
        assert!(help.contains(&format!("--{}", setting.name.replace('_', "-"))), "{}", setting.name);
        assert!(help.contains(&format!("NILOMETER_{}", setting.name.to_uppercase())), "{}", setting.name);
        assert!(help.contains(setting.unit), "{}", setting.name);
    }
    assert!(help.contains("[default: 8388608]"), "{help}");
}

/// What a setting may be, as its refusal says; a dash for what is no number.
fn range(name: &str) -> String {
    if !defaults()[name].is_integer() {
        return "–".to_owned();
    }
    let refusal = with(name, i64::MAX).err().unwrap().to_string();
    let range = refusal.strip_prefix(&format!("{name} must be ")).and_then(|rest| rest.split_once(", is"));
    range.unwrap().0.to_owned()
}

#[test]
fn the_operations_guide_shows_every_setting_as_it_is() {
    let guide = include_str!("../../../../docs/operations.md");
    for setting in SETTINGS {
        let default = match &defaults()[setting.name] {
            Value::String(text) if text.is_empty() => "none".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let unit = setting.unit.replace('|', "\\|");
        let row = format!("| `{}` | {unit} | {default} | {} | {} |", setting.name, range(setting.name), setting.help);
        assert!(guide.contains(&row), "docs/operations.md lacks this row:\n{row}");
    }
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let file = file("flush_rows = 5\nflush_bytes = 4096\n");
    let line = ["nilometer", "serve", "--flush-rows", "7", "--config", file.path().to_str().unwrap()];
    let Command::Serve(args) = Cli::try_parse_from(line).unwrap().command else { unreachable!() };
    let config = merge(args.config.as_deref(), args.settings).and_then(check).unwrap();
    assert_eq!(config.engine.ledger.flush_rows, 7);
    assert_eq!(config.engine.ledger.flush_bytes, 4_096);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn unknown_settings_are_named() {
    let misspelt = file("flush_rowz = 5\n");
    let why = merge(Some(misspelt.path()), SettingFlags::default()).err().unwrap().to_string();
    assert!(why.contains("flush_rowz") && why.contains("line 1"), "{why}");
    let why = check_environment(["PATH", "NILOMETER_FLUSH_ROWZ"].map(Into::into).into_iter()).unwrap_err().to_string();
    assert!(why.contains("NILOMETER_FLUSH_ROWZ"), "{why}");
    assert!(check_environment(["NILOMETER_FLUSH_ROWS", "NILOMETER_CONFIG"].map(Into::into).into_iter()).is_ok());
    assert!(Cli::try_parse_from(["nilometer", "serve", "--flush-rowz", "5"]).is_err());
    for near in ["NILOMETER_PORTS", "NILOMETER_PORT_HTTP_TCP", "NILOMETER_PORT_8080", "NILOMETER_PORT_8080_TCP_NAME"] {
        assert!(check_environment([near].map(Into::into).into_iter()).is_err(), "{near}");
    }
    let of_a_longer_name =
        ["NILOMETER_METRICS_SERVICE_HOST", "NILOMETER_METRICS_PORT", "NILOMETER_METRICS_PORT_80_TCP_ADDR"];
    assert!(check_environment(of_a_longer_name.map(Into::into).into_iter()).is_ok());
    assert!(check_environment(["NILOMETER_METRICS_PORT"].map(Into::into).into_iter()).is_err(), "a mistake alone");
}

#[test]
fn wrong_types_are_named() {
    let text = file("listen = \"127.0.0.1:0\"\nflush_rows = \"many\"\n");
    let why = merge(Some(text.path()), SettingFlags::default()).err().unwrap().to_string();
    assert!(why.contains("line 2"), "{why}");
    let why = Cli::try_parse_from(["nilometer", "serve", "--flush-rows", "many"]).unwrap_err().to_string();
    assert!(why.contains("--flush-rows"), "{why}");
    let missing = merge(Some(Path::new("no/such/file.toml")), SettingFlags::default());
    assert!(missing.err().unwrap().to_string().contains("no/such/file.toml"));
}

#[test]
fn impossible_values_are_named() {
    let numbers = [
        ("body_bytes_max", 3),
        ("decoded_bytes_max", 2_048),
        ("batch_events_max", 65_537),
        ("batch_events_max", 0),
        ("json_depth_max", 1),
        ("window_length_sec", 7),
        ("window_length_sec", 0),
        ("window_grace_sec", 3_601),
        ("flush_rows", 0),
        ("connections_max", 0),
        ("idle_timeout_ms", 0),
        ("backlog_bytes_max", 1 << 20),
        ("worker_threads", 5_000),
        ("retention_days", 40_000),
    ];
    for (name, value) in numbers {
        let why = with(name, value).unwrap_err().to_string();
        assert!(why.starts_with(name), "{name} = {value}: {why}");
    }
    let texts = [
        ("profile", "production"),
        ("log_format", "xml"),
        ("log_level", "info,=loud"),
        ("listen", "8080"),
        ("listen", "127.0.0.1"),
        ("data", ""),
        ("min_time", ""),
        ("min_time", "1980"),
        ("min_time", "1980-02-30"),
        ("api_keys", "no-colon-here"),
        ("api_keys", "a:short"),
        ("api_keys", "a b:long-enough-key"),
        ("api_keys", "a:the-same-key,b:the-same-key"),
    ];
    for (name, value) in texts {
        let why = with(name, value).unwrap_err().to_string();
        assert!(why.starts_with(name), "{name} = {value}: {why}");
        assert!(!why.contains("the-same-key"), "a key is shown: {why}");
    }
}

#[test]
fn i5_only_dev_on_loopback_serves_without_a_key() {
    let settings = |profile: &str, listen: &str, api_keys: &str| {
        let text = |text: &str| text.to_owned();
        check(Settings {
            profile: text(profile),
            listen: text(listen),
            api_keys: text(api_keys),
            ..Settings::default()
        })
    };
    let anonymous = |config: Result<Config, ConfigError>| config.unwrap().keyring.authenticate(None).is_ok();
    assert!(anonymous(settings("dev", "127.0.0.1:0", "")));
    assert!(anonymous(settings("dev", "[::1]:0", "a:key-of-a-1")));
    assert!(!anonymous(settings("dev", "0.0.0.0:0", "a:key-of-a-1")));
    assert!(!anonymous(settings("test", "127.0.0.1:0", "a:key-of-a-1")));
    assert!(!anonymous(settings("prod", "127.0.0.1:0", "a:key-of-a-1, b:key-of-b-1")));
    for (profile, listen) in [("dev", "0.0.0.0:0"), ("test", "127.0.0.1:0"), ("prod", "127.0.0.1:0")] {
        let why = settings(profile, listen, "").unwrap_err().to_string();
        assert!(why.starts_with("api_keys must be set"), "{profile} on {listen}: {why}");
    }
}
