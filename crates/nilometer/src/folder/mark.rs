//! The mark of a folder that is open: an empty file, so that a full disk has room for it, whose name tells the copy
//! of a folder from the folder itself. It is made before anything is opened and removed after everything is closed;
//! a crash leaves it behind, and the next start finds that it is still the file that was made.
//!
//! ```text
//! RUNNING.<boot id>.<device of the folder>.<inode of the folder>.<inode of the mark>.<birth of the mark, in ns, or ->
//! ```
//!
//! A copy of the mark is another file: it was born at another time, and no tool can give it the old one. Where a
//! file system does not tell births, its inode has to do. Neither changes by a kill, a restart of the machine or a
//! remount. Devices do, and the root of a file system has the same inode everywhere; so the boot id and the device
//! only help a person to find where the copy came from. Links are the exception: a copy made of hard links has the
//! very same file in another folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use vfs::Vfs;

use super::layout::MARK_PREFIX;

/// The name before the file's inode and birth are known.
const DRAFT: &str = "RUNNING.new";
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
const BOOT_ID_BYTES: usize = 36;
/// Stands for what is not known.
const UNKNOWN: &str = "-";

/// What tells a file or folder from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    folder_inode: u64,
    inode: u64,
    born_ns: Option<u128>,
}

/// A mark as it was found.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    name: String,
    boot: String,
    device: u64,
    noted: Identity,
    seen: Identity,
    /// Names of the file.
    links: u64,
    /// Whether the file system knows files by the same inode for as long as they exist.
    keeps_inodes: bool,
}

impl Mark {
    /// Whether this is not the file that was made, or not where it was made.
    pub(super) fn is_copied(&self) -> bool {
        let Self { noted, seen, .. } = self;
        if self.links > 1 && noted.folder_inode != seen.folder_inode {
            return true;
        }
        match (noted.born_ns, seen.born_ns) {
            (Some(noted), Some(seen)) => noted != seen,
            _ => self.keeps_inodes && noted.inode != seen.inode,
        }
    }

    /// Where the folder was that it was made in.
    pub(super) fn origin(&self) -> String {
        let boot = if self.boot == boot_id() { "this" } else { "another" };
        format!("in {boot} boot of a machine, as inode {} of device {:x}", self.noted.folder_inode, self.device)
    }

    /// Its path in `data`.
    pub(super) fn path(&self, data: &Path) -> PathBuf {
        data.join(&self.name)
    }
}

/// The marks in `data`.
pub(super) fn find(vfs: &dyn Vfs, data: &Path) -> io::Result<Vec<Mark>> {
    let names = vfs.list(data)?;
    names.into_iter().filter_map(|name| read(data, name).transpose()).collect()
}

/// The mark with this name; `None` for anything else.
fn read(data: &Path, name: String) -> io::Result<Option<Mark>> {
    let Some((boot, device, noted)) = parse(&name) else { return Ok(None) };
    let file = match fs::metadata(data.join(&name)) {
        // Who does not hold the folder may look at it while another process closes it.
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let boot = boot.to_owned();
    let seen = identity(&fs::metadata(data)?, &file);
    Ok(Some(Mark { name, boot, device, noted, seen, links: file.nlink(), keeps_inodes: keeps_inodes(data) }))
}

fn parse(name: &str) -> Option<(&str, u64, Identity)> {
    let fields: Vec<&str> = name.strip_prefix(MARK_PREFIX)?.split('.').collect();
    let [boot, device, folder_inode, inode, born] = fields[..] else { return None };
    let born_ns = if born == UNKNOWN { None } else { Some(born.parse().ok()?) };
    let noted = Identity { folder_inode: folder_inode.parse().ok()?, inode: inode.parse().ok()?, born_ns };
    Some((boot, u64::from_str_radix(device, 16).ok()?, noted))
}

fn identity(folder: &fs::Metadata, file: &fs::Metadata) -> Identity {
    let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Identity { folder_inode: folder.ino(), inode: file.ino(), born_ns: born.map(|born| born.as_nanos()) }
}

/// Marks `data` as open by this process, in place of the marks `old`. On a disk without room for so much as a name
/// the old ones stay. Not synced: a copy is made through the page cache too.
pub(super) fn renew(vfs: &dyn Vfs, data: &Path, old: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let made = match make(vfs, data) {
        Ok(made) => made,
        Err(why) if matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            tracing::warn!("the disk is full: a copy of the data folder made from now on is not noticed");
            return Ok(old);
        }
        Err(why) => return Err(why),
    };
    for path in old.iter().filter(|path| **path != made) {
        vfs.remove(path)?;
    }
    Ok(vec![made])
}

fn make(vfs: &dyn Vfs, data: &Path) -> io::Result<PathBuf> {
    let draft = data.join(DRAFT);
    if draft.exists() {
        vfs.remove(&draft)?;
    }
    drop(vfs.create(&draft)?);
    let folder = fs::metadata(data)?;
    let Identity { folder_inode, inode, born_ns } = identity(&folder, &fs::metadata(&draft)?);
    let born = born_ns.map_or_else(|| UNKNOWN.to_owned(), |born| born.to_string());
    let path = data.join(format!("{MARK_PREFIX}{}.{:x}.{folder_inode}.{inode}.{born}", boot_id(), folder.dev()));
    vfs.rename(&draft, &path)?;
    Ok(path)
}

/// The kernel's name for the time since the machine was started.
fn boot_id() -> String {
    let mut text = [0; BOOT_ID_BYTES];
    let read = File::open(BOOT_ID_FILE).and_then(|mut file| file.read_exact(&mut text));
    let text = read.ok().and_then(|()| std::str::from_utf8(&text).ok());
    let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    text.filter(is_plain).unwrap_or(UNKNOWN).to_owned()
}

/// File systems in user space may number files anew whenever they are looked at.
#[cfg(target_os = "linux")]
fn keeps_inodes(data: &Path) -> bool {
    const FUSE: u64 = 0x6573_5546;
    rustix::fs::statfs(data).is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| kind != FUSE))
}

#[cfg(not(target_os = "linux"))]
fn keeps_inodes(_data: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use vfs::DiskVfs;

    use super::*;

    fn marked(data: &Path) -> Mark {
        let made = renew(&DiskVfs, data, Vec::new()).unwrap();
        let found = find(&DiskVfs, data).unwrap();
        assert_eq!(found.iter().map(|mark| mark.path(data)).collect::<Vec<_>>(), made);
        found.into_iter().next().unwrap()
    }

    #[test]
    fn a_mark_where_it_was_made_is_none_of_a_copy() {
        let data = tempfile::tempdir().unwrap();
        let mark = marked(data.path());
        assert!(!mark.is_copied());
        assert_eq!(fs::metadata(mark.path(data.path())).unwrap().len(), 0, "a full disk has room for it");
        // Moved as a whole, it is the same folder.
        let moved = data.path().with_extension("moved");
        fs::rename(data.path(), &moved).unwrap();
        assert!(!find(&DiskVfs, &moved).unwrap()[0].is_copied());
        fs::rename(&moved, data.path()).unwrap();
        // Its mode and owner are nothing that tells.
        fs::set_permissions(mark.path(data.path()), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(!find(&DiskVfs, data.path()).unwrap()[0].is_copied());
    }

    #[test]
    fn a_copied_mark_is_told_and_so_is_one_that_was_linked() {
        let data = tempfile::tempdir().unwrap();
        let mark = marked(data.path());
        let copy = tempfile::tempdir().unwrap();
        fs::copy(mark.path(data.path()), mark.path(copy.path())).unwrap();
        assert!(find(&DiskVfs, copy.path()).unwrap()[0].is_copied());
        let linked = tempfile::tempdir().unwrap();
        fs::hard_link(mark.path(data.path()), mark.path(linked.path())).unwrap();
        assert!(find(&DiskVfs, linked.path()).unwrap()[0].is_copied());
        assert!(!find(&DiskVfs, data.path()).unwrap()[0].is_copied(), "the folder itself");
        // In its old place too, as a restore makes it.
        let path = mark.path(data.path());
        let born = || fs::metadata(&path).unwrap().created().ok();
        fs::remove_file(mark.path(linked.path())).unwrap();
        let (before, mut tries) = (born(), 0);
        while tries == 0 || (before.is_some() && born() == before) {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            tries += 1;
        }
        assert!(before.is_none() || find(&DiskVfs, data.path()).unwrap()[0].is_copied());
    }

    #[test]
    fn neither_another_boot_nor_another_device_makes_a_copy_and_without_births_the_inode_decides() {
        let data = tempfile::tempdir().unwrap();
        let mark = marked(data.path());
        assert!(!Mark { boot: "other".to_owned(), device: mark.device + 1, ..mark.clone() }.is_copied());
        let without_birth = |noted: Identity| Identity { born_ns: None, ..noted };
        let old = Mark { noted: without_birth(mark.noted), ..mark.clone() };
        assert!(!old.is_copied());
        let other = Identity { inode: mark.noted.inode + 1, ..without_birth(mark.noted) };
        assert!(Mark { noted: other, ..mark.clone() }.is_copied());
        assert!(!Mark { noted: other, keeps_inodes: false, ..mark.clone() }.is_copied(), "it cannot be told");
        let folder = Identity { folder_inode: mark.noted.folder_inode + 1, ..mark.noted };
        assert!(!Mark { noted: folder, ..mark }.is_copied(), "a file system may number folders anew");
    }

    #[test]
    fn a_new_mark_takes_the_place_of_those_that_were_found() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(DRAFT), "").unwrap();
        fs::write(data.path().join("RUNNING.soon"), "").unwrap();
        let first = marked(data.path());
        let second = renew(&DiskVfs, data.path(), vec![first.path(data.path())]).unwrap();
        let found = find(&DiskVfs, data.path()).unwrap();
        assert_eq!(found.iter().map(|mark| mark.path(data.path())).collect::<Vec<_>>(), second);
        assert!(data.path().join("RUNNING.soon").exists(), "no mark is left alone");
        assert!(!data.path().join(DRAFT).exists());
    }
}
