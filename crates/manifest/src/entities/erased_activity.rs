//! Who was active on a day by events that were erased, in rows like those of [`activity`].

use domain::calendar::Day;
use domain::users::UserSet;
use ports::manifest::ActivityFilter;
use sea_orm::entity::prelude::*;
use sqlite::Failure;

use super::activity::{self, RowKey};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erased_activity")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) audience: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) day: i64,
    pub(crate) seal: i64,
    pub(crate) users: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of these users.
    pub(crate) fn new(key: RowKey, users: &UserSet) -> Self {
        let activity::Model { tenant, audience, name, day, seal, users } = activity::Model::new(key, users);
        Self { tenant, audience, name, day, seal, users }
    }

    /// What it says, if it is what was written.
    pub(crate) fn into_activity(self) -> Result<(ActivityFilter, Day, UserSet), Failure> {
        let Self { tenant, audience, name, day, seal, users } = self;
        let filter = activity::filter(&audience, &name);
        let filter = filter.ok_or_else(|| Failure::corrupt(format!("erased activity is of kind {audience:?}")))?;
        let (day, users) = activity::Model { tenant, audience, name, day, seal, users }.into_users()?;
        Ok((filter, day, users))
    }
}
