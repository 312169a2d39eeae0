//! Buckets: the parts of a ledger that several processes share, each written by one process at a time. A tenant is in one
//! bucket for ever, because ids are unique within a bucket; so the hash that decides is our own and never changes, and
//! how many there are is chosen when the ledger is made.

use crate::tenant::TenantId;

/// How many buckets a ledger has: 1 to [`BucketCount::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketCount(u16);

/// The number is not one of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ledger has 1 to {} buckets", BucketCount::MAX)]
pub struct InvalidBucketCount;

impl Default for BucketCount {
    /// As many as a few processes can divide among themselves.
    fn default() -> Self {
        Self(8)
    }
}

impl BucketCount {
    /// The most there may be: a transaction moves the rows of all that its process has.
    pub const MAX: u16 = 64;

    /// # Errors
    /// When it is none or more than [`BucketCount::MAX`].
    pub fn new(count: u16) -> Result<Self, InvalidBucketCount> {
        if (1..=Self::MAX).contains(&count) { Ok(Self(count)) } else { Err(InvalidBucketCount) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The bucket of a tenant, counted from 0: the upper half of the product of its hash, as a fraction, and the count.
    pub fn bucket_of(self, tenant: &TenantId) -> u16 {
        let scaled = u128::from(hash(tenant.as_str().as_bytes())) * u128::from(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of the count is below the count")]
        let bucket = (scaled >> 64) as u16;
        bucket
    }
}

/// FNV-1a of 64 bits, whose low bits are spread over all by the last steps of `MurmurHash3`.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(count: u16, names: impl Iterator<Item = String>) -> Vec<u16> {
        let (count, tenant) = (BucketCount::new(count), |name: String| TenantId::parse(&name));
        let count = count.unwrap_or_default();
        names.map(|name| count.bucket_of(&tenant(name).unwrap_or_else(|_| TenantId::default_tenant()))).collect()
    }

    /// What is stored lies by these.
    #[test]
    fn i2_a_tenant_stays_in_its_bucket_whatever_the_release() {
        let names = ["default", "acme", "é", "a", "b", "tenant-1000"].map(str::to_owned);
        assert_eq!(buckets(8, names.clone().into_iter()), [6, 1, 4, 4, 3, 5]);
        assert_eq!(buckets(64, names.clone().into_iter()), [53, 14, 39, 32, 27, 46]);
        assert_eq!(buckets(1, names.into_iter()), [0; 6]);
    }

    #[test]
    fn tenants_are_spread_evenly() {
        for count in [2, 8, 64] {
            let mut tenants = vec![0_u32; usize::from(count)];
            for bucket in buckets(count, (0..6_400).map(|n| format!("tenant-{n}"))) {
                tenants[usize::from(bucket)] += 1;
            }
            let mean = 6_400 / u32::from(count);
            assert!(tenants.iter().all(|in_one| (mean / 2..mean * 2).contains(in_one)), "{tenants:?}");
        }
    }

    #[test]
    fn i6_there_is_one_bucket_at_least_and_no_more_than_the_limit() {
        assert_eq!(BucketCount::new(0), Err(InvalidBucketCount));
        assert_eq!(BucketCount::new(BucketCount::MAX + 1), Err(InvalidBucketCount));
        assert_eq!(BucketCount::new(BucketCount::MAX).map(BucketCount::get), Ok(64));
    }
}
