//! The names of a tenant's users in order of number, in pages of a fixed count: a flush with many
//! new users writes few rows, and of the old ones only the last page again.

use domain::tenant::TenantId;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Packed, Seal, put_text};

/// Users on a full page; all pages of a tenant but the last are full.
pub(crate) const PAGE_USERS: u32 = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_page")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) page: i64,
    pub(crate) seal: i64,
    /// Texts as [`Packed`] takes them.
    pub(crate) names: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The page that a user is on.
pub(crate) fn page_of(user: u32) -> u32 {
    user / PAGE_USERS
}

impl Model {
    /// An empty page; sealed when it is stored.
    pub(crate) fn new(tenant: &TenantId, page: u32) -> Self {
        Self { tenant: tenant.as_str().to_owned(), page: page.into(), seal: 0, names: Vec::new() }
    }

    /// Appends a name.
    pub(crate) fn push(&mut self, name: &str) {
        put_text(&mut self.names, name);
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
            let page = format!("the seal of page {} of the users of tenant {:?} is broken", self.page, self.tenant);
            return Err(Failure::corrupt(page));
        }
        Ok(self)
    }

    /// The names on it.
    pub(crate) fn names(&self) -> Result<Vec<&str>, Failure> {
        let mut packed = Packed(&self.names);
        let mut names = Vec::new();
        while !packed.is_empty() {
            names.push(packed.text()?);
        }
        Ok(names)
    }

    fn expected_seal(&self) -> i64 {
        Seal::default().bytes(self.tenant.as_bytes()).int(self.page).bytes(&self.names).value()
    }
}
