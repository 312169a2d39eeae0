//! The limits on what comes in: by profile, unless they are set.

use std::fmt::Display;

use domain::rate::{InvalidRate, Rate, ServerRates};

use super::checked::Profile;
use super::error::ConfigError;
use super::settings::{AUTO, Settings};

/// Requests a minute of one address without a valid credential, in profile `prod`.
const ADDRESS_REQUESTS: u64 = 500;
/// Requests a second with one credential, in profile `prod`.
const KEY_REQUESTS: u64 = 1_000;
/// Events a second of one workspace, in profile `prod`.
const WORKSPACE_EVENTS: u64 = 100_000;

/// The limits that `settings` stand for.
pub(super) fn rates(profile: Profile, settings: &Settings) -> Result<ServerRates, ConfigError> {
    let limit = |name: &str, text: &str, in_prod: Option<u64>| {
        let refused = |why: &dyn Display| ConfigError::new(format!("{name} {why}, auto or none; is '{text}'"));
        let number = match (text, profile) {
            (AUTO, Profile::Prod) => in_prod,
            ("none", _) | (AUTO, Profile::Dev | Profile::Test) => None,
            (number, _) => Some(number.parse().map_err(|_| refused(&InvalidRate))?),
        };
        number.map(Rate::new).transpose().map_err(|why| refused(&why))
    };
    let s = settings;
    Ok(ServerRates {
        address_requests_per_min: limit(
            "address_requests_per_min",
            &s.address_requests_per_min,
            Some(ADDRESS_REQUESTS),
        )?,
        key_requests: limit("key_requests_per_sec", &s.key_requests_per_sec, Some(KEY_REQUESTS))?,
        workspace_requests: limit("workspace_requests_per_sec", &s.workspace_requests_per_sec, None)?,
        workspace_events: limit("workspace_events_per_sec", &s.workspace_events_per_sec, Some(WORKSPACE_EVENTS))?,
    })
}
