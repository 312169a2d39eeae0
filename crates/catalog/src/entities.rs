//! The tables as SeaORM entities, and how a row becomes what the ports speak of. A row that cannot
//! is corrupt: nothing but this crate writes them.

pub(crate) mod reference_table;
pub(crate) mod tenant;
pub(crate) mod tenant_settings;
pub(crate) mod wanted_zone;
