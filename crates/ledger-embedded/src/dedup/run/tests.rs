//! Runs against a map, and damaged runs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl ReadFile for Bytes {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = self.0.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn written(ids: &BTreeMap<u128, u64>) -> Vec<u8> {
    let write = || -> io::Result<Vec<u8>> {
        let mut writer = IdRunWriter::new(Vec::new(), ids.len() as u64)?;
        for (hash, at) in ids {
            let seen = FirstSeen { position: Position::from_bits(*at), payload_hash: !*at };
            writer.push(&IdRecord { hash: IdHash(*hash), seen })?;
        }
        writer.finish()
    };
    write().unwrap_or_default()
}

fn hashes() -> impl Strategy<Value = u128> {
    // Uniform ones as in production, and clustered ones that mislead interpolation.
    prop_oneof![any::<u128>(), 0_u128..1_000, (u128::MAX - 1_000)..=u128::MAX]
}

proptest! {
    #[test]
    fn finds_exactly_what_was_written(
        ids in proptest::collection::btree_map(hashes(), any::<u64>(), 0..2_000),
        others in proptest::collection::vec(hashes(), 0..200),
    ) {
        let run = IdRun::open(Arc::new(Bytes(written(&ids)))).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for hash in ids.keys().chain(&others) {
            let found = run.find(IdHash(*hash)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(found.map(|seen| seen.position.bits()), ids.get(hash).copied());
        }
        let scanned: Vec<_> = run.scan().filter_map(Result::ok).map(|record| record.hash.0).collect();
        prop_assert_eq!(scanned, ids.keys().copied().collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_or_flipped_run_is_refused(
        ids in proptest::collection::btree_map(any::<u128>(), any::<u64>(), 1..200),
        at in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let whole = written(&ids);
        let cut = whole[..at.index(whole.len())].to_vec();
        prop_assert!(IdRun::open(Arc::new(Bytes(cut))).is_err());
        let outside_records = |at: usize| at < 32 || at >= HEADER_BYTES + ids.len() * RECORD_BYTES;
        let mut flipped = whole;
        let at = at.index(flipped.len());
        flipped[at] ^= 1_u8 << bit;
        prop_assert_eq!(IdRun::open(Arc::new(Bytes(flipped))).is_err() || !outside_records(at), true);
    }
}
