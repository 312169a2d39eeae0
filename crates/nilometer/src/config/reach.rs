//! Checks the settings of how the server is reached: TLS, URL, path, pages and proxies.

use std::path::PathBuf;
use std::sync::Arc;

use api::{BasePath, Origin, PublicUrl, WebOptions};
use domain::access::address::AddressRange;

use super::checked::TlsFiles;
use super::error::ConfigError;
use super::settings::Settings;

/// How the server is reached.
pub(super) fn web(settings: &Settings) -> Result<WebOptions, ConfigError> {
    let base_path = BasePath::parse(&settings.base_path).map_err(|why| refusal("base_path", &why))?;
    let public_url = match settings.public_url.as_str() {
        "" => None,
        url => Some(PublicUrl::parse(url, &base_path).map_err(|why| refusal("public_url", &why))?),
    };
    Ok(WebOptions {
        cors_origins: list("cors_origins", &settings.cors_origins, Origin::parse)?,
        trusted_proxies: list("trusted_proxies", &settings.trusted_proxies, AddressRange::parse)?,
        base_path,
        public_url,
    })
}

/// The files of the certificate and its key, if both are named.
pub(super) fn tls(settings: &Settings) -> Result<Option<TlsFiles>, ConfigError> {
    let missing = |name, other| Err(ConfigError::new(format!("{name} must be set, since {other} is")));
    match (settings.tls_cert_file.as_str(), settings.tls_key_file.as_str()) {
        ("", "") => Ok(None),
        ("", _) => missing("tls_cert_file", "tls_key_file"),
        (_, "") => missing("tls_key_file", "tls_cert_file"),
        (certificate, key) => Ok(Some(TlsFiles { certificate: PathBuf::from(certificate), key: PathBuf::from(key) })),
    }
}

/// The members of a list with commas between them.
fn list<T, E>(name: &str, text: &str, parse: fn(&str) -> Result<T, E>) -> Result<Arc<[T]>, ConfigError>
where
    E: std::fmt::Display,
{
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(|member| parse(member).map_err(|why| refusal(name, &format!("'{member}' {why}")))).collect()
}

fn refusal(name: &str, why: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new(format!("{name} {why}"))
}
