//! The one thread that writes: takes what waits, writes it at once, syncs once, answers. While a
//! sync runs, the next group gathers by itself.
//!
//! - A failed sync poisons: the file may lack what the page cache shows, so nothing is ever written
//!   or synced again (I8).
//! - A failed or short write is taken back by cutting the file to its last good length and syncing
//!   that, so that no crash brings back what was refused; later groups try anew.

use std::io;
use std::sync::Arc;

use domain::position::Seq;

use crate::failure::Failure;
use crate::folder::Folder;
use crate::options::JournalOptions;
use crate::queue::{Pending, Queue};
use crate::record;
use crate::renewal::Renewal;
use crate::segment::Active;

/// Bytes written between two looks at the free space.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// The writer.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: Arc<Folder>,
    queue: Arc<Queue>,
    options: JournalOptions,
    /// The segment that is appended to, unless a new one is due.
    active: Option<Active>,
    /// What comes before the first append.
    put_off: Option<Renewal>,
    last: Seq,
    space: Space,
    buffer: Vec<u8>,
}

/// What is known about the room on the disk.
#[derive(Debug, Clone, Copy)]
enum Space {
    /// There was enough, this many written bytes ago.
    Checked(u64),
    /// Not known, or there was not enough.
    Unknown,
}

impl Writer {
    /// Goes on after record `last`.
    pub(crate) fn new(
        folder: Arc<Folder>,
        queue: Arc<Queue>,
        options: JournalOptions,
        active: Option<Active>,
        put_off: Option<Renewal>,
        last: Seq,
    ) -> Self {
        Self { folder, queue, options, active, put_off, last, space: Space::Unknown, buffer: Vec::new() }
    }

    /// Writes until the journal is closed or poisoned.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.queue.take_group(self.options.group_bytes_max) {
            match self.commit(&group) {
                Ok(()) => self.queue.publish(group),
                Err(failure) => {
                    self.queue.fail(group, &failure);
                    if matches!(failure, Failure::Poisoned(_)) {
                        return;
                    }
                    self.space = Space::Unknown;
                }
            }
        }
    }

    /// Makes a group durable: whole, or not at all as far as anyone is told. An empty one only does what was put
    /// off.
    fn commit(&mut self, group: &[Pending]) -> Result<(), Failure> {
        let bytes = group.iter().map(|pending| pending.bytes() as u64).sum();
        self.check_space(bytes)?;
        self.renew()?;
        if self.queue.is_parting() {
            self.active.take_if(|active| active.has_records());
        }
        let mut active = self.segment_with_room(bytes)?;
        self.encode(&active, group);
        fail::fail_point!("journal::before_write");
        if let Err(why) = active.file.append(&self.buffer) {
            return Err(self.take_back(active, why));
        }
        fail::fail_point!("journal::before_sync");
        active.file.sync().map_err(|why| Failure::Poisoned(format!("sync a segment: {why}")))?;
        fail::fail_point!("journal::after_sync");
        active.len += bytes;
        self.last.0 += group.len() as u64;
        self.active = Some(active);
        self.buffer.shrink_to(2 * self.options.group_bytes_max);
        Ok(())
    }

    /// Writes the last segment anew, if that was put off.
    fn renew(&mut self) -> Result<(), Failure> {
        let Some(bytes) = self.put_off.as_ref().map(|renewal| renewal.bytes) else { return Ok(()) };
        self.check_space(bytes)?;
        if let Some(renewal) = &self.put_off {
            self.active = Some(self.folder.renew(renewal)?);
        }
        self.put_off = None;
        Ok(())
    }

    /// Refuses what would use up the reserve.
    fn check_space(&mut self, bytes: u64) -> Result<(), Failure> {
        if self.options.reserve_bytes == 0 {
            return Ok(());
        }
        self.space = match self.space {
            Space::Checked(ago) if ago + bytes < SPACE_CHECK_BYTES => Space::Checked(ago + bytes),
            _ => {
                let free = self.folder.free_bytes().map_err(Failure::refused)?;
                if free < self.options.reserve_bytes.saturating_add(bytes) {
                    let why = format!("{free} bytes are free and {} are kept", self.options.reserve_bytes);
                    return Err(Failure::refused(io::Error::new(io::ErrorKind::StorageFull, why)));
                }
                Space::Checked(0)
            }
        };
        Ok(())
    }

    /// The segment to append to. It is put back when it may be appended to again.
    fn segment_with_room(&mut self, bytes: u64) -> Result<Active, Failure> {
        let full = |active: &Active| active.has_records() && active.len + bytes > self.options.segment_bytes;
        if let Some(active) = self.active.take().filter(|active| !full(active)) {
            return Ok(active);
        }
        self.folder.create(self.last.next())
    }

    fn encode(&mut self, active: &Active, group: &[Pending]) {
        self.buffer.clear();
        for ((index, pending), seq) in (0..).zip(group).zip(self.last.0 + 1..) {
            record::encode(&mut self.buffer, active.id, Seq(seq), index, &pending.payload);
        }
    }

    /// Undoes a failed write. A file that may not grow is left for a new one.
    fn take_back(&mut self, mut active: Active, why: io::Error) -> Failure {
        if let Err(cut) = active.file.truncate(active.len).and_then(|()| active.file.sync()) {
            return Failure::Poisoned(format!("take back a failed write ({why}): {cut}"));
        }
        if why.kind() != io::ErrorKind::FileTooLarge || !active.has_records() {
            self.active = Some(active);
        }
        Failure::refused(why)
    }
}
