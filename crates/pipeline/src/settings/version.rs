//! The version of a tenant's settings. It is made of what they are, and not counted: the zone and the rest are stored
//! apart, a zone that cannot be applied is taken back, and all of that has to be the same after a restart. Settings that
//! were changed and changed back have the version of before, and are what its reader believes that they are.

use std::hash::Hasher;

use domain::calendar::WeekStart;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::catalog::TenantSettings;
use siphasher::sip::SipHasher13;

use super::{Settings, SettingsError};

/// Every program that reads JSON reads numbers of so many bits as they are.
const VERSION_BITS: u32 = 52;

impl Settings {
    /// The version of a tenant's settings, the zone that it wants among them: another one for other settings.
    pub fn version(&self, scope: &TenantScope) -> u64 {
        // First, since a zone is applied before it is no longer pending.
        let pending = self.pending_zone(scope);
        let zone = pending.unwrap_or_else(|| self.active_users.applied_zone(scope).zone);
        version_of(zone.name(), &self.get(scope).settings)
    }

    /// Refuses a change of another version.
    pub(super) fn check_version(&self, scope: &TenantScope, expected: Option<u64>) -> Result<(), SettingsError> {
        let is = self.version(scope);
        if expected.is_some_and(|expected| expected != is) { Err(SettingsError::OtherVersion(is)) } else { Ok(()) }
    }
}

fn version_of(zone: &str, settings: &TenantSettings) -> u64 {
    let TenantSettings { week_start, max_lateness_sec, min_time, retention_days } = settings;
    let mut hasher = SipHasher13::new();
    hasher.write(zone.as_bytes());
    hasher.write_u8(0xff);
    hasher.write_u8(match week_start {
        WeekStart::Monday => 0,
        WeekStart::Sunday => 1,
        WeekStart::Saturday => 2,
    });
    let numbers = [max_lateness_sec.map(i64::from), min_time.map(Timestamp::micros), retention_days.map(i64::from)];
    for number in numbers {
        hasher.write_u8(u8::from(number.is_some()));
        hasher.write_i64(number.unwrap_or(0));
    }
    hasher.finish() >> (u64::BITS - VERSION_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_setting_makes_another_version_and_the_same_ones_the_same() {
        let none = TenantSettings::default();
        let others = [
            none,
            TenantSettings { week_start: WeekStart::Sunday, ..none },
            TenantSettings { week_start: WeekStart::Saturday, ..none },
            TenantSettings { max_lateness_sec: Some(0), ..none },
            TenantSettings { max_lateness_sec: Some(1), ..none },
            TenantSettings { min_time: Some(Timestamp::from_micros(0)), ..none },
            TenantSettings { min_time: Some(Timestamp::from_micros(1)), ..none },
            TenantSettings { retention_days: Some(0), ..none },
            TenantSettings { retention_days: Some(1), ..none },
        ];
        let zones = ["UTC", "Asia/Tokyo"];
        let versions = || zones.into_iter().flat_map(|zone| others.map(|settings| version_of(zone, &settings)));
        assert_eq!(versions().collect::<HashSet<_>>().len(), zones.len() * others.len());
        assert!(versions().all(|version| version < 1 << VERSION_BITS));
        assert!(versions().eq(versions()));
        assert_eq!(version_of("UTC", &none), 489_055_860_060_991, "kept by clients over an upgrade");
    }
}
