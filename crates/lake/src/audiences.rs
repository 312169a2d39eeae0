//! Who was active when.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::{Day, Zone};
use domain::tenant::TenantScope;
use domain::users::UserSet;
use ports::audiences::{AudienceQuery, Audiences};
use ports::{ErrorKind, PortError};

use crate::lake::Lake;

#[async_trait]
impl Audiences for Lake {
    async fn active_users(&self, _: &TenantScope, _: &AudienceQuery) -> Result<BTreeMap<Day, UserSet>, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }

    fn zone(&self, _: &TenantScope) -> Zone {
        Zone::utc()
    }

    async fn set_zone(&self, _: &TenantScope, _: &Zone) -> Result<(), PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }
}
