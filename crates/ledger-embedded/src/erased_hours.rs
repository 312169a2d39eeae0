//! Hours of which retention has dropped raw events, and an erasure the sums of the customers that had them. Only the
//! tenant's own sums still tell of them then, so that is where whoever needs raw events has to ask: else what is missing
//! would be counted as nothing.

use std::sync::Arc;

use domain::erasure::SubjectKind;
use domain::rollup::hour_of;
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use ports::manifest::HourSumsQuery;
use ports::{ErrorKind, PortError};

use crate::core::Core;

impl Core {
    /// Refuses times of all customers of a tenant for which raw events are needed, when some may be gone with their
    /// customer's sums. Where no customer was erased, the sums of customers tell. What a floor hides that moves after this
    /// was gone before, or counts as what an erasure has left.
    pub(crate) async fn refuse_erased_hours(&self, scope: &TenantScope, ranges: &[TimeRange]) -> Result<(), PortError> {
        let (floor, erasures) = {
            let state = self.state.read();
            (state.floors.of(scope.tenant()), Arc::clone(&state.erasures))
        };
        if !erasures.of(scope.tenant()).any(|stored| stored.erasure.kind == SubjectKind::Customer) {
            return Ok(());
        }
        for range in ranges.iter().filter(|range| range.from() < floor.min(range.to())) {
            let hours = TimeRange::new(hour_of(range.from()), range.to().min(floor)).unwrap_or(*range);
            let query = HourSumsQuery { range: hours, project: None, kind: None, by_project: false, by_kind: false };
            if !self.manifest.hour_sums(scope, &query).await?.1.is_empty() {
                let message = format!("count events before {floor}: retention has dropped them");
                return Err(PortError::new(ErrorKind::Gone, message));
            }
        }
        Ok(())
    }
}
