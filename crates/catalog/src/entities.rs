//! The tables as SeaORM entities, and how a row becomes what the ports speak of. A row that cannot
//! is corrupt: nothing but this crate writes them.

pub(crate) mod row;
pub(crate) mod columns;
pub(crate) mod reference_table;
pub(crate) mod tenant;
pub(crate) mod tenant_settings;
pub(crate) mod wanted_zone;
pub(crate) mod quota;
pub(crate) mod quota_calendar;
pub(crate) mod project;
pub(crate) mod app_user;
pub(crate) mod membership;
pub(crate) mod api_key;
pub(crate) mod signing_secret;
pub(crate) mod invitation;
pub(crate) mod password_reset;
pub(crate) mod session;
pub(crate) mod token_key;
pub(crate) mod encryption_rules;
pub(crate) mod data_key;
pub(crate) mod creation;
pub(crate) mod customer_profile;
pub(crate) mod register_revision;
pub(crate) mod audit_entry;
pub(crate) mod audit_detail;
pub(crate) mod audit_head;
