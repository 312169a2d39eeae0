//! A reference table: what is known of users (plan, region, anything), replaced whole or changed in
//! part, with a version time and a generation. Decides which change is stale; stores nothing.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// What is known of one user: attribute → value, a scalar written as text.
pub type Attributes = BTreeMap<String, String>;

/// One tenant's table of users, as of one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferenceTable {
    /// 1 for the first table, one more with every change; 0 when there never was one.
    pub generation: u64,
    /// The version time of the last change.
    pub ts: Timestamp,
    /// User → what is known of it.
    pub users: BTreeMap<String, Attributes>,
}
