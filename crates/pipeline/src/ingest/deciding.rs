//! The decision on the events of a request, held to erasures and quotas. What they refuse is refused only when it is
//! certain that its id is not known already: an id may be on its way when it comes again, or be missed by a look-up in
//! haste. Of what an erasure refuses nothing is on its way: it is asked for while all that came before is applied.

use domain::admit::{Admission, AdmissionContext};
use domain::limits::QUOTA_ATTEMPTS_MAX;

use super::judge::{CheckedEvent, Decided, Decision, EarlierSightings, decide, ids, refused_subjects};
use super::{Ingest, IngestError};

impl Ingest {
    /// Decides on every event of `checks`; their record will take about `capacity` bytes.
    pub(super) async fn decide(
        &self,
        checks: &[CheckedEvent<'_>],
        context: AdmissionContext<'_>,
        capacity: usize,
    ) -> Result<Decided, IngestError> {
        let scope = context.scope;
        let ids = ids(checks.iter().flatten(), context.former_ids);
        for attempt in 0..QUOTA_ATTEMPTS_MAX {
            // What is known is asked behind the gate of the quotas: after a start that is after the replay.
            let pass = self.quotas.enter(scope, context.times.received_at).await?;
            let sightings = match attempt {
                0 => self.ledger.seen(scope, &ids).await,
                _ => self.seen_exactly(scope, &ids).await?,
            };
            // Asked behind the gate too: an erasure waits until all that it does not refuse has left it.
            let refused = refused_subjects(checks, &*self.ledger, scope);
            let workspace = pass.workspace();
            let mut decision = decide(checks, &refused, sightings, Admission::new(context, capacity), pass.begin());
            // Before anything is waited for: a request that ends there gives back what it has reserved.
            let quota = pass.reserved(&mut decision.taken);
            if decision.taken.awaited().is_empty() && !self.counts_any(&decision, &context).await? {
                decision.count(&self.metrics);
                let Decision { verdicts, admitted, taken, .. } = decision;
                taken.tell(scope);
                return Ok(Decided { verdicts, admitted, quota });
            }
            drop(quota);
            self.quotas.wait_arrived(&workspace, decision.taken.awaited()).await?;
        }
        Err(IngestError::Overloaded)
    }

    /// Whether any event that was refused is known already.
    async fn counts_any(&self, decision: &Decision<'_>, context: &AdmissionContext<'_>) -> Result<bool, IngestError> {
        let refused = || decision.refused.iter().copied();
        if decision.refused.is_empty() {
            return Ok(false);
        }
        let sightings = self.seen_exactly(context.scope, &ids(refused(), context.former_ids)).await?;
        let mut sightings = EarlierSightings::of(decision.refused.len(), sightings);
        // Each is asked for, since of each one sighting is used up.
        Ok(refused().filter(|checked| sightings.next_of(checked).is_some()).count() > 0)
    }
}
