//! Runs against a map, and damaged runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

#[derive(Debug)]
struct Bytes(Vec<u8>, AtomicUsize);

impl Bytes {
    fn new(bytes: Vec<u8>) -> Self {
        Self(bytes, AtomicUsize::new(0))
    }

    fn reads(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl ReadFile for Bytes {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
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
        let mut writer = IdRunWriter::new(Vec::new(), ids.len() as u64, false)?;
        for (hash, at) in ids {
            let seen = FirstSeen {
                position: Position::from_bits(*at),
                payload: PayloadHash { rule: HashRule::Written, hash: !*at },
            };
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
        ids in proptest::collection::btree_map(hashes(), 0_u64..1 << POSITION_BITS, 0..2_000),
        others in proptest::collection::vec(hashes(), 0..200),
    ) {
        let run = IdRun::open(Arc::new(Bytes::new(written(&ids)))).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for hash in ids.keys().chain(&others) {
            let found = run.find(IdHash(*hash)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(found.map(|seen| seen.position.bits()), ids.get(hash).copied());
        }
        let mut lookup = IdLookup::new(&run);
        let mut all: Vec<u128> = ids.keys().chain(&others).copied().collect();
        for sorted in [false, true] {
            for hash in &all {
                let found = lookup.find(IdHash(*hash)).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!(found.map(|seen| seen.position.bits()), ids.get(hash).copied(), "sorted: {}", sorted);
            }
            all.sort_unstable();
        }
        let scanned: Vec<_> = run.scan().filter_map(Result::ok).map(|record| record.hash.0).collect();
        prop_assert_eq!(scanned, ids.keys().copied().collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_or_flipped_run_is_refused(
        ids in proptest::collection::btree_map(any::<u128>(), 0_u64..1 << POSITION_BITS, 1..200),
        at in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let whole = written(&ids);
        let cut = whole[..at.index(whole.len())].to_vec();
        prop_assert!(IdRun::open(Arc::new(Bytes::new(cut))).is_err());
        let outside_records = |at: usize| at < 32 || at >= HEADER_BYTES + ids.len() * RECORD_BYTES;
        let mut flipped = whole;
        let at = at.index(flipped.len());
        flipped[at] ^= 1_u8 << bit;
        prop_assert_eq!(IdRun::open(Arc::new(Bytes::new(flipped))).is_err() || !outside_records(at), true);
    }
}

/// Uniform hashes, as those of ids are.
fn uniform(count: u64) -> BTreeMap<u128, u64> {
    let mix = |n: u64| u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(n);
    (1..=count).map(|n| (mix(n), n)).collect()
}

#[test]
fn known_ids_in_order_read_each_page_about_once() -> io::Result<()> {
    let ids = uniform(10_000);
    let file = Arc::new(Bytes::new(written(&ids)));
    let run = IdRun::open(file.clone())?;
    let opened = file.reads();
    let mut lookup = IdLookup::new(&run);
    for hash in ids.keys() {
        assert!(lookup.find(IdHash(*hash))?.is_some());
    }
    let (reads, pages) = (file.reads() - opened, ids.len() / 128 + 1);
    assert!(reads <= 2 * pages, "{reads} reads of {pages} pages for {} ids", ids.len());
    Ok(())
}

fn record(hash: u128, position: u64) -> IdRecord {
    let payload = PayloadHash { rule: HashRule::Written, hash: 5 };
    IdRecord { hash: IdHash(hash), seen: FirstSeen { position: Position::from_bits(position), payload } }
}

/// By what rule a repetition is to be compared is not guessed.
#[test]
fn i2_a_hash_by_an_unknown_rule_is_refused() -> io::Result<()> {
    let mut bytes = written(&[(7, 1), (9, 2)].into());
    bytes[HEADER_BYTES + RECORD_BYTES + 23] |= 0xf0;
    let run = IdRun::open(Arc::new(Bytes::new(bytes)))?;
    assert_eq!(
        run.find(IdHash(7))?,
        Some(FirstSeen { payload: PayloadHash { hash: !1, ..record(7, 1).seen.payload }, ..record(7, 1).seen })
    );
    assert!(run.find(IdHash(9)).is_err_and(|why| why.to_string().contains("unknown rule")));
    assert!(run.scan().any(|record| record.is_err()), "it is not merged either");
    Ok(())
}

#[test]
fn a_record_number_that_has_no_room_is_refused() -> io::Result<()> {
    let mut writer = IdRunWriter::new(Vec::new(), 2, false)?;
    writer.push(&record(7, (1 << POSITION_BITS) - 1))?;
    assert!(writer.push(&record(9, 1 << POSITION_BITS)).is_err());
    Ok(())
}
