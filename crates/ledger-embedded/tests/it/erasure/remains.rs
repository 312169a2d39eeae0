//! Reads every file of a folder decoded, and looks for texts that were erased.

use std::io::Write;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use bytes::Bytes;
use manifest::SqliteManifest;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use ports::manifest::{Commit, FileKind, Identity, Manifest, SegmentMeta};
use ports::testing::clock::ManualClock;
use ports::testing::manifest::FaultPoint;
use vfs::testing::{Call, Fault};
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

pub(super) fn holding(folder: &TestFolder, text: &str) -> Vec<String> {
    holding_in(&folder.vfs, &TestFolder::dir(), text)
}

pub(super) const CUSTOMER: &str = "cUsToMeR-9f3Kq2Zx";
pub(super) const USER: &str = "uSeR-77aLmQw0pYtR";
pub(super) const ID: &str = "iD-51vNbXcR8sEeHj";
pub(super) const TEXT: &str = "pRoPeRtY-4gUiKz1W";

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
        finish(&ledger).await;
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

/// Found in November 2026: files of a merge that the manifest had refused for want of space, and those that could not be
/// removed, stood in the folder with all that was erased until the next start.
#[tokio::test]
async fn an_erasure_is_not_done_before_files_that_do_not_count_are_gone() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    for n in 0..3_u64 {
        let events = [event(&format!("{ID}-{n}"), 50).customer(CUSTOMER), event(&format!("plain-{n}"), 50)];
        assert!(ledger.apply(&[record(n + 1, &scope("a"), at(200), &events)]).await.failed.is_none());
        ledger.flush().await.expect("flush");
    }
    folder.fail_next(FaultPoint::DiskFull);
    assert_eq!(ledger.maintain().await.map_err(|why| why.kind()), Err(ErrorKind::Full), "it cannot merge");
    let segments = folder.segments().await;
    let counts = |name: &String| segments.iter().flat_map(|segment| &segment.files).any(|file| file.name == *name);
    assert!(!holding(&folder, CUSTOMER).iter().all(counts), "the merge has left files that never counted");
    ledger.erase(&scope("a"), &request(1, &Subject::Customer(CUSTOMER.to_owned()), false)).await.expect("an erasure");
    folder.vfs.fail_always(Call::Remove, Fault::Error(5));
    ledger.maintain().await.expect_err("nothing can be removed");
    confirm(&*ledger);
    ledger.maintain().await.expect_err("nor now");
    assert_eq!(ledger.erasures(&scope("a"))[0].finished_at, None);
    assert_ne!(holding(&folder, CUSTOMER), Vec::<String>::new());
    folder.vfs.heal();
    finish(&ledger).await;
    assert!(ledger.erasures(&scope("a"))[0].finished_at.is_some());
    for text in [CUSTOMER, ID] {
        assert_eq!(holding(&folder, text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
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
    assert!(held(CUSTOMER).iter().all(|name| name.contains("manifest")), "and whom the catalog has to forget");
    finish(&ledger).await;
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
    finish(&ledger).await;
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
    // Of the tenant's own, a body is cut behind the name; the next two say of no tenant that they are its.
    let mut cut = record(3, &scope("a"), at(5), &[event("e", 1).customer(CUSTOMER).user("u")]);
    cut.payload.truncate(cut.payload.len() - 1);
    for letter in [of(1, CUSTOMER), of(2, "other"), cut, unreadable(4, &["a", CUSTOMER]), unreadable(5, &["b", "a"])] {
        ledger.dead_letter(&letter, "it cannot be applied").await.expect("a dead letter");
    }
    ledger.erase(&scope("a"), &request(1, &Subject::Customer(CUSTOMER.to_owned()), false)).await.expect("an erasure");
    // It comes later.
    ledger.dead_letter(&of(6, CUSTOMER), "later").await.expect("a dead letter");
    ledger.maintain().await.expect("maintain");
    let letters = folder.manifest.dead_letters(&scope("a")).await.expect("letters");
    let is_empty: Vec<_> = letters.iter().map(|letter| (letter.payload.is_empty(), letter.reason.is_empty())).collect();
    assert_eq!(is_empty, [true, false, true, true, false, false].map(|is_empty| (is_empty, is_empty)));
    assert_eq!(ledger.erasures(&scope("a"))[0].gone.dead_letters, 3);
}

/// A record of which nobody can tell whose it is, with these texts as records have them.
fn unreadable(seq: u64, texts: &[&str]) -> Delivery {
    let mut letter = record(seq, &scope("a"), at(5), &[event("e", 1)]);
    let length = |text: &str| u16::try_from(text.len()).expect("short").to_le_bytes();
    let field = |text: &&str| [&length(text)[..], text.as_bytes()].concat();
    letter.payload = Bytes::from([vec![b'?'], texts.iter().flat_map(field).collect()].concat());
    letter
}

/// Found in November 2026: any byte that was the name emptied a letter that is nobody's, and so who erased "a" emptied
/// nearly all of them, whoever they were of.
#[tokio::test]
async fn i5_dead_letters_that_are_nobodys_are_emptied_only_where_they_name_tenant_and_subject() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let letters = [
        unreadable(1, &["tenant", "a"]),
        unreadable(2, &["b", "a"]),
        unreadable(3, &["tenant", "banana"]),
        unreadable(4, &["tenants", "a"]),
    ];
    for letter in &letters {
        ledger.dead_letter(letter, "it cannot be applied").await.expect("a dead letter");
    }
    let user = Subject::User("a".to_owned());
    ledger.erase(&scope("tenant"), &request(1, &user, false)).await.expect("an erasure");
    ledger.maintain().await.expect("maintain");
    let left = folder.manifest.dead_letters(&scope("tenant")).await.expect("letters");
    let is_empty: Vec<_> = left.iter().map(|letter| letter.payload.is_empty()).collect();
    assert_eq!(is_empty, [true, false, false, false]);
}

/// Found in November 2026: a quota that was set while its customer was erased had the customer counted apart again, and
/// its name stayed for ever.
#[tokio::test]
async fn who_is_being_erased_is_not_counted_apart() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let applied = ledger.apply(&[record(1, &scope("a"), at(5), &[event("e", 1).customer(CUSTOMER)])]).await;
    assert!(applied.failed.is_none());
    let meter = async |ledger: &EmbeddedLedger, tenant: &str, customer: &str| {
        ledger.meter_customer(&scope(tenant), customer).await.map_err(|why| why.kind())
    };
    assert_eq!(meter(&ledger, "a", CUSTOMER).await, Ok(()));
    let customer = Subject::Customer(CUSTOMER.to_owned());
    ledger.erase(&scope("a"), &request(1, &customer, false)).await.expect("an erasure");
    for _ in 0..2 {
        assert_eq!(meter(&ledger, "a", CUSTOMER).await, Err(ErrorKind::Conflict));
        ledger.maintain().await.expect("maintain");
    }
    confirm(&*ledger);
    assert_eq!(meter(&ledger, "a", CUSTOMER).await, Err(ErrorKind::Conflict));
    assert_eq!(meter(&ledger, "a", "other").await, Ok(()));
    ledger.maintain().await.expect("maintain");
    assert!(!format!("{:?}", folder.manifest).contains(CUSTOMER));
    for tenant in ["a", "b"] {
        assert_eq!(meter(&ledger, tenant, CUSTOMER).await, Ok(()), "what comes after that is new");
    }
    ledger.erase(&scope("a"), &request(2, &Subject::Workspace, false)).await.expect("an erasure");
    finish(&ledger).await;
    for ledger in [Arc::clone(&ledger), folder.open(options()).await] {
        assert_eq!(meter(&ledger, "a", "other").await, Err(ErrorKind::Conflict), "of an erased tenant never");
        assert_eq!(meter(&ledger, "b", "other").await, Ok(()), "I5: of that tenant alone");
    }
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// What a ledger finds over the folder's manifest after this was committed to it behind the ledger's back.
async fn found_after(folder: &TestFolder, changes: &[Commit]) -> Vec<String> {
    for change in changes {
        folder.manifest.commit(change).await.expect("a commit");
    }
    let ledger = folder.open(options()).await;
    differences(&ledger).await
}

/// Found in November 2026: no test could fail when `verify` did not hold residuals against the counts of erasures.
#[tokio::test]
async fn i3_residuals_that_count_other_than_the_erasures_are_told() {
    let folder = TestFolder::new();
    let ledger = folder.open(options()).await;
    let of_subject = |n: u64| event(&format!("{ID}-{n}"), 50).customer(CUSTOMER).user(USER);
    let events = [event("plain", 100).customer("other"), of_subject(1), of_subject(2), of_subject(3)];
    assert!(ledger.apply(&[record(1, &scope("a"), at(200), &events)]).await.failed.is_none());
    ledger.erase(&scope("a"), &request(1, &Subject::Customer(CUSTOMER.to_owned()), false)).await.expect("an erasure");
    finish(&ledger).await;
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    drop(ledger);
    let identity = Identity { key: [9; 16], rule: WindowRule::default() };
    let whole = folder.manifest.load(&identity).await.expect("the manifest");
    for counted in [2, 4] {
        let mut erasures = whole.erasures.clone();
        erasures[0].erasure.gone.events = counted;
        let told = format!("I3 tenant a events in residuals: expected {counted}, found 3");
        assert_eq!(found_after(&folder, &[Commit { erasures, ..Commit::default() }]).await, [told]);
    }
    let restored = Commit { erasures: whole.erasures.clone(), ..Commit::default() };
    assert_eq!(found_after(&folder, &[restored]).await, Vec::<String>::new());

    let is_residuals = |kind: FileKind| kind == FileKind::Residuals;
    let holds = |segment: &&SegmentMeta| segment.files.iter().any(|file| is_residuals(file.kind));
    let segment = whole.segments.iter().find(holds).expect("a segment with residuals");
    let mut without = segment.clone();
    without.files.retain(|file| !is_residuals(file.kind));
    let remove = Commit { remove: vec![segment.id.clone()], ..Commit::default() };
    let found = found_after(&folder, &[remove, Commit { add: vec![without], ..Commit::default() }]).await;
    let told = "I3 tenant a events in residuals: expected 3, found 0";
    assert!(found.iter().any(|one| one == told), "{found:?}");
}
