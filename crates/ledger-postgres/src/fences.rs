//! The table of rights: whose rows each table of the ledger holds, and what the logins of the application and of the
//! worker may do with it. A table that a step adds gets one line here.

use postgres::{Fence, Fences, Table};

/// Where everything is.
pub(crate) const SCHEMA: &str = "nilometer_ledger";

const NOTHING: &[&str] = &[];
const READ: &[&str] = &["SELECT"];
/// Rows that are there from the beginning.
const CHANGED: &[&str] = &["SELECT", "UPDATE"];
/// Rows that are added and changed.
const KEPT: &[&str] = &["SELECT", "INSERT", "UPDATE"];
/// Rows that end as well: by retention, by an erasure, or because they are folded into others.
const ENDING: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

const OF_TENANT: Fence = Fence::Numbered("tenant_no");

const fn whole(
    name: &'static str,
    fence: Fence,
    app: &'static [&'static str],
    worker: &'static [&'static str],
) -> Table {
    Table { name, fence, is_partitioned: false, app, worker }
}

const fn parted(name: &'static str, app: &'static [&'static str], worker: &'static [&'static str]) -> Table {
    Table { name, fence: OF_TENANT, is_partitioned: true, app, worker }
}

/// All tables.
const TABLES: [Table; 27] = [
    whole("schema_step", Fence::Open, READ, READ),
    whole("ledger", Fence::Open, READ, KEPT),
    whole("tenants", Fence::Tenant("tenant_id"), READ, KEPT),
    whole("buckets", Fence::Open, READ, CHANGED),
    whole("leases", Fence::Open, NOTHING, ENDING),
    whole("nodes", Fence::Open, READ, ENDING),
    parted("event_ids", READ, ENDING),
    parted("usage_events", READ, ENDING),
    parted("aggregation_windows", READ, ENDING),
    whole("customers", OF_TENANT, READ, ENDING),
    parted("rollups", READ, ENDING),
    whole("received", OF_TENANT, READ, ENDING),
    whole("metered_customers", OF_TENANT, READ, ENDING),
    whole("names", OF_TENANT, READ, ENDING),
    whole("users", OF_TENANT, READ, ENDING),
    whole("user_days", OF_TENANT, READ, ENDING),
    whole("user_day_deltas", OF_TENANT, READ, ENDING),
    parted("receipts", READ, ENDING),
    whole("dead_letters", OF_TENANT, READ, ENDING),
    whole("attempts", Fence::Open, NOTHING, ENDING),
    whole("outbox", OF_TENANT, NOTHING, ENDING),
    whole("erasures", OF_TENANT, READ, KEPT),
    whole("residuals", OF_TENANT, READ, ENDING),
    whole("erased_user_days", OF_TENANT, READ, ENDING),
    whole("moves", Fence::Open, NOTHING, KEPT),
    whole("unscrubbed", Fence::Open, NOTHING, KEPT),
    whole("scrub", Fence::Open, NOTHING, READ),
];

/// The whole schema as the logins are to find it.
pub(crate) fn fences() -> Fences {
    Fences { schema: SCHEMA, tables: TABLES.to_vec(), functions: Vec::new(), worker_bypasses: true }
}
