//! What is kept about customers.

use domain::access::record::{CustomerProfile, Record};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::versioned;
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer_profile")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) customer: String,
    pub(crate) name: Option<String>,
    pub(crate) attributes: String,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = CustomerProfile;

    fn new(record: &CustomerProfile, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            customer: record.customer.clone(),
            name: record.name.clone(),
            attributes: record.attributes.clone(),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        self.profile().map(Record::Customer)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn seal(&self) -> Option<i64> {
        Some(self.seal)
    }

    fn set_seal(&mut self, seal: i64) {
        self.seal = seal;
    }
}

impl Model {
    /// The profile, if it is what was written.
    pub(crate) fn into_profile(self) -> Result<CustomerProfile, Failure> {
        self.check()?;
        self.profile()
    }

    fn profile(self) -> Result<CustomerProfile, Failure> {
        Ok(CustomerProfile {
            workspace: tenant_id(&self.tenant)?,
            customer: self.customer,
            name: self.name,
            attributes: self.attributes,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        })
    }
}
