//! By what a tenant's users are counted: how many are numbered, and in which zone their days are.

use domain::calendar::Zone;
use domain::tenant::TenantId;
use sea_orm::entity::prelude::*;

use super::tenant_id;
use crate::failure::Failure;
use crate::seal::Seal;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_users")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) users: i64,
    pub(crate) zone: Option<String>,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a tenant without users and without a zone of its own; sealed when it is stored.
    pub(crate) fn new(tenant: &TenantId) -> Self {
        Self { tenant: tenant.as_str().to_owned(), users: 0, zone: None, seal: 0 }
    }

    /// This row with a seal that fits it.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        self.seal = self.expected_seal();
        self
    }

    /// This row, if it is what was written.
    pub(crate) fn verified(self) -> Result<Self, Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt(format!("the seal of the users of tenant {:?} is broken", self.tenant)));
        }
        Ok(self)
    }

    pub(crate) fn tenant(&self) -> Result<TenantId, Failure> {
        tenant_id(&self.tenant)
    }

    /// How many users are numbered, from 0 on.
    pub(crate) fn count(&self) -> Result<u32, Failure> {
        u32::try_from(self.users).map_err(|_| Failure::corrupt(format!("a tenant has {} users", self.users)))
    }

    /// The zone that the tenant has set.
    pub(crate) fn zone(&self) -> Result<Option<Zone>, Failure> {
        let unknown = |name| Failure::unacceptable(format!("this program knows no time zone {name:?}"));
        self.zone.as_ref().map(|name| Zone::parse(name).map_err(|_| unknown(name))).transpose()
    }

    fn expected_seal(&self) -> i64 {
        let own = Seal::default().bytes(self.tenant.as_bytes()).int(self.users).int(i64::from(self.zone.is_some()));
        own.bytes(self.zone.as_deref().unwrap_or_default().as_bytes()).value()
    }
}
