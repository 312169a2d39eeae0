//! Runs of every version, kept for ever: written once, opened by every later version.

use std::io;

use domain::position::{Position, Seq};
use vfs::{DiskVfs, Vfs};

use super::*;

/// Three ids: the least, one in the middle, the greatest, with payload hashes by these rules.
fn records(rules: [HashRule; 3]) -> [IdRecord; 3] {
    let record = |id, seq, index, payload| IdRecord {
        hash: IdHash(id),
        seen: FirstSeen { position: Position::new(Seq(seq), index), payload },
    };
    let [first, second, third] = rules;
    [
        record(0, 1, 0, PayloadHash { rule: first, hash: 11 }),
        record(1 << 127, 7, 65_535, PayloadHash { rule: second, hash: 22 }),
        record(u128::MAX, 1 << 40, 3, PayloadHash { rule: third, hash: 33 }),
    ]
}

const V1: [HashRule; 3] = [HashRule::EncodedBody; 3];
const V2: [HashRule; 3] = [HashRule::Written, HashRule::EncodedBody, HashRule::Written];

fn path(version: u32) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/fixtures/id-run-v{version}.run"))
}

#[test]
fn versions_1_and_2_still_open() -> io::Result<()> {
    for (version, rules) in [(1, V1), (2, V2)] {
        let run = IdRun::open(DiskVfs.open_read(&path(version))?)?;
        assert_eq!(run.scan().collect::<io::Result<Vec<_>>>()?, records(rules));
        for record in records(rules) {
            assert_eq!(run.find(record.hash)?, Some(record.seen));
        }
        assert_eq!(run.find(IdHash(1))?, None);
    }
    Ok(())
}

#[test]
#[ignore = "writes the fixture; only when a new version is made"]
fn write_the_fixture() -> io::Result<()> {
    let mut file = DiskVfs.create(&path(2))?;
    let mut writer = IdRunWriter::new(Vec::new(), 3, false)?;
    for record in &records(V2) {
        writer.push(record)?;
    }
    file.append(&writer.finish()?)
}
