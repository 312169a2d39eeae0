//! The real file system: the one place that may touch files. Syncs with `fdatasync`, which also makes
//! a grown length durable. What it makes is for its owner alone: the files of a data folder hold what
//! customers did. Files that a user asked for, such as an export, are made through [`UserFilesVfs`].

#![expect(clippy::disallowed_methods, reason = "everything else goes through this adapter")]

#[cfg(target_os = "linux")]
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::{ReadFile, Vfs, WriteFile};

/// Mode of files that only their owner may use.
const OWNER_FILE: u32 = 0o600;
/// Mode of such folders.
const OWNER_FOLDER: u32 = 0o700;
/// Mode of files of which the umask takes away what it says.
const USER_FILE: u32 = 0o666;
/// Mode of such folders.
const USER_FOLDER: u32 = 0o777;
/// What all but the owner may do, as bits of a mode.
const OTHERS: u32 = 0o077;

/// The file system of this machine, for a data folder: files are made with mode 0600 and folders with 0700.
/// Missing parents of a folder are made as the umask says.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskVfs;

impl DiskVfs {
    /// Takes from all but the owner what they may do with this file or folder; says whether they could do
    /// anything. A link is left alone, and so is what it leads to.
    ///
    /// # Errors
    /// When its mode cannot be read or, as by anyone but its owner, not be set.
    pub fn restrict_to_owner(&self, path: &Path) -> io::Result<bool> {
        let metadata = fs::symlink_metadata(path)?;
        let mode = metadata.permissions().mode();
        if metadata.file_type().is_symlink() || mode & OTHERS == 0 {
            return Ok(false);
        }
        fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))?;
        Ok(true)
    }
}

impl Vfs for DiskVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        create_folders(dir, OWNER_FOLDER)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        create_file(path, OWNER_FILE)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Box::new(DiskWriteFile { file, len }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Arc::new(DiskReadFile { file, len }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The file system of this machine, for files that a user asked for and may give to others: they are made as the
/// umask says.
#[derive(Debug, Clone, Copy, Default)]
pub struct UserFilesVfs;

impl Vfs for UserFilesVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        create_folders(dir, USER_FOLDER)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskVfs.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        create_file(path, USER_FILE)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        DiskVfs.open_append(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        DiskVfs.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskVfs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskVfs.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        DiskVfs.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        DiskVfs.free_bytes(dir)
    }
}

/// Creates a folder with this mode, and its missing parents as the umask says.
fn create_folders(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folders(parent, USER_FOLDER)?;
    match DirBuilder::new().mode(mode).create(dir) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
        _ => DiskVfs.sync_dir(parent),
    }
}

fn create_file(path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>> {
    let file = OpenOptions::new().append(true).create_new(true).mode(mode).open(path)?;
    Ok(Box::new(DiskWriteFile { file, len: 0 }))
}

#[derive(Debug)]
struct DiskWriteFile {
    file: File,
    len: u64,
}

impl WriteFile for DiskWriteFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[derive(Debug)]
struct DiskReadFile {
    file: File,
    len: u64,
}

impl ReadFile for DiskReadFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let wanted = buffer.len();
        let buffers = &mut [io::IoSliceMut::new(buffer)];
        // A file system that cannot tell refuses the flag; whatever is wrong, a plain read will say.
        let read = preadv2(&self.file, buffers, offset, ReadWriteFlags::NOWAIT);
        Ok(read.is_ok_and(|bytes| bytes == wanted))
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_written_is_read_from_memory_and_not_beyond_its_end() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        DiskVfs.create(&path)?.append(b"0123456789")?;
        let file = DiskVfs.open_read(&path)?;
        let mut buffer = [0; 4];
        // File systems that cannot tell say no; then the bytes are read as any others.
        if file.read_cached_at(3, &mut buffer)? {
            assert_eq!(&buffer, b"3456");
        }
        assert!(!file.read_cached_at(8, &mut buffer)?, "four bytes are not there");
        file.read_exact_at(6, &mut buffer)?;
        assert_eq!(&buffer, b"6789");
        Ok(())
    }

    fn mode(path: &Path) -> io::Result<u32> {
        Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777)
    }

    #[test]
    fn what_a_data_folder_holds_is_for_its_owner_and_what_a_user_asked_for_is_not() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("parent/data");
        DiskVfs.create_dir_all(&data)?;
        DiskVfs.create(&data.join("file"))?;
        assert_eq!((mode(&data)?, mode(&data.join("file"))?), (0o700, 0o600));
        UserFilesVfs.create(&dir.path().join("export"))?;
        let by_umask = OpenOptions::new().write(true).create_new(true).open(dir.path().join("plain"));
        by_umask?;
        assert_eq!(mode(&dir.path().join("export"))?, mode(&dir.path().join("plain"))?);
        UserFilesVfs.create_dir_all(&dir.path().join("folder"))?;
        assert_eq!(mode(&dir.path().join("folder"))?, mode(&dir.path().join("parent"))?, "made on the way");
        Ok(())
    }

    #[test]
    fn a_mode_is_made_narrower_and_never_wider_and_links_are_left_alone() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        DiskVfs.create(&file)?;
        std::os::unix::fs::symlink(&file, &link)?;
        for (before, after) in [(0o644, 0o600), (0o440, 0o400), (0o600, 0o600), (0o777, 0o700)] {
            fs::set_permissions(&file, Permissions::from_mode(before))?;
            assert!(!DiskVfs.restrict_to_owner(&link)?);
            assert_eq!(mode(&file)?, before, "through a link");
            assert_eq!(DiskVfs.restrict_to_owner(&file)?, before != after);
            assert_eq!(mode(&file)?, after);
        }
        Ok(())
    }
}
