//! `cargo +nightly fuzz run parse` in `crates/wire`: any bytes, as the corpus writes them.

#![no_main]

#[path = "../drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drive::input(bytes));
