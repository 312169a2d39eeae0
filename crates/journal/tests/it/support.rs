//! A journal on a simulated disk, and what has been asked of it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::Seq;
use journal::{JournalOptions, LocalJournal};
use ports::journal::{Delivery, Journal, OrderedJournal};
use ports::testing::ledger::records::{admitted, at, event, scope};
use ports::{ErrorKind, PortError};
use vfs::Vfs;
use vfs::testing::SimVfs;

pub(crate) const DIR: &str = "/data/journal";

/// Segments of a few records, so that every test sees several.
pub(crate) fn small_segments() -> JournalOptions {
    JournalOptions { segment_bytes: 400, reserve_bytes: 0, ..JournalOptions::default() }
}

/// One segment for everything.
pub(crate) fn one_segment() -> JournalOptions {
    JournalOptions { reserve_bytes: 0, ..JournalOptions::default() }
}

pub(crate) fn open(disk: &SimVfs, after: u64, options: JournalOptions) -> Result<LocalJournal, PortError> {
    LocalJournal::open(Arc::new(disk.clone()), PathBuf::from(DIR), Seq(after), options)
}

/// A request of one event whose payload is unlike any other's.
pub(crate) fn batch(number: u64) -> Admitted {
    let padding = "x".repeat(usize::try_from(number % 7).unwrap() * 9);
    admitted(&scope("acme"), at(0), &[event(&format!("event-{number}-{padding}"), 0)])
}

pub(crate) fn payload(number: u64) -> Bytes {
    batch(number).payload().clone()
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, PortError>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Appends records one after the other, so that each is a group of its own.
pub(crate) async fn append_all(journal: &LocalJournal, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        journal.append(&batch(number)).await.unwrap();
    }
}

/// Everything that is durable and was not handed out yet.
pub(crate) async fn read_all(journal: &LocalJournal) -> Result<Vec<Delivery>, PortError> {
    let durable = journal.last_durable();
    let mut entries: Vec<Delivery> = Vec::new();
    while entries.last().map_or(journal.acked_through(), |entry| Seq::of_record(entry.id)) < durable {
        let more = journal.next().await?;
        assert!(!more.is_empty(), "next ended early");
        entries.extend(more);
    }
    Ok(entries)
}

/// Asserts that the entries are exactly these records, numbered from `after` + 1.
pub(crate) fn assert_records(entries: &[Delivery], after: u64, numbers: impl IntoIterator<Item = u64>) {
    let found: Vec<(u64, &Bytes)> = entries.iter().map(|entry| (Seq::of_record(entry.id).0, &entry.payload)).collect();
    let payloads: Vec<Bytes> = numbers.into_iter().map(payload).collect();
    let expected: Vec<(u64, &Bytes)> = (after + 1..).zip(&payloads).collect();
    assert_eq!(found, expected);
}

/// Paths of the segments, oldest first.
pub(crate) fn segments(disk: &SimVfs) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.iter().map(|name| Path::new(DIR).join(name)).collect()
}

/// Polls an append once, which queues it.
pub(crate) fn queued<'f, T>(future: impl Future<Output = T> + 'f) -> Pin<Box<dyn Future<Output = T> + 'f>>
where
    T: 'f,
{
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => future,
        Poll::Ready(value) => Box::pin(std::future::ready(value)),
    }
}

/// Whether `next` has nothing to hand out now.
pub(crate) fn next_waits(journal: &LocalJournal) -> bool {
    pin!(journal.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
