//! The check of a request's events before anything is asked of the ledger. Waits for nothing but the lock on the names.

use domain::admit::{Admission, AdmissionContext};
use wire::Item;

use super::encrypting::Growth;
use super::judge::{CheckedEvent, check};
use super::{Ingest, IngestError};

impl Ingest {
    /// Checks the events of a request; what is encrypted of them makes it longer. The lock on the names ends with this:
    /// looking ids up may have to wait for the disk.
    pub(super) fn check<'c>(
        &self,
        items: &'c [Item<'c>],
        context: AdmissionContext<'_>,
        growth: &mut Growth<'_>,
        new_id: impl Fn(usize) -> String,
    ) -> Result<Vec<CheckedEvent<'c>>, IngestError> {
        let tenant = self.names.of(context.scope.tenant());
        let (admission, names) = (Admission::new(context, 0), || self.names.begin_check(&tenant));
        check(items, &admission, names, new_id, |checked| growth.add(checked.encryption_bytes()))
    }
}
