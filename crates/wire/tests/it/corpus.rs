//! The fuzz target's corpus, so that each input that was ever worth keeping runs with every test.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::drive;

#[test]
fn every_input_of_the_corpus_is_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse");
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        drive::input(&read(&entry.unwrap().path()));
        inputs += 1;
    }
    assert!(inputs >= 40, "{inputs} inputs found");
}

#[expect(clippy::disallowed_methods, reason = "`take` is the limit")]
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
    bytes
}
