//! The answer to a request that comes again with its key: the verdicts of the first time, found in what the
//! ledger has counted since nothing else is stored of them. Takes nothing: an event that was refused then stays
//! refused, even if it would be taken now.
//!
//! Events are checked as always, which finds the refusals again. But what depends on the time and on settings may
//! have changed since, so an event that the first request has left in its own record was accepted, whatever the
//! check says now.

use std::collections::HashSet;
use std::sync::Arc;

use domain::admit::{Admission, AdmissionContext, AnyName, Checked};
use domain::event::EventId;
use domain::limits::Limits;
use domain::record::ReceiptTimes;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::ledger::Sighting;
use wire::Parsed;

use super::answer::{EventResult, SentBy, Status};
use super::judge::{CheckedEvent, EarlierSightings, Verdicts, check, ids};
use super::keyed::EarlierRequest;
use super::warning_sums::WarningSums;
use super::{Ingest, IngestError};

impl Ingest {
    /// The verdicts on the events of `earlier`, whose body this is.
    pub(super) async fn verdicts_again(
        &self,
        scope: &TenantScope,
        parsed: &Parsed<'_>,
        earlier: &EarlierRequest,
        SentBy { strict, project, encryption }: SentBy<'_>,
    ) -> Result<Verdicts, IngestError> {
        let now = self.clock.now();
        let limits = self.settings.limits(scope, &self.limits);
        let of_any_time = Limits {
            time_min: Timestamp::MIN,
            future_us_max: i64::MAX,
            lateness_us_max: None,
            properties_bytes_max: usize::MAX,
            ..limits.clone()
        };
        let context = AdmissionContext {
            scope,
            limits: &limits,
            hasher: &self.payload_hasher,
            times: ReceiptTimes { received_at: now, watermark: now },
            request: None,
            strict,
            former_ids: self.holds_former_ids(),
            project,
            encryption,
        };
        // What was taken was taken, however many of its values would be encrypted now.
        let hashing = encryption.map(|encryption| Arc::new(encryption.without_paths()));
        let of_any_time =
            AdmissionContext { limits: &of_any_time, strict: false, encryption: hashing.as_ref(), ..context };
        let (admission, lenient) = (Admission::new(context, 0), Admission::new(of_any_time, 0));
        let new_id = |index: usize| self.request_hasher.event_id(&earlier.name, index);
        let tenant = self.names.of(scope.tenant());
        // Of what is encrypted the hashes alone are compared.
        let names = || self.names.begin_check(&tenant);
        let checks = check(&parsed.items, &admission, names, new_id, |checked| {
            checked.forget_encrypted();
            Ok(())
        })?;
        let read = checks.iter().zip(&parsed.items).enumerate().map(|(index, (checked, item))| match (checked, item) {
            (Ok(checked), _) => Some(checked.clone()),
            (Err(_), Ok(candidate)) => lenient.check(candidate, &mut AnyName, || new_id(index)).ok(),
            (Err(_), Err(_)) => None,
        });
        let read: Vec<Option<Checked<'_>>> = read.collect();
        let sightings = self.seen_exactly(scope, &ids(read.iter().flatten(), context.former_ids)).await?;
        let sightings = EarlierSightings::of(read.iter().flatten().count(), sightings);
        self.metrics.request_replayed();
        Ok(tell(&checks, &read, sightings, &earlier.sighting))
    }
}

/// The verdict on each event: `read` are those that can be read at all, and `sightings` what is known of these.
fn tell(
    checks: &[CheckedEvent<'_>],
    read: &[Option<Checked<'_>>],
    mut sightings: EarlierSightings,
    request: &Sighting,
) -> Verdicts {
    let mut warnings = WarningSums::default();
    let mut accepted: HashSet<EventId<'_>> = HashSet::with_capacity(read.len());
    let mut results = Vec::with_capacity(checks.len());
    for (index, (checked, read)) in checks.iter().zip(read).enumerate() {
        let known = read.as_ref().and_then(|event| Some((event, sightings.next_of(event)?)));
        let mut result = match known {
            None => EventResult::not_taken(checked),
            Some((event, first)) if first.payload.rule.is_erased() => EventResult::erased(event.shown_id()),
            Some((event, first)) => {
                let same = first.payload == event.payload_hash_by(first.payload.rule);
                let own = first.seq == request.seq;
                if own && same && accepted.insert(event.event_id()) {
                    EventResult::accepted(event.shown_id())
                } else if same || (checked.is_ok() && (!own || accepted.contains(&event.event_id()))) {
                    EventResult::duplicate(event.shown_id(), !same)
                } else {
                    EventResult::not_taken(checked)
                }
            }
        };
        if let Some(event) = read.as_ref().filter(|_| result.status != Status::Rejected) {
            result.warnings = event.warnings().iter().map(|warning| warning.code).collect();
            warnings.add(index, event.warnings());
        }
        results.push(result);
    }
    Verdicts::new(results, warnings.into_sums())
}
