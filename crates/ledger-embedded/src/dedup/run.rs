//! A run: the sorted ids of one segment, immutable. Format: `docs/formats/id-run.md`.
//!
//! ```text
//! header  magic "NILOIDS2" | count u64 | records u64 offset | filter u64 offset
//!         | may hold payload hashes of the first rule u8 | zeros to 64 bytes
//! record  id hash u128 | position u60, rule u4 | payload hash u64 sorted by id hash, 32 bytes each
//! filter  binary fuse descriptor, 20 bytes | fingerprints          over the high 64 bits of hashes
//! trailer crc32c u32 of header and filter | magic "NILO"
//! ```
//! Little-endian. Hashes are uniform, so a lookup interpolates: one filter probe in memory, and on a
//! hit one or two page reads.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use domain::payload::{HashRule, PayloadHash};
use domain::position::Position;
use vfs::ReadFile;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use super::{FirstSeen, IdHash};

const MAGIC: [u8; 8] = *b"NILOIDS2";
/// What a run of version 1 begins with: its payload hashes are of the first rule, whose number is 0.
const FIRST_MAGIC: [u8; 8] = *b"NILOIDS1";
/// Bits of a position; the rule of the payload hash stands above them.
const POSITION_BITS: u32 = 60;
/// Where the header says whether payload hashes of the first rule may be among the records.
const FORMER_AT: usize = 32;
const TRAILER_MAGIC: [u8; 4] = *b"NILO";
const HEADER_BYTES: usize = 64;
const RECORD_BYTES: usize = 32;
const TRAILER_BYTES: usize = 8;
/// Records read at once during a lookup: one page.
const PROBE_RECORDS: u64 = 128;
/// Bytes of one probe.
const PROBE_BYTES: usize = 128 * RECORD_BYTES;
/// Records read at once when a run is read through.
const SCAN_RECORDS: u64 = 8_192;

/// An id with its first sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRecord {
    pub(crate) hash: IdHash,
    pub(crate) seen: FirstSeen,
}

impl IdRecord {
    fn encode(&self) -> io::Result<[u8; RECORD_BYTES]> {
        let position = self.seen.position.bits();
        if position >> POSITION_BITS != 0 {
            return Err(broken("record number of more than 44 bits"));
        }
        let mut bytes = [0; RECORD_BYTES];
        bytes[..16].copy_from_slice(&self.hash.0.to_le_bytes());
        let rule = u64::from(self.seen.payload.rule.code()) << POSITION_BITS;
        bytes[16..24].copy_from_slice(&(position | rule).to_le_bytes());
        bytes[24..].copy_from_slice(&self.seen.payload.hash.to_le_bytes());
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        let packed = word(&bytes[16..]);
        let position = Position::from_bits(packed & ((1 << POSITION_BITS) - 1));
        let rule = u8::try_from(packed >> POSITION_BITS).ok().and_then(HashRule::of_code);
        let rule = rule.ok_or_else(|| broken("payload hash by an unknown rule"))?;
        let payload = PayloadHash { rule, hash: word(&bytes[24..]) };
        Ok(Self { hash: hash_of(bytes), seen: FirstSeen { position, payload } })
    }
}

/// The hash that a record begins with.
fn hash_of(record: &[u8]) -> IdHash {
    let mut hash = [0; 16];
    hash.copy_from_slice(&record[..16]);
    IdHash(u128::from_le_bytes(hash))
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

/// What the filter is asked for: the high half of a hash.
fn filter_key(hash: IdHash) -> u64 {
    (hash.0 >> 64) as u64
}

/// Writes a run from records in order of hash.
#[derive(Debug)]
pub(crate) struct IdRunWriter<W> {
    out: W,
    header: [u8; HEADER_BYTES],
    expected: u64,
    written: u64,
    keys: Vec<u64>,
}

impl<W: Write> IdRunWriter<W> {
    /// Begins a run of `count` records, of which some may have payload hashes of the first rule if `former_ids`.
    pub(crate) fn new(mut out: W, count: u64, former_ids: bool) -> io::Result<Self> {
        let filter_at = HEADER_BYTES as u64 + count * RECORD_BYTES as u64;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&count.to_le_bytes());
        header[16..24].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        header[24..32].copy_from_slice(&filter_at.to_le_bytes());
        header[FORMER_AT] = u8::from(former_ids);
        out.write_all(&header)?;
        Ok(Self { out, header, expected: count, written: 0, keys: Vec::new() })
    }

    pub(crate) fn push(&mut self, record: &IdRecord) -> io::Result<()> {
        self.written += 1;
        let key = filter_key(record.hash);
        if self.keys.last() != Some(&key) {
            self.keys.push(key);
        }
        self.out.write_all(&record.encode()?)
    }

    /// Writes filter and trailer; gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.written != self.expected {
            return Err(io::Error::other("run has another number of records than announced"));
        }
        let mut filter_bytes = Vec::new();
        if !self.keys.is_empty() {
            let filter = BinaryFuse8::try_from(&self.keys).map_err(io::Error::other)?;
            filter_bytes.resize(BinaryFuse8::DESCRIPTOR_LEN, 0);
            filter.dma_copy_descriptor_to(&mut filter_bytes);
            filter_bytes.extend_from_slice(filter.dma_fingerprints());
        }
        self.out.write_all(&filter_bytes)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.header), &filter_bytes);
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&TRAILER_MAGIC)?;
        Ok(self.out)
    }
}

/// An open run: its filter in memory, its records on disk.
#[derive(Debug)]
pub(crate) struct IdRun {
    file: Arc<dyn ReadFile>,
    count: u64,
    filter: Vec<u8>,
    former_ids: bool,
}

impl IdRun {
    /// Opens a run and checks header, filter and length.
    pub(crate) fn open(file: Arc<dyn ReadFile>) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(0, &mut header)?;
        let count = word(&header[8..]);
        let filter_at = count.checked_mul(RECORD_BYTES as u64).and_then(|len| len.checked_add(HEADER_BYTES as u64));
        let filter_at = filter_at.ok_or_else(|| broken("impossible count"))?;
        if (header[..8] != MAGIC && header[..8] != FIRST_MAGIC) || word(&header[24..]) != filter_at {
            return Err(broken("bad header"));
        }
        let rest = file.len().checked_sub(filter_at).ok_or_else(|| broken("cut short"))?;
        let mut tail = vec![0; usize::try_from(rest).map_err(io::Error::other)?];
        file.read_exact_at(filter_at, &mut tail)?;
        let end = tail.len().checked_sub(TRAILER_BYTES).ok_or_else(|| broken("cut short"))?;
        let trailer = tail.split_off(end);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header), &tail);
        if trailer[..4] != crc.to_le_bytes() || trailer[4..] != TRAILER_MAGIC {
            return Err(broken("bad checksum"));
        }
        if (count > 0) != (tail.len() > BinaryFuse8::DESCRIPTOR_LEN) {
            return Err(broken("bad filter"));
        }
        let former_ids = header[..8] == FIRST_MAGIC || header[FORMER_AT] != 0;
        Ok(Self { file, count, filter: tail, former_ids })
    }

    /// Whether an earlier release may have known a `CloudEvent` under one of the ids.
    pub(crate) fn holds_former_ids(&self) -> bool {
        self.former_ids
    }

    /// Ids in the run.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first sighting of `hash`, if it is in this run.
    pub(crate) fn find(&self, hash: IdHash) -> io::Result<Option<FirstSeen>> {
        if self.may_hold(hash) { IdLookup::new(self).search(hash) } else { Ok(None) }
    }

    /// Whether `hash` may be in this run, as its filter says from memory: never no for one that is,
    /// and yes for about one in 256 that are not.
    pub(crate) fn may_hold(&self, hash: IdHash) -> bool {
        self.filter().is_some_and(|filter| filter.contains(&filter_key(hash)))
    }

    /// Marks those of `hashes` that may be in this run, as [`Self::may_hold`] says: asked for all in one go, the
    /// processor fetches what one of them needs while it looks at another.
    pub(crate) fn mark(&self, hashes: &[IdHash], marks: &mut [bool]) {
        let Some(filter) = self.filter() else { return };
        for (hash, mark) in hashes.iter().zip(marks) {
            *mark |= filter.contains(&filter_key(*hash));
        }
    }

    /// The filter; none when the run has no ids.
    fn filter(&self) -> Option<BinaryFuse8Ref<'_>> {
        let (descriptor, fingerprints) = self.filter.split_at_checked(BinaryFuse8::DESCRIPTOR_LEN)?;
        (self.count > 0).then(|| BinaryFuse8Ref::from_dma(descriptor, fingerprints))
    }

    fn read<'b>(&self, first: u64, last: u64, page: &'b mut [u8]) -> io::Result<&'b [[u8; RECORD_BYTES]]> {
        let (offset, page) = Self::span(first, last, page)?;
        self.file.read_exact_at(offset, page)?;
        Ok(page.as_chunks().0)
    }

    /// Reads as [`IdRun::read`] does, but fails with `WouldBlock` instead of waiting for a disk.
    fn read_cached(&self, first: u64, last: u64, page: &mut [u8]) -> io::Result<()> {
        let (offset, page) = Self::span(first, last, page)?;
        if self.file.read_cached_at(offset, page)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Where records lie in the file, and the part of `page` that takes them.
    fn span(first: u64, last: u64, page: &mut [u8]) -> io::Result<(u64, &mut [u8])> {
        let len = usize::try_from(last - first).map_err(io::Error::other)? * RECORD_BYTES;
        Ok((HEADER_BYTES as u64 + first * RECORD_BYTES as u64, &mut page[..len]))
    }

    /// All records in order of hash.
    pub(crate) fn scan(&self) -> impl Iterator<Item = io::Result<IdRecord>> + '_ {
        let mut next = 0;
        let mut page = vec![0; usize::try_from(SCAN_RECORDS).unwrap_or(0) * RECORD_BYTES];
        let mut ready: std::vec::IntoIter<IdRecord> = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if let Some(record) = ready.next() {
                return Some(Ok(record));
            }
            if next == self.count {
                return None;
            }
            let last = (next + SCAN_RECORDS).min(self.count);
            let read = self.read(next, last, &mut page);
            next = last;
            let records = read.and_then(|records| {
                records.iter().map(|record| IdRecord::decode(record)).collect::<io::Result<Vec<_>>>()
            });
            match records {
                Ok(records) => {
                    ready = records.into_iter();
                    ready.next().map(Ok)
                }
                Err(why) => {
                    next = self.count;
                    Some(Err(why))
                }
            }
        })
    }
}

/// Finds ids in a run, and keeps the page that was read last: ids in ascending order read no page twice.
#[derive(Debug)]
pub(crate) struct IdLookup<'r> {
    run: &'r IdRun,
    /// Whether a page that the kernel does not hold in memory is an error instead of a wait.
    cached_only: bool,
    page: [u8; PROBE_BYTES],
    /// The records on the page.
    held: Range<u64>,
}

/// Where a hash can be: between two records whose hashes are known.
struct Bounds {
    low: u64,
    high: u64,
    low_hash: u128,
    high_hash: u128,
}

impl<'r> IdLookup<'r> {
    pub(crate) fn new(run: &'r IdRun) -> Self {
        Self { run, cached_only: false, page: [0; PROBE_BYTES], held: 0..0 }
    }

    /// A look-up that never waits for a disk: it fails with `WouldBlock` instead.
    pub(crate) fn cached_only(run: &'r IdRun) -> Self {
        Self { cached_only: true, ..Self::new(run) }
    }

    /// The first sighting of `hash`, if it is in the run.
    pub(crate) fn find(&mut self, hash: IdHash) -> io::Result<Option<FirstSeen>> {
        if self.run.may_hold(hash) { self.search(hash) } else { Ok(None) }
    }

    fn search(&mut self, hash: IdHash) -> io::Result<Option<FirstSeen>> {
        let mut bounds = Bounds { low: 0, high: self.run.count, low_hash: 0, high_hash: u128::MAX };
        if let Some(answer) = self.look(hash, &mut bounds)? {
            return Ok(answer);
        }
        while bounds.low < bounds.high {
            self.read(hash, &bounds)?;
            if let Some(answer) = self.look(hash, &mut bounds)? {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// Interpolation search by pages: reads the page around where a uniform hash would stand between
    /// the bounds.
    fn read(&mut self, hash: IdHash, bounds: &Bounds) -> io::Result<()> {
        let Bounds { low, high, low_hash, high_hash } = *bounds;
        let guess = low + interpolate(hash.0, low_hash, high_hash, high - low);
        let first = guess.saturating_sub(PROBE_RECORDS / 2).clamp(low, high - 1);
        let last = (first + PROBE_RECORDS).min(high);
        self.held = 0..0;
        if self.cached_only {
            self.run.read_cached(first, last, &mut self.page)?;
        } else {
            self.run.read(first, last, &mut self.page)?;
        }
        self.held = first..last;
        Ok(())
    }

    /// What the page in hand says of `hash`. When it can be elsewhere, `None`, and narrower bounds.
    fn look(&self, hash: IdHash, bounds: &mut Bounds) -> io::Result<Option<Option<FirstSeen>>> {
        let count = usize::try_from(self.held.end - self.held.start).unwrap_or(0);
        let records = &self.page.as_chunks::<RECORD_BYTES>().0[..count];
        match records.binary_search_by(|record| hash_of(record).cmp(&hash)) {
            _ if records.is_empty() => {}
            Ok(found) => return Ok(Some(Some(IdRecord::decode(&records[found])?.seen))),
            Err(0) => (bounds.high, bounds.high_hash) = (self.held.start, hash_of(&records[0]).0),
            Err(at) if at == records.len() => {
                (bounds.low, bounds.low_hash) = (self.held.end, hash_of(&records[at - 1]).0);
            }
            Err(_) => return Ok(Some(None)),
        }
        Ok(None)
    }
}

/// How many of `span` uniform records lie below `hash` between two bounds.
fn interpolate(hash: u128, low: u128, high: u128, span: u64) -> u64 {
    let range = (high - low) >> 64;
    let part = hash.saturating_sub(low) >> 64;
    if range == 0 {
        return span / 2;
    }
    let below = part * u128::from(span) / range;
    u64::try_from(below).unwrap_or(span).min(span - 1)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("id run has a {what}"))
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
