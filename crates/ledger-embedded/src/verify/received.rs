//! What was received, recomputed from raw events. Of a tenant whose raw events retention drops, or of which an erasure has
//! removed some, nothing can be compared: which of them were received when is not known once they are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::EventView;
use domain::invariant::Invariant;
use domain::position::{Position, Seq};
use domain::quota::{Amounts, quarter_of};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use hashbrown::{HashMap, HashSet};
use ports::PortError;

use super::report::Report;
use crate::core::Core;

/// The sums of raw events.
pub(super) struct RawReceived {
    /// Events up to this record are not counted, but those of customers that were counted from raw events.
    after: Seq,
    metered: Arc<HashMap<TenantId, HashSet<String>>>,
    sums: HashMap<TenantId, BTreeMap<(Timestamp, String), Amounts>>,
}

impl RawReceived {
    pub(super) fn new(after: Seq, metered: Arc<HashMap<TenantId, HashSet<String>>>) -> Self {
        Self { after, metered, sums: HashMap::new() }
    }

    /// Adds a raw event.
    pub(super) fn event(&mut self, tenant: &TenantId, event: &EventView<'_>, at: Position, received_at: Timestamp) {
        let (quarter, amounts) = (quarter_of(received_at), Amounts::of(event));
        let sums = self.sums.entry_ref(tenant).or_default();
        if at.seq() > self.after {
            sums.entry((quarter, String::new())).or_default().add(&amounts);
        }
        let metered = self.metered.get(tenant);
        if let Some(customer) = event.customer.filter(|customer| metered.is_some_and(|all| all.contains(*customer))) {
            sums.entry((quarter, customer.to_owned())).or_default().add(&amounts);
        }
    }

    /// Compares a tenant's sums with the stored ones.
    pub(super) async fn compare(
        &mut self,
        core: &Core,
        scope: &TenantScope,
        is_erased: bool,
        report: &mut Report<'_>,
    ) -> Result<(), PortError> {
        let tenant = scope.tenant();
        let mut expected = self.sums.remove(tenant).unwrap_or_default();
        if is_erased || report.floors.of(tenant) > Timestamp::MIN {
            return Ok(());
        }
        let name =
            |start: Timestamp, customer: &str| format!("tenant {tenant} customer {customer:?} received in {start}");
        for found in core.manifest.received(scope, TimeRange::ALL).await?.1 {
            report.summary.received += 1;
            let wanted = expected.remove(&(found.start, found.customer.clone())).unwrap_or_default();
            if wanted != found.amounts {
                let (subject, found) = (name(found.start, &found.customer), format!("{:?}", found.amounts));
                report.differs(Invariant::OneTruth, subject, format!("{wanted:?}"), found);
            }
        }
        for ((start, customer), wanted) in expected {
            let subject = name(start, &customer);
            report.differs(Invariant::OneTruth, subject, format!("{wanted:?}"), "nothing".to_owned());
        }
        Ok(())
    }
}
