//! Whether the disk under a folder is encrypted, as far as Linux knows: a device that is one of dm-crypt (LUKS), or stands
//! on one. What a cloud or a drive encrypts by itself cannot be seen from inside the machine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest of the files that are read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What the device mapper's id of an encrypted device begins with.
const CRYPT: &str = "CRYPT-";

/// What is known of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskEncryption {
    /// The disk is encrypted, by what is named.
    Encrypted(String),
    /// The named device is not encrypted.
    Plain(String),
    /// Whether the disk is encrypted cannot be told, for the reason given.
    Unknown(String),
}

impl DiskEncryption {
    /// The disk under a folder.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let folder = std::fs::canonicalize(folder)?;
        let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        let Some(mount) = Mount::of(&mounts, &folder) else {
            return Ok(Self::Unknown("the system does not say what is mounted there".to_owned()));
        };
        // The device of the file system's files may be a number of its own, as of btrfs; then its source says more.
        let source = std::fs::metadata(&mount.source).ok().map(|source| number(source.rdev()));
        let device = if mount.device.starts_with("0:") { source } else { Some(mount.device.clone()) };
        Ok(judge(Path::new("/sys/dev/block"), &mount, device.as_deref()))
    }
}

/// What is mounted where a folder lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The mounted device, as `major:minor`.
    device: String,
    /// The kind of file system.
    kind: String,
    /// Where that comes from.
    source: PathBuf,
}

impl Mount {
    /// The mount with the longest path that leads to `folder`; of two, the later one hides the earlier.
    fn of(mounts: &str, folder: &Path) -> Option<Self> {
        let parsed = mounts.lines().filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ');
            let (device, point) = (left.nth(2)?, left.nth(1)?);
            let mut right = right.split(' ');
            let mount = Self {
                device: device.to_owned(),
                kind: right.next()?.to_owned(),
                source: unescaped(right.next()?).into(),
            };
            let point = PathBuf::from(unescaped(point));
            folder.starts_with(&point).then(|| (point.as_os_str().len(), mount))
        });
        parsed.max_by_key(|(length, _)| *length).map(|(_, mount)| mount)
    }
}

/// A path as it is, of which spaces and the like are written in octal.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (written, is)| path.replace(written, is))
}

fn judge(devices: &Path, mount: &Mount, device: Option<&str>) -> DiskEncryption {
    let Mount { kind, source, .. } = mount;
    if matches!(&**kind, "ecryptfs" | "fuse.gocryptfs" | "fuse.encfs") {
        return DiskEncryption::Encrypted(kind.clone());
    }
    if matches!(&**kind, "tmpfs" | "ramfs") {
        return DiskEncryption::Unknown(format!("the folder is in memory ({kind})"));
    }
    let Some(node) = device.map(|device| devices.join(device)).filter(|node| node.exists()) else {
        let source = source.display();
        return DiskEncryption::Unknown(format!(
            "the file system ({kind}, {source}) is on no block device of this machine"
        ));
    };
    let name = source.display().to_string();
    if is_encrypted(&node, &mut BTreeSet::new()) {
        return DiskEncryption::Encrypted(format!("{name}, which dm-crypt encrypts"));
    }
    DiskEncryption::Plain(name)
}

/// Whether a device is encrypted, or everything that it is made of is.
fn is_encrypted(node: &Path, seen: &mut BTreeSet<PathBuf>) -> bool {
    let node = std::fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
    if !seen.insert(node.clone()) {
        return false;
    }
    if read(&node.join("dm/uuid")).is_ok_and(|id| id.starts_with(CRYPT)) {
        return true;
    }
    // A partition is on the device whose folder it lies in.
    if node.join("partition").exists() {
        return node.parent().is_some_and(|disk| is_encrypted(disk, seen));
    }
    let parts = std::fs::read_dir(node.join("slaves")).into_iter().flatten().flatten();
    let parts: Vec<_> = parts.map(|entry| entry.path()).collect();
    !parts.is_empty() && parts.iter().all(|part| is_encrypted(part, seen))
}

/// The number of a device as the system writes it.
fn number(device: u64) -> String {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    format!("{major}:{minor}")
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use super::*;

    const MOUNTS: &str = "\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
23 22 253:0 / /srv/my\\040data rw - xfs /dev/mapper/vg-data rw
24 22 0:40 / /run rw - tmpfs tmpfs rw
25 22 0:41 /sub /btr rw - btrfs /dev/dm-7 rw
26 22 0:42 / /net rw - nfs4 host:/x rw
27 22 8:3 / /srv/my\\040data rw - ext4 /dev/sda3 rw
";

    #[test]
    fn the_mount_of_a_folder_is_the_nearest_and_the_last() {
        let of = |path: &str| Mount::of(MOUNTS, Path::new(path)).map(|mount| (mount.device, mount.kind));
        let some = |device: &str, kind: &str| Some((device.to_owned(), kind.to_owned()));
        assert_eq!(of("/home"), some("8:2", "ext4"));
        assert_eq!(of("/srv/my data/x"), some("8:3", "ext4"));
        assert_eq!(of("/srv/my data2"), some("8:2", "ext4"));
        assert_eq!(of("/btr/a"), some("0:41", "btrfs"));
        assert_eq!(Mount::of("rubbish\n - \n1 2 3 - a", Path::new("/")), None);
    }

    #[test]
    fn a_device_is_encrypted_when_it_or_all_that_it_is_made_of_is() {
        let sys = tempfile::tempdir().unwrap();
        let device = |name: &str, uuid: &str, slaves: &[&str]| {
            let node = sys.path().join(name);
            std::fs::create_dir_all(node.join("slaves")).unwrap();
            for slave in slaves {
                std::os::unix::fs::symlink(sys.path().join(slave), node.join("slaves").join(slave.replace(':', "-")))
                    .unwrap();
            }
            if !uuid.is_empty() {
                std::fs::create_dir_all(node.join("dm")).unwrap();
                std::fs::write(node.join("dm/uuid"), uuid).unwrap();
            }
        };
        device("8:1", "", &[]);
        device("8:2", "", &[]);
        device("253:0", "CRYPT-LUKS2-abc\n", &["8:1"]);
        device("253:1", "LVM-abc", &["253:0"]);
        device("253:2", "LVM-abc", &["253:0", "8:2"]);
        device("253:3", "LVM-loop", &["253:3"]);
        let mount = |kind: &str| Mount { device: String::new(), kind: kind.to_owned(), source: "/dev/x".into() };
        let judged = |device: Option<&str>| judge(sys.path(), &mount("ext4"), device);
        for encrypted in ["253:0", "253:1"] {
            assert!(matches!(judged(Some(encrypted)), DiskEncryption::Encrypted(_)), "{encrypted}");
        }
        for plain in ["8:1", "253:2", "253:3"] {
            assert_eq!(judged(Some(plain)), DiskEncryption::Plain("/dev/x".to_owned()), "{plain}");
        }
        assert!(matches!(judged(Some("9:9")), DiskEncryption::Unknown(_)));
        assert!(matches!(judged(None), DiskEncryption::Unknown(_)));
        assert!(matches!(judge(sys.path(), &mount("ecryptfs"), None), DiskEncryption::Encrypted(_)));
        assert!(matches!(judge(sys.path(), &mount("tmpfs"), None), DiskEncryption::Unknown(_)));
    }

    #[test]
    fn numbers_of_devices_are_those_of_the_system() {
        assert_eq!(
            (number(0x801), number(0xfd00), number(0x1_0000_0802)),
            ("8:1".to_owned(), "253:0".to_owned(), "8:1048578".to_owned())
        );
    }
}
