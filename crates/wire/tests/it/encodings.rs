//! Content encodings: what is undone, and what a hostile stream can cost.

use std::io::Write;

use bytes::Bytes;
use domain::limits::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use wire::{BodyError, decode};

const MIB: usize = 1 << 20;

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

fn run(encoding: &str, body: impl Into<Vec<u8>>) -> Result<Bytes, BodyError> {
    decode(Some(encoding), Bytes::from(body.into()), &Limits::default())
}

fn is_malformed(result: &Result<Bytes, BodyError>) -> bool {
    matches!(result, Err(BodyError::Malformed { .. }))
}

fn is_too_large(result: &Result<Bytes, BodyError>) -> bool {
    matches!(result, Err(BodyError::TooLarge { .. }))
}

#[test]
fn accepted_encodings_are_undone() {
    let plain = br#"{"id":"a"}"#;
    assert_eq!(decode(None, Bytes::from_static(plain), &Limits::default()).unwrap(), &plain[..]);
    for name in ["", "identity", " Identity "] {
        assert_eq!(run(name, *plain).unwrap(), &plain[..]);
    }
    for name in ["gzip", "GZIP", "x-gzip", " gzip"] {
        assert_eq!(run(name, gzip(plain)).unwrap(), &plain[..]);
    }
    assert_eq!(run("zstd", zstd(plain)).unwrap(), &plain[..]);
}

#[test]
fn other_and_nested_encodings_are_refused() {
    for name in ["br", "deflate", "compress", "gzip, gzip", "gzip,zstd", "identity, gzip", "gzip;q=1", "none", "*"] {
        match run(name, *b"{}") {
            Err(BodyError::UnsupportedEncoding { message }) => assert!(message.contains("gzip, zstd"), "{message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_malformed() {
    for (name, whole) in [("gzip", gzip(br#"{"id":"a"}"#)), ("zstd", zstd(br#"{"id":"a"}"#))] {
        for cut in 0..whole.len() {
            assert!(is_malformed(&run(name, &whole[..cut])), "{name} cut at {cut}");
        }
        assert!(is_malformed(&run(name, [&whole[..], b"trailing"].concat())), "{name}");
        assert!(is_malformed(&run(name, *br#"{"id":"a"}"#)), "plain text as {name}");
    }
}

#[test]
fn members_are_concatenated_up_to_their_limit() {
    for (name, member) in [("gzip", gzip(b"[1")), ("zstd", zstd(b"[1"))] {
        assert_eq!(run(name, member.repeat(3)).unwrap(), &b"[1[1[1"[..]);
        assert_eq!(run(name, member.repeat(1_024)).unwrap().len(), 2 * 1_024);
        assert!(is_too_large(&run(name, member.repeat(1_025))), "{name}");
    }
    for (name, empty) in [("gzip", gzip(b"")), ("zstd", zstd(b""))] {
        let many = empty.repeat(Limits::default().body_bytes_max / empty.len());
        assert!(is_too_large(&run(name, many)), "a flood of empty {name} members");
    }
}

#[test]
fn skippable_frames_decode_to_nothing() {
    let skippable = [0x184D_2A53_u32.to_le_bytes().as_slice(), &5_u32.to_le_bytes(), b"hello"].concat();
    assert_eq!(run("zstd", skippable.clone()).unwrap(), &b""[..]);
    assert_eq!(run("zstd", [skippable.clone(), zstd(b"{}"), skippable.clone()].concat()).unwrap(), &b"{}"[..]);
    let flood = skippable.repeat(Limits::default().body_bytes_max / skippable.len());
    assert!(is_too_large(&run("zstd", flood)));
    let lying = [0x184D_2A50_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    assert!(is_malformed(&run("zstd", lying)));
}

#[test]
fn a_bomb_stops_at_the_ratio() {
    let zeros = vec![0; 64 * MIB];
    for (name, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        assert!(bomb.len() < MIB, "{} bytes of {name} is no bomb", bomb.len());
        assert!(is_too_large(&run(name, bomb.clone())), "{name}");
        assert!(is_too_large(&run(name, [bomb.clone(), bomb].concat())), "{name}");
    }
    for (name, small) in [("gzip", gzip(&zeros[..MIB])), ("zstd", zstd(&zeros[..MIB]))] {
        assert_eq!(run(name, small).unwrap().len(), MIB, "{name} up to a mebibyte is free");
    }
    for (name, over) in [("gzip", gzip(&zeros[..=MIB])), ("zstd", zstd(&zeros[..=MIB]))] {
        assert!(is_too_large(&run(name, over)), "{name}");
    }
}

#[test]
fn the_limits_on_both_sides_hold_to_the_byte() {
    let limits = Limits { body_bytes_max: 200, decoded_bytes_max: 100, ..Limits::default() };
    for (len, fits) in [(99, true), (100, true), (101, false)] {
        let plain = vec![b' '; len];
        for (name, body) in [("", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
            assert!(body.len() <= 200);
            let result = decode(Some(name), Bytes::from(body), &limits);
            assert_eq!((result.is_ok(), is_too_large(&result)), (fits, !fits), "{name} of {len}");
        }
    }
    let limits = Limits { body_bytes_max: 10, ..Limits::default() };
    assert!(decode(None, Bytes::from_static(&[b' '; 10]), &limits).is_ok());
    assert!(is_too_large(&decode(None, Bytes::from_static(&[b' '; 11]), &limits)));
}

/// A frame that asks for a window, and then holds one empty block.
fn frame_with_window(log: u8) -> Vec<u8> {
    [&0xFD2F_B528_u32.to_le_bytes()[..], &[0, (log - 10) << 3], &[1, 0, 0]].concat()
}

#[test]
fn a_zstd_window_is_at_most_8_mib() {
    assert_eq!(run("zstd", frame_with_window(23)).unwrap(), &b""[..]);
    for log in [24, 27, 31] {
        assert!(is_malformed(&run("zstd", frame_with_window(log))), "2^{log} bytes");
    }
}

proptest! {
    #[test]
    fn any_data_comes_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 1..5)) {
        let whole = chunks.concat();
        for (name, encode) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
            let members: Vec<u8> = chunks.iter().flat_map(|chunk| encode(chunk)).collect();
            prop_assert_eq!(run(name, members).unwrap(), &whole[..]);
        }
    }

    #[test]
    fn any_stream_ends_within_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4),
        data in prop::collection::vec(0_u8..4, 0..5_000),
    ) {
        let limits = Limits { decoded_bytes_max: 4_000, ..Limits::default() };
        for (name, whole) in [("gzip", gzip(&data)), ("zstd", zstd(&data))] {
            let mut flipped = whole;
            for (at, bit) in &flips {
                let at = at.index(flipped.len());
                flipped[at] ^= 1 << bit;
            }
            for stream in [bytes.clone(), flipped] {
                if let Ok(decoded) = decode(Some(name), Bytes::from(stream), &limits) {
                    prop_assert!(decoded.len() <= 4_000);
                }
            }
        }
    }
}
