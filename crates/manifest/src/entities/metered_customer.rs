//! The customers whose requests are counted by receive time.

use domain::tenant::TenantId;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, tenant_id};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "metered_customer")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) customer: String,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a customer.
    pub(crate) fn new((tenant, customer): &(TenantId, String)) -> Self {
        let row = Self { tenant: tenant.as_str().to_owned(), customer: customer.clone(), seal: 0 };
        Self { seal: row.expected_seal(), ..row }
    }

    /// The customer, if it is what was written.
    pub(crate) fn into_customer(self) -> Result<(TenantId, String), Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt(format!("a counted customer of tenant {:?} is damaged", self.tenant)));
        }
        Ok((tenant_id(&self.tenant)?, self.customer))
    }

    fn expected_seal(&self) -> i64 {
        Seal::default().bytes(self.tenant.as_bytes()).bytes(self.customer.as_bytes()).value()
    }
}
