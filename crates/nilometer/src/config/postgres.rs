//! Checks where everything but the journal is kept: in the data folder, or in PostgreSQL with three logins. In profile
//! `dev` one address with the login of a superuser stands for the three: `nilometer migrate up` makes them, each with a
//! password that is derived from the superuser's, so that every process that has the address knows them and none is
//! written down.

use super::checked::Profile;
use super::error::ConfigError;
use super::settings::Settings;
use crate::assemble::PostgresConfig;

/// The setting of the application's login.
const APP_URL: &str = "postgres_url";
/// The setting of the worker's login.
const WORKER_URL: &str = "postgres_worker_url";
/// The setting of the owner's login.
pub(crate) const OWNER_URL: &str = "postgres_owner_url";

/// The setting of the application's login on a replica.
const REPLICA_URL: &str = "postgres_replica_url";

/// What the settings say of it.
#[cfg(not(feature = "cluster"))]
pub(super) fn postgres(_: Profile, settings: &Settings) -> Result<Option<PostgresConfig>, ConfigError> {
    match given(settings).into_iter().find(|(_, url)| !url.is_empty()) {
        None => Ok(None),
        Some((name, _)) => {
            let why = "PostgreSQL is not part of this build: build it with `--features cluster`";
            Err(ConfigError::new(format!("{name}: {why}")))
        }
    }
}

/// What the settings say of it.
#[cfg(feature = "cluster")]
pub(super) fn postgres(profile: Profile, settings: &Settings) -> Result<Option<PostgresConfig>, ConfigError> {
    let given = given(settings);
    for (name, url) in given {
        if !url.is_empty() {
            // Read here, so that a refusal names the setting.
            ::postgres::shown(url).map_err(|why| ConfigError::new(format!("{name}: {why}")))?;
        }
    }
    let missing = |name: &str, why: &str| Err(ConfigError::new(format!("{name} must be set{why}")));
    let if_any = |url: &str| (!url.is_empty()).then(|| url.to_owned());
    match given.map(|(_, url)| url) {
        ["", "", "", ""] => Ok(None),
        ["", ..] => missing(APP_URL, ", since another login is"),
        [admin, "", "", ""] if profile == Profile::Dev => of_superuser(admin).map(Some),
        [_, "", ..] => missing(WORKER_URL, ", since postgres_url is; only in profile dev one login is enough"),
        [app, worker, owner, replica] => Ok(Some(PostgresConfig {
            app_url: app.to_owned(),
            worker_url: worker.to_owned(),
            owner_url: if_any(owner),
            replica_url: if_any(replica),
            admin_url: None,
            new_journal: false,
            recover_copy: false,
        })),
    }
}

fn given(settings: &Settings) -> [(&'static str, &str); 4] {
    let Settings { postgres_url, postgres_worker_url, postgres_owner_url, postgres_replica_url, .. } = settings;
    [
        (APP_URL, postgres_url),
        (WORKER_URL, postgres_worker_url),
        (OWNER_URL, postgres_owner_url),
        (REPLICA_URL, postgres_replica_url),
    ]
}

/// The three logins that belong to a superuser's.
#[cfg(feature = "cluster")]
fn of_superuser(admin_url: &str) -> Result<PostgresConfig, ConfigError> {
    let passwords = login_passwords(admin_url)?;
    let urls = ::postgres::login_urls(admin_url, passwords.each_ref().map(String::as_str));
    let urls = urls.map_err(|why| ConfigError::new(format!("{APP_URL}: {why}")))?;
    Ok(PostgresConfig {
        app_url: urls.app,
        worker_url: urls.worker,
        owner_url: Some(urls.owner),
        replica_url: None,
        admin_url: Some(admin_url.to_owned()),
        new_journal: false,
        recover_copy: false,
    })
}

/// The passwords of owner, application and worker, derived from the superuser's password in `admin_url`.
#[cfg(feature = "cluster")]
pub(crate) fn login_passwords(admin_url: &str) -> Result<[String; 3], ConfigError> {
    const CONTEXT: &str = "nilometer 2026 passwords of the logins of a development database";
    let refused = |why: &dyn std::fmt::Display| ConfigError::new(format!("{APP_URL}: {why}"));
    let password = ::postgres::password_of(admin_url).map_err(|why| refused(&why))?;
    let none = "there is no password in it, which those of the three logins would be derived from; set postgres_worker_url and \
                postgres_owner_url too, as `nilometer migrate logins` prints them";
    let password = password.filter(|password| !password.is_empty()).ok_or_else(|| refused(&none))?;
    Ok(["owner", "application", "worker"].map(|login| {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(login.as_bytes()).update(&[0]).update(password.as_bytes());
        hasher.finalize().to_hex().chars().take(32).collect()
    }))
}
