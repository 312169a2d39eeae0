//! Who was active on a day, as a Roaring bitmap of user numbers.

use domain::calendar::Day;
use domain::tenant::TenantId;
use domain::users::UserSet;
use ports::manifest::ActivityFilter;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "activity")]
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

/// The key of a row: tenant, kind and name of the filter, day.
pub(crate) type RowKey = (String, &'static str, String, i64);

/// The key of the row of what passes this filter.
pub(crate) fn key(tenant: &TenantId, filter: &ActivityFilter, day: Day) -> RowKey {
    let (kind, name) = columns(filter);
    (tenant.as_str().to_owned(), kind, name.to_owned(), day.number().into())
}

/// How a filter is stored: its kind, in the column that is named `audience`, and its name.
pub(crate) fn columns(filter: &ActivityFilter) -> (&'static str, &str) {
    match filter {
        ActivityFilter::All => ("all", ""),
        ActivityFilter::Project(name) => ("project", name),
        ActivityFilter::Type(name) => ("type", name),
    }
}

/// The filter that is stored so.
pub(crate) fn filter(kind: &str, name: &str) -> Option<ActivityFilter> {
    match kind {
        "all" => Some(ActivityFilter::All),
        "project" => Some(ActivityFilter::Project(name.to_owned())),
        "type" => Some(ActivityFilter::Type(name.to_owned())),
        _ => None,
    }
}

impl Model {
    /// The row of these users.
    pub(crate) fn new((tenant, audience, name, day): RowKey, users: &UserSet) -> Self {
        let mut row = Self { tenant, audience: audience.to_owned(), name, day, seal: 0, users: users.to_bytes() };
        row.seal = row.expected_seal();
        row
    }

    /// The day and its users, if they are what was written.
    pub(crate) fn into_users(self) -> Result<(Day, UserSet), Failure> {
        let broken =
            || Failure::corrupt(format!("the users of day {} of tenant {:?} are damaged", self.day, self.tenant));
        if self.seal != self.expected_seal() {
            return Err(broken());
        }
        let day = i32::try_from(self.day).map_err(|_| broken())?;
        Ok((Day::from_number(day), UserSet::from_bytes(&self.users).map_err(|_| broken())?))
    }

    fn expected_seal(&self) -> i64 {
        let texts = [&self.tenant, &self.audience, &self.name];
        let key = texts.into_iter().fold(Seal::default(), |seal, text| seal.bytes(text.as_bytes()));
        key.int(self.day).bytes(&self.users).value()
    }
}
