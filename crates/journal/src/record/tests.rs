//! Property tests of the frame: prefixes, flipped bits, arbitrary bytes.

use proptest::prelude::*;

use super::*;

/// Number, index in its group, payload.
type Decoded = (Seq, u32, Vec<u8>);

fn id() -> SegmentId {
    SegmentId::random()
}

/// Decodes records one behind the other until the first flaw.
fn decode_all(segment: SegmentId, mut bytes: &[u8]) -> (Vec<Decoded>, Option<Flaw>) {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let record = Frame::parse(bytes).and_then(|frame| {
            let payload = bytes.get(frame.payload()).ok_or(Flaw::CutShort)?;
            frame.check(segment, payload)?;
            Ok((frame, payload))
        });
        match record {
            Ok((frame, payload)) => {
                records.push((frame.seq, frame.index, payload.to_vec()));
                bytes = &bytes[frame.payload().end..];
            }
            Err(flaw) => return (records, Some(flaw)),
        }
    }
    (records, None)
}

fn records() -> impl Strategy<Value = Vec<Decoded>> {
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    prop::collection::vec((any::<u64>().prop_map(Seq), any::<u32>(), payload), 0..6)
}

fn encode_all(segment: SegmentId, records: &[Decoded]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for (seq, index, payload) in records {
        encode(&mut bytes, segment, *seq, *index, payload);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

proptest! {
    #[test]
    fn any_prefix_of_the_bytes_is_a_prefix_of_the_records(records in records()) {
        let segment = id();
        let (bytes, ends) = encode_all(segment, &records);
        for len in 0..=bytes.len() {
            let (found, flaw) = decode_all(segment, &bytes[..len]);
            let whole = ends.iter().filter(|end| **end <= len).count();
            prop_assert_eq!(&found, &records[..whole]);
            prop_assert_eq!(flaw.is_none(), len == 0 || ends.contains(&len));
        }
    }

    #[test]
    fn any_flipped_bit_ends_reading_before_its_record(records in records(), at: prop::sample::Index) {
        let segment = id();
        let (mut bytes, ends) = encode_all(segment, &records);
        prop_assume!(!bytes.is_empty());
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, flaw) = decode_all(segment, &bytes);
        let whole = ends.iter().filter(|end| **end <= bit / 8).count();
        prop_assert_eq!(&found, &records[..whole]);
        prop_assert!(flaw.is_some());
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), fake: bool) {
        let mut bytes = bytes;
        if fake && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&MAGIC);
        }
        let (found, _) = decode_all(id(), &bytes);
        prop_assert!(found.is_empty(), "I4: a checksum by chance: {:?}", found);
    }
}

#[test]
fn zeros_are_no_record() {
    for len in [1, 23, 24, 100, 4_096] {
        assert!(decode_all(id(), &vec![0; len]).0.is_empty());
    }
}

#[test]
fn a_record_of_another_segment_is_no_record() {
    let mut bytes = Vec::new();
    encode(&mut bytes, id(), Seq(7), 0, b"payload");
    assert_eq!(decode_all(id(), &bytes), (vec![], Some(Flaw::Checksum)));
}

#[test]
fn an_impossible_length_asks_for_no_memory() {
    let mut bytes = Vec::new();
    encode(&mut bytes, id(), Seq(7), 0, b"payload");
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Frame::parse(&bytes), Err(Flaw::Length));
}
