//! What a request may take to have its events encrypted: memory, room in the journal, and no thread that others wait for.

use tokio::runtime::{Handle, RuntimeFlavor};

use super::answer::IngestError;
use crate::shares::Share;

/// By how many bytes the events of a request become longer before the rest of them is encrypted off the async threads.
/// That is some thousand values, which take a millisecond or two; going off a thread costs more than most requests take.
const LONG_BYTES: usize = 64 << 10;

/// How much longer a request becomes by what is encrypted of it. Its decoded body counts as if encrypted values stood in
/// it, so a record is no longer than one that encrypts nothing and fits wherever that does.
#[derive(Debug)]
pub(super) struct Growth<'g> {
    bytes: usize,
    bytes_max: usize,
    reservation: &'g mut Share,
}

impl<'g> Growth<'g> {
    /// Begins with a decoded body, which is reserved.
    pub(super) fn of(body: &[u8], bytes_max: usize, reservation: &'g mut Share) -> Self {
        Self { bytes: body.len(), bytes_max, reservation }
    }

    /// Becomes longer.
    ///
    /// # Errors
    /// [`IngestError::TooLarge`] above the most, [`IngestError::Overloaded`] when there is no memory left for it.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), IngestError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if bytes > 0 && self.bytes > self.bytes_max {
            let message = format!(
                "with its values encrypted the decoded body is larger than {} bytes: send fewer events at once",
                self.bytes_max
            );
            return Err(IngestError::TooLarge { message });
        }
        if self.reservation.grow(bytes as u64) { Ok(()) } else { Err(IngestError::Overloaded) }
    }

    /// How long it is.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Does `work` on each item in order, which returns by how many bytes it became longer. Long work is gone on with where no
/// async thread waits for it, if others run on the same.
///
/// # Errors
/// That of `work`, at which the rest is not looked at.
pub(super) fn each<'i, T>(
    items: &'i [T],
    mut work: impl FnMut(usize, &'i T) -> Result<usize, IngestError>,
) -> Result<(), IngestError> {
    let has_others = || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    let mut bytes = 0_usize;
    for (index, item) in items.iter().enumerate() {
        bytes = bytes.saturating_add(work(index, item)?);
        if bytes >= LONG_BYTES && has_others() {
            let mut rest = items.iter().enumerate().skip(index + 1);
            return tokio::task::block_in_place(|| rest.try_for_each(|(index, item)| work(index, item).map(drop)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::tenant::TenantId;

    use super::*;
    use crate::shares::Shares;

    /// Found in November 2026: what encryption adds was counted nowhere.
    #[test]
    fn i6_what_encryption_adds_is_memory_of_the_request_and_bounded() {
        let shares = Shares::new(100);
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        let mut share = shares.take(Some(&a), 30).unwrap();
        let mut growth = Growth::of(&[0; 30], 80, &mut share);
        growth.add(40).unwrap();
        assert!(shares.take(Some(&b), 31).is_none(), "70 of 100 are taken");
        let held = shares.take(Some(&b), 25).unwrap();
        assert_eq!(growth.add(6), Err(IngestError::Overloaded));
        drop(held);
        assert!(matches!(growth.add(5), Err(IngestError::TooLarge { message }) if message.contains("80 bytes")));
        assert_eq!(growth.add(0), Ok(()), "what encrypts nothing is as long as it came");
        drop(share);
        assert!(shares.take(Some(&b), 100).is_some());
    }
}
