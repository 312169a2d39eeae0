//! Checks the settings of who may do what: the files of secrets, the cookie, and an issuer of tokens.

use std::net::SocketAddr;
use std::path::PathBuf;

use access::tokens::TokenNames;
use api::{SessionCookie, WebOptions};

use super::checked::{AccessConfig, ExternalIssuerFile, MetricsAccess, Profile};
use super::error::ConfigError;
use super::settings::Settings;

/// What access tokens of this server name as issuer when there is no `public_url`, and always as audience.
const TOKEN_NAME: &str = "nilometer";

/// What the settings say of it.
pub(super) fn access(
    profile: Profile,
    listen: &[SocketAddr],
    web: &WebOptions,
    settings: &Settings,
) -> Result<AccessConfig, ConfigError> {
    let public = web.public_url.as_ref().map(ToString::to_string);
    let is_https = !settings.tls_cert_file.is_empty() || public.as_ref().is_some_and(|url| url.starts_with("https:"));
    // Behind a proxy the browser does not know that the server listens on this machine alone.
    let is_loopback = listen.iter().all(|address| address.ip().is_loopback());
    let is_own_machine = is_loopback && profile != Profile::Prod && web.trusted_proxies.is_empty();
    let metrics_token = path(&settings.metrics_token_file);
    Ok(AccessConfig {
        master_key_file: path(&settings.master_key_file),
        cookie: if is_own_machine && !is_https { SessionCookie::Loopback } else { SessionCookie::Secure },
        metrics: match profile {
            Profile::Dev | Profile::Test if metrics_token.is_none() && is_loopback => MetricsAccess::Everyone,
            _ => MetricsAccess::Token(metrics_token),
        },
        names: TokenNames { issuer: public.unwrap_or_else(|| TOKEN_NAME.to_owned()), audience: TOKEN_NAME.to_owned() },
        external: external(settings)?,
    })
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

/// An issuer needs its keys and an audience: a token for somebody else must not open anything here.
fn external(settings: &Settings) -> Result<Option<ExternalIssuerFile>, ConfigError> {
    let Settings { jwt_issuer, jwt_audience, jwt_jwks_file, jwt_workspace_claim, jwt_role_claim, .. } = settings;
    if jwt_issuer.is_empty() && jwt_jwks_file.is_empty() && jwt_audience.is_empty() {
        return Ok(None);
    }
    let needed = [("jwt_issuer", jwt_issuer), ("jwt_audience", jwt_audience), ("jwt_jwks_file", jwt_jwks_file)];
    for (name, value) in
        needed.into_iter().chain([("jwt_workspace_claim", jwt_workspace_claim), ("jwt_role_claim", jwt_role_claim)])
    {
        if value.is_empty() {
            return Err(ConfigError::new(format!(
                "{name} must be set, since tokens of another issuer are to be taken"
            )));
        }
    }
    Ok(Some(ExternalIssuerFile {
        issuer: jwt_issuer.clone(),
        audience: jwt_audience.clone(),
        jwks_file: jwt_jwks_file.into(),
        workspace_claim: jwt_workspace_claim.clone(),
        role_claim: jwt_role_claim.clone(),
    }))
}
