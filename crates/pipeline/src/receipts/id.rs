//! The text of a receipt: 32 hexadecimal digits that hold a record's number, bound to its tenant.
//!
//! ```text
//! id    = hex(mac) hex(seq xor mask)       16 digits each
//! mac   = SipHash-2-4(key, 'm' tenant 0xff seq)
//! mask  = SipHash-2-4(key, 'n' mac)
//! ```
//! The mac makes a receipt impossible to guess and useless to another tenant (I5); the mask keeps
//! the number, from which one tenant could tell how busy the others are, from being read.

use std::hash::Hasher;

use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq;

/// Hexadecimal digits of one half.
const HALF_DIGITS: usize = 16;

/// Writes and reads the text of receipts, with the secret key of the data folder.
#[derive(Clone)]
pub(crate) struct ReceiptCodec {
    key: [u8; 16],
}

impl std::fmt::Debug for ReceiptCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptCodec(secret)")
    }
}

impl ReceiptCodec {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The receipt of record `seq` for the tenant whose events it holds.
    pub(crate) fn write(&self, scope: &TenantScope, seq: Seq) -> String {
        let mac = self.mac(scope.tenant(), seq);
        format!("{mac:016x}{:016x}", seq.0 ^ self.mask(mac))
    }

    /// The record that a receipt names; `None` when this tenant was never given it.
    pub(crate) fn read(&self, scope: &TenantScope, id: &str) -> Option<Seq> {
        let (mac, masked) = (half(id.get(..HALF_DIGITS)?)?, half(id.get(HALF_DIGITS..)?)?);
        let seq = Seq(masked ^ self.mask(mac));
        bool::from(mac.ct_eq(&self.mac(scope.tenant(), seq))).then_some(seq)
    }

    fn mac(&self, tenant: &TenantId, seq: Seq) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(b"m");
        hasher.write(tenant.as_str().as_bytes());
        hasher.write(&[0xff]);
        hasher.write(&seq.0.to_le_bytes());
        hasher.finish()
    }

    fn mask(&self, mac: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(b"n");
        hasher.write(&mac.to_le_bytes());
        hasher.finish()
    }
}

/// One half, in the one form that [`ReceiptCodec::write`] gives it.
fn half(digits: &str) -> Option<u64> {
    let canonical = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    (digits.len() == HALF_DIGITS && digits.bytes().all(canonical)).then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(tenant: &str) -> TenantScope {
        TenantScope::for_operator(TenantId::parse(tenant).unwrap_or_else(|_| TenantId::default_tenant()))
    }

    proptest! {
        #[test]
        fn a_receipt_reads_back_for_its_tenant_and_no_other(seq in any::<u64>(), key in any::<[u8; 16]>()) {
            let key = ReceiptCodec::new(key);
            let id = key.write(&scope("one"), Seq(seq));
            prop_assert_eq!(key.read(&scope("one"), &id), Some(Seq(seq)));
            prop_assert_eq!(key.read(&scope("two"), &id), None);
        }

        #[test]
        fn any_change_of_a_receipt_is_noticed(seq in any::<u64>(), at in 0_usize..32, with in "[0-9a-zA-F +-]") {
            let key = ReceiptCodec::new([7; 16]);
            let id = key.write(&scope("one"), Seq(seq));
            let mut changed = id.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != id);
            prop_assert_eq!(key.read(&scope("one"), &changed), None);
        }

        #[test]
        fn garbage_is_no_receipt(text in "\\PC{0,40}") {
            prop_assert_eq!(ReceiptCodec::new([7; 16]).read(&scope("one"), &text), None);
        }
    }

    #[test]
    fn neighbouring_records_have_unlike_receipts() {
        let key = ReceiptCodec::new([7; 16]);
        let (one, two) = (key.write(&scope("one"), Seq(1)), key.write(&scope("one"), Seq(2)));
        assert_ne!(one[HALF_DIGITS..HALF_DIGITS + 12], two[HALF_DIGITS..HALF_DIGITS + 12]);
    }
}
