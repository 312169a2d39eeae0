//! Settings: every one documented, every refusal named, the layers in their order.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory, Parser};
use domain::limits::Limits;
use domain::rate::{Rate, ServerRates};
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
    assert_eq!(config.engine.ledger.rule, WindowRule::default());
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
        ("base_path", "meter"),
        ("base_path", "/meter/"),
        ("base_path", "/../a"),
        ("public_url", "meter.example.com"),
        ("public_url", "ftp://meter.example.com"),
        ("public_url", "https://meter.example.com/other"),
        ("public_url", "https://user@meter.example.com"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "https://a.example, https://b.example/"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "10.0.0.0/8, *"),
        ("address_requests_per_min", "1000000001"),
        ("key_requests_per_sec", "-1"),
        ("workspace_requests_per_sec", "many"),
        ("workspace_events_per_sec", ""),
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
    // Keys may be in the register.
    assert!(!anonymous(settings("test", "127.0.0.1:0", "")) && !anonymous(settings("prod", "0.0.0.0:0", "")));
    let why = settings("dev", "0.0.0.0:0", "").unwrap_err().to_string();
    assert!(why.starts_with("api_keys must be set"), "{why}");
}

#[test]
fn how_the_server_is_reached_is_read() {
    let config = merge(None, SettingFlags::default()).and_then(check).unwrap();
    assert!(config.tls.is_none() && config.web.public_url.is_none() && config.web.cors_origins.is_empty());
    let given = [
        ("base_path", "/meter"),
        ("public_url", "https://meter.example/meter"),
        ("cors_origins", "https://a.example, http://localhost:3000"),
        ("trusted_proxies", "10.0.0.0/8,::1"),
        ("tls_cert_file", "c.pem"),
        ("tls_key_file", "k.pem"),
    ];
    let flags = given.map(|(name, value)| (name.to_owned(), Value::from(value)));
    let config = merge(None, SettingFlags(flags.into_iter().collect())).and_then(check).unwrap();
    assert_eq!(config.web.base_path.to_string(), "/meter");
    assert_eq!(config.web.public_url.unwrap().to_string(), "https://meter.example/meter");
    assert_eq!((config.web.cors_origins.len(), config.web.trusted_proxies.len()), (2, 2));
    assert_eq!(config.tls.unwrap().key, Path::new("k.pem"));
    for (given, missing) in [("tls_cert_file", "tls_key_file"), ("tls_key_file", "tls_cert_file")] {
        let why = with(given, "a.pem").unwrap_err().to_string();
        assert!(why.starts_with(&format!("{missing} must be set")), "{why}");
    }
}

#[test]
fn the_profile_decides_on_limits_that_are_not_set() {
    let rates =
        |text: &str| merge(Some(file(text).path()), SettingFlags::default()).and_then(check).unwrap().limits.rates;
    let number = |rate: Option<Rate>| rate.map(Rate::get);
    for profile in ["dev", "test"] {
        assert_eq!(rates(&format!("profile = \"{profile}\"\n")), ServerRates::default());
    }
    let prod = rates("profile = \"prod\"\n");
    let found = [prod.address_requests_per_min, prod.key_requests, prod.workspace_requests, prod.workspace_events];
    assert_eq!(found.map(number), [Some(500), Some(1_000), None, Some(100_000)]);
    let set = rates("profile = \"prod\"\naddress_requests_per_min = \"none\"\nkey_requests_per_sec = 0\n");
    assert_eq!([set.address_requests_per_min, set.key_requests].map(number), [None, Some(0)]);
    assert_eq!(number(rates("workspace_events_per_sec = \"1000000000\"\n").workspace_events), Some(1_000_000_000));
}

/// The flags with what files hold that this environment names.
fn with_files(flags: SettingFlags, environment: &[(&str, &Path)]) -> Result<SettingFlags, ConfigError> {
    let mut flags = flags;
    let find = |name: &str| environment.iter().find(|(variable, _)| *variable == name);
    flags.add_files(&|name| find(name).map(|(_, value)| OsString::from(value)))?;
    Ok(flags)
}

#[test]
fn a_file_that_the_environment_names_holds_a_setting() {
    let keys = file("  acme:the-key-of-acme\n\n");
    let rows = file("7\n");
    let environment = [("NILOMETER_API_KEYS_FILE", keys.path()), ("NILOMETER_FLUSH_ROWS_FILE", rows.path())];
    let flags = with_files(SettingFlags::default(), &environment).unwrap();
    assert_eq!(flags.0["api_keys"].as_str(), Some("acme:the-key-of-acme"));
    assert_eq!(flags.0["flush_rows"].as_integer(), Some(7));
    let given = SettingFlags([("flush_rows".to_owned(), Value::from(5))].into_iter().collect());
    assert_eq!(with_files(given, &environment).unwrap().0["flush_rows"].as_integer(), Some(5), "a flag goes before it");
    assert!(with_files(SettingFlags::default(), &[("NILOMETER_TLS_KEY_FILE", keys.path())]).unwrap().0.is_empty());

    let refused = |environment: &[(&str, &Path)]| {
        with_files(SettingFlags::default(), environment).err().map(|why| why.to_string()).unwrap_or_default()
    };
    let both = refused(&[("NILOMETER_API_KEYS_FILE", keys.path()), ("NILOMETER_API_KEYS", Path::new("a:key-of-a-1"))]);
    assert!(both.contains("NILOMETER_API_KEYS and NILOMETER_API_KEYS_FILE"), "{both}");
    assert!(!both.contains("key-of-a-1"), "{both}");
    let large = file(&" ".repeat((1 << 20) + 1));
    let folder = tempfile::tempdir().unwrap();
    for path in [Path::new("/no/such/file"), large.path(), folder.path()] {
        let why = refused(&[("NILOMETER_API_KEYS_FILE", path)]);
        assert!(why.contains("NILOMETER_API_KEYS_FILE") && why.contains(path.to_str().unwrap()), "{why}");
    }
    let why = refused(&[("NILOMETER_FLUSH_ROWS_FILE", keys.path())]);
    assert!(why.contains("no whole number") && !why.contains("the-key"), "{why}");
}

#[test]
fn the_variable_of_a_file_is_never_that_of_another_setting() {
    for setting in SETTINGS {
        let with_file = format!("{}_file", setting.name);
        assert!(SETTINGS.iter().all(|other| other.name != with_file), "{with_file} would have two meanings");
        let variable = format!("NILOMETER_{}", with_file.to_uppercase());
        assert!(check_environment(std::iter::once(variable.into())).is_ok());
    }
    for unknown in ["NILOMETER_TLS_CERT", "NILOMETER_CONFIG_FILE", "NILOMETER_NONE_FILE", "NILOMETER__FILE"] {
        assert!(check_environment(std::iter::once(unknown.into())).is_err(), "{unknown}");
    }
}

#[test]
fn the_cookie_is_plain_on_ones_own_machine_alone() {
    use api::SessionCookie::{Loopback, Secure};
    let cases: [(&[(&str, &str)], _); 12] = [
        (&[], Loopback),
        (&[("listen", "[::1]:0")], Loopback),
        (&[("profile", "test")], Loopback),
        (&[("public_url", "http://localhost:8080")], Loopback),
        (&[("base_path", "/meter")], Loopback),
        (&[("profile", "prod")], Secure),
        (&[("public_url", "https://meter.example.com")], Secure),
        (&[("tls_cert_file", "/c.pem"), ("tls_key_file", "/k.pem")], Secure),
        (&[("profile", "test"), ("trusted_proxies", "127.0.0.1")], Secure),
        (&[("profile", "test"), ("listen", "0.0.0.0:0")], Secure),
        (&[("api_keys", "acme:the-key-of-acme"), ("listen", "192.0.2.1:0")], Secure),
        (&[("profile", "prod"), ("public_url", "http://localhost:8080")], Secure),
    ];
    for (settings, cookie) in cases {
        let flags = settings.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let config = merge(None, SettingFlags(flags)).and_then(check);
        let config = config.map_err(|why| format!("{settings:?}: {why}")).unwrap();
        assert_eq!(config.access.cookie, cookie, "{settings:?}");
    }
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_database_is_refused_by_name_where_it_is_not_part_of_the_build() {
    for setting in ["postgres_url", "postgres_worker_url", "postgres_owner_url", "postgres_replica_url"] {
        let why = with(setting, "postgres://app:secret@127.0.0.1/nilometer").unwrap_err().to_string();
        assert!(why.starts_with(&format!("{setting}: PostgreSQL is not part of this build")), "{why}");
        assert!(!why.contains("secret"), "{why}");
    }
}

#[cfg(feature = "cluster")]
mod postgres {
    use super::*;
    use crate::assemble::PostgresConfig;

    const SUPERUSER: &str = "postgres://postgres:a-secret@127.0.0.1:5432/nilometer";

    fn given(settings: &[(&str, &str)]) -> Result<Option<PostgresConfig>, ConfigError> {
        let flags = settings.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        merge(None, SettingFlags(flags)).and_then(check).map(|config| config.engine.postgres)
    }

    #[test]
    fn one_login_stands_for_three_in_profile_dev_alone() {
        let made = given(&[("postgres_url", SUPERUSER)]).unwrap().unwrap();
        let urls = [&made.app_url, &made.worker_url, made.owner_url.as_ref().unwrap()];
        for (url, login) in urls.into_iter().zip(["nilometer_app", "nilometer_worker", "nilometer_owner"]) {
            assert!(
                url.starts_with(&format!("postgres://{login}:")) && url.contains("@127.0.0.1:5432/nilometer"),
                "{url}"
            );
            assert!(!url.contains("a-secret"), "{url}");
        }
        // Every process with the address derives the same, and with another password others.
        assert_eq!(given(&[("postgres_url", SUPERUSER)]).unwrap().unwrap(), made);
        let other = given(&[("postgres_url", &SUPERUSER.replace("a-secret", "b-secret"))]).unwrap().unwrap();
        assert_ne!(other.app_url, made.app_url);

        for settings in [
            &[("postgres_url", SUPERUSER), ("profile", "prod")][..],
            &[("postgres_url", SUPERUSER), ("profile", "test")],
            &[("postgres_url", SUPERUSER), ("postgres_owner_url", SUPERUSER)],
        ] {
            let why = given(settings).unwrap_err().to_string();
            assert!(why.starts_with("postgres_worker_url must be set"), "{settings:?}: {why}");
        }
        let why = given(&[("postgres_owner_url", SUPERUSER)]).unwrap_err().to_string();
        assert!(why.starts_with("postgres_url must be set"), "{why}");
    }

    #[test]
    fn no_refusal_and_no_print_shows_a_password() {
        for setting in ["postgres_url", "postgres_worker_url", "postgres_owner_url", "postgres_replica_url"] {
            let why = given(&[(setting, "mysql://x:a-secret@[")]).unwrap_err().to_string();
            assert!(why.starts_with(setting) && !why.contains("a-secret"), "{why}");
        }
        let printed = format!("{:?}", given(&[("postgres_url", SUPERUSER)]).unwrap());
        assert!(printed.contains("nilometer_app@127.0.0.1:5432/nilometer") && !printed.contains("secret"), "{printed}");
        let three = [("postgres_url", SUPERUSER), ("postgres_worker_url", SUPERUSER), ("profile", "prod")];
        let printed = format!("{:?}", given(&three).unwrap());
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[test]
    fn no_password_is_derived_from_none() {
        let why = given(&[("postgres_url", "postgres://nobody-has-a-passfile-for-this@127.0.0.1/none")]);
        let why = why.unwrap_err().to_string();
        assert!(why.starts_with("postgres_url: there is no password"), "{why}");
    }
}
