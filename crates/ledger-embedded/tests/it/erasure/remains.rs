//! Reads every file of a folder decoded, and looks for texts that were erased.

use std::io::Write;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use bytes::Bytes;
use manifest::SqliteManifest;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use ports::manifest::Manifest;
use ports::testing::clock::ManualClock;
use vfs::{DiskVfs, Vfs};

use super::*;

/// Everything that the files of a folder say, by file: their bytes, and of Parquet files every value of every column,
/// the metadata with all statistics, and the page index.
fn decoded(vfs: &dyn Vfs, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for name in vfs.list(dir).expect("a folder") {
        let file = vfs.open_read(&dir.join(&name)).expect("a file");
        let mut bytes = vec![0; usize::try_from(file.len()).expect("a small file")];
        file.read_exact_at(0, &mut bytes).expect("the bytes");
        let mut said = bytes.clone();
        if name.ends_with(".parquet") {
            let bytes = Bytes::from(bytes);
            let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
            let metadata = reader.parse_and_finish(&bytes).expect("metadata");
            write!(said, "{metadata:?}").expect("room");
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a file").build().expect("a reader") {
                let batch = batch.expect("rows");
                for column in batch.columns() {
                    match column.data_type() {
                        DataType::Utf8 => column.as_string::<i32>().iter().flatten().for_each(|text| {
                            said.extend_from_slice(text.as_bytes());
                            said.push(b'\n');
                        }),
                        DataType::Binary => {
                            column.as_binary::<i32>().iter().flatten().for_each(|bytes| said.extend_from_slice(bytes));
                        }
                        _ => write!(said, "{column:?}").expect("room"),
                    }
                }
            }
        }
        found.insert(name, said);
    }
    found
}

fn holding_in(vfs: &dyn Vfs, dir: &Path, text: &str) -> Vec<String> {
    let holds = |said: &[u8]| said.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    decoded(vfs, dir).into_iter().filter(|(_, said)| holds(said)).map(|(name, _)| name).collect()
}

fn holding(folder: &TestFolder, text: &str) -> Vec<String> {
    holding_in(&folder.vfs, &TestFolder::dir(), text)
}

const CUSTOMER: &str = "cUsToMeR-9f3Kq2Zx";
const USER: &str = "uSeR-77aLmQw0pYtR";
const ID: &str = "iD-51vNbXcR8sEeHj";
const TEXT: &str = "pRoPeRtY-4gUiKz1W";

#[tokio::test]
async fn a_text_that_was_erased_is_in_no_file_not_even_decoded() {
    for (subject, kept) in
        [(Subject::Customer(CUSTOMER.to_owned()), vec![]), (Subject::User(USER.to_owned()), vec![CUSTOMER])]
    {
        let folder = TestFolder::new();
        let ledger = folder.open(options()).await;
        let property = format!(r#"{{"note":"{TEXT}"}}"#);
        for n in 0..40_u64 {
            let mut events = vec![event(&format!("plain-{n}"), 100 + i64::try_from(n).expect("few")).user("other")];
            if n % 5 == 0 {
                let id = format!("{ID}-{n}");
                events.push(event(&id, 50).customer(CUSTOMER).user(USER).properties(&property).endpoint("/kept"));
            }
            let applied = ledger.apply(&[record(n + 1, &scope("a"), at(200), &events)]).await;
            assert!(applied.failed.is_none());
        }
        ledger.flush().await.expect("flush");
        for text in [CUSTOMER, USER, ID, TEXT] {
            assert_ne!(holding(&folder, text), Vec::<String>::new(), "{text} is where it ought to be");
        }
        ledger.erase(&scope("a"), &request(1, &subject, true)).await.expect("an erasure");
        ledger.maintain().await.expect("maintain");
        let gone: Vec<_> = [CUSTOMER, USER, ID, TEXT].into_iter().filter(|text| !kept.contains(text)).collect();
        for text in &gone {
            assert_eq!(holding(&folder, text), Vec::<String>::new(), "{subject:?} {text}");
        }
        for text in &kept {
            assert_ne!(holding(&folder, text), Vec::<String>::new(), "{subject:?} {text} stays");
        }
        // What comes later merges with what is left.
        for n in 40..80_u64 {
            let events = [event(&format!("plain-{n}"), 5).user("other")];
            assert!(ledger.apply(&[record(n + 1, &scope("a"), at(200), &events)]).await.failed.is_none());
            ledger.maintain().await.expect("maintain");
        }
        ledger.flush().await.expect("flush");
        ledger.maintain().await.expect("maintain");
        for text in &gone {
            assert_eq!(holding(&folder, text), Vec::<String>::new(), "{subject:?} {text} after merges");
            assert!(!format!("{:?}", folder.manifest).contains(text), "{subject:?} {text} in the manifest");
        }
        assert_eq!(differences(&ledger).await, Vec::<String>::new());
    }
}

/// What is erased is nowhere in the manifest that is SQLite either: names of users, dead letters and erasures with their subject stand in its
/// pages and in its log, until they are gone from both.
#[tokio::test]
async fn a_text_that_was_erased_is_in_no_page_of_the_manifest_and_not_in_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteManifest::open(&folder.path().join("manifest.sqlite")).await.expect("a store");
    let store = Arc::new(store);
    let (dir, clock) = (folder.path().join("segments"), Arc::new(ManualClock::new(at(0))));
    let open = EmbeddedLedger::open(Arc::new(DiskVfs), dir.clone(), store.clone(), clock, options());
    let ledger = open.await.expect("a ledger");
    let property = format!(r#"{{"note":"{TEXT}"}}"#);
    let of_subject =
        |n: u64| event(&format!("{ID}-{n}"), 50).customer(CUSTOMER).user(USER).properties(&property).kind("kept");
    for n in 0..20_u64 {
        let events = [event(&format!("plain-{n}"), 100).user("other"), of_subject(n)];
        assert!(ledger.apply(&[record(n + 1, &scope("a"), at(200), &events)]).await.failed.is_none());
    }
    let letter = record(21, &scope("a"), at(200), &[of_subject(21)]);
    ledger.dead_letter(&letter, "it cannot be applied").await.expect("a dead letter");
    ledger.flush().await.expect("flush");
    let held = |text: &str| {
        let of_manifest = holding_in(&DiskVfs, folder.path(), text);
        [of_manifest, holding_in(&DiskVfs, &dir, text)].concat()
    };
    for text in [CUSTOMER, USER, ID, TEXT] {
        let found = held(text);
        assert!(found.iter().any(|name| name.contains("manifest")), "{text} in the manifest: {found:?}");
        assert!(found.iter().any(|name| name.contains("parquet")), "{text} in a segment: {found:?}");
    }
    let customer = Subject::Customer(CUSTOMER.to_owned());
    ledger.erase(&scope("a"), &request(1, &customer, true)).await.expect("an erasure");
    assert!(!held(CUSTOMER).is_empty(), "it knows what it has to erase");
    ledger.maintain().await.expect("maintain");
    for text in [CUSTOMER, USER, ID, TEXT] {
        assert_eq!(held(text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    for text in [CUSTOMER, USER, ID, TEXT] {
        assert_eq!(held(text), Vec::<String>::new(), "{text} after it was verified");
    }
}

/// Found in November 2026: `verify` beside the background thread wrote older counts of an erasure over newer ones. Over
/// a manifest that is SQLite, since that one lets the other caller go on while it commits.
#[tokio::test]
async fn i3_two_callers_of_the_erasing_at_once_keep_all_that_it_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteManifest::open(&folder.path().join("manifest.sqlite")).await.expect("a store");
    let (dir, clock) = (folder.path().join("segments"), Arc::new(ManualClock::new(at(0))));
    let ledger = EmbeddedLedger::open(Arc::new(DiskVfs), dir, Arc::new(store), clock, options()).await;
    let ledger = ledger.expect("a ledger");
    for n in 0..40_u64 {
        let customer = if n % 2 == 0 { CUSTOMER } else { "other" };
        let events = [event(&format!("{ID}-{n}"), 50).customer(customer).user(USER)];
        assert!(ledger.apply(&[record(n + 1, &scope("a"), at(200), &events)]).await.failed.is_none());
    }
    let customer = Subject::Customer(CUSTOMER.to_owned());
    ledger.erase(&scope("a"), &request(1, &customer, false)).await.expect("an erasure");
    let both = tokio::join!(differences(&ledger), differences(&ledger));
    assert_eq!(both, (Vec::new(), Vec::new()));
    let told = ledger.erasures(&scope("a")).remove(0);
    assert_eq!((told.gone.events, told.finished_at.is_some()), (20, true));
    assert!(told.gone.segments > 1, "one after another: {told:?}");
    assert_eq!(differences(&ledger).await, Vec::<String>::new(), "once more");
}

#[tokio::test]
async fn dead_letters_of_the_subject_are_emptied_and_others_stay() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let of = |seq: u64, customer: &str| record(seq, &scope("a"), at(5), &[event("e", 1).customer(customer)]);
    let mut unreadable = of(3, CUSTOMER);
    unreadable.payload = Bytes::from([&b"no record "[..], CUSTOMER.as_bytes()].concat());
    for letter in [of(1, CUSTOMER), of(2, "other"), unreadable] {
        ledger.dead_letter(&letter, "it cannot be applied").await.expect("a dead letter");
    }
    ledger.erase(&scope("a"), &request(1, &Subject::Customer(CUSTOMER.to_owned()), false)).await.expect("an erasure");
    // It comes later.
    ledger.dead_letter(&of(4, CUSTOMER), "later").await.expect("a dead letter");
    ledger.maintain().await.expect("maintain");
    let letters = folder.manifest.dead_letters(&scope("a")).await.expect("letters");
    let is_empty: Vec<_> = letters.iter().map(|letter| (letter.payload.is_empty(), letter.reason.is_empty())).collect();
    assert_eq!(is_empty, [(true, true), (false, false), (true, true), (false, false)]);
    assert_eq!(ledger.erasures(&scope("a"))[0].gone.dead_letters, 2);
}
