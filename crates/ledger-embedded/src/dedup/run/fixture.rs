//! A run of version 1, kept for ever: written once, opened by every later version.

use std::io;

use domain::position::{Position, Seq};
use vfs::{DiskVfs, Vfs};

use super::*;

/// Three ids: the least, one in the middle, the greatest.
fn records() -> [IdRecord; 3] {
    let record = |id, seq, index, hash| IdRecord {
        hash: IdHash(id),
        seen: FirstSeen {
            position: Position::new(Seq(seq), index),
            payload: PayloadHash { rule: HashRule::EncodedBody, hash },
        },
    };
    [record(0, 1, 0, 11), record(1 << 127, 7, 65_535, 22), record(u128::MAX, 1 << 40, 3, 33)]
}

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/id-run-v1.run")
}

#[test]
fn version_1_still_opens() -> io::Result<()> {
    let run = IdRun::open(DiskVfs.open_read(&path())?)?;
    assert_eq!(run.scan().collect::<io::Result<Vec<_>>>()?, records());
    for record in records() {
        assert_eq!(run.find(record.hash)?, Some(record.seen));
    }
    assert_eq!(run.find(IdHash(1))?, None);
    Ok(())
}

#[test]
#[ignore = "writes the fixture; only when a new version is made"]
fn write_the_fixture() -> io::Result<()> {
    let mut file = DiskVfs.create(&path())?;
    let mut writer = IdRunWriter::new(Vec::new(), 3, false)?;
    for record in &records() {
        writer.push(record)?;
    }
    file.append(&writer.finish()?)
}
