//! Files that operators keep: the configuration, keys, enrolment files. Never knows what is in them.
//!
//! What is judged is what was opened: type, owner and mode come from the open file, not from its path. What is written
//! is there whole or not at all, also after a power cut.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use thiserror::Error;
use zeroize::Zeroizing;

use super::action::account;
use super::privilege::is_withheld;
use crate::config::{Account, Facts, KeyFile, KeyFiles, Owner, Unreadable};

/// Key files on this machine's disks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// A file could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {doing} {}: {source}{}", .path.display(), cure(.source))]
pub struct FileError {
    /// What was tried.
    pub doing: &'static str,
    /// With which file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl FileError {
    /// Whether it is for the lack of a file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl KeyFiles for Disk {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        read_key(path).map(|(file, _)| file)
    }

    fn facts(&self, path: &Path) -> Result<Facts, Unreadable> {
        Ok(facts(&fs::metadata(path)?))
    }

    fn zone(&self, name: &str) -> Result<Vec<u8>, Unreadable> {
        zone(Path::new(ZONES), name)
    }

    fn user(&self, name: &str) -> Option<Account> {
        let (uid, gid) = match account::number(name) {
            Some(uid) => (uid, account::group_of_user(uid).unwrap_or(uid)),
            None => account::user_named(name)?,
        };
        Some(Account { uid, gid })
    }

    fn group(&self, name: &str) -> Option<u32> {
        account::number(name).or_else(|| account::group_named(name))
    }
}

/// A key file, and what the system said of it before it was read.
pub(super) fn read_key(path: &Path) -> Result<(KeyFile, fs::Metadata), Unreadable> {
    let (file, metadata) = open(path)?;
    let length = usize::try_from(metadata.len()).ok().filter(|length| *length <= KEY_MAX);
    let Some(length) = length else { return Err(Unreadable::TooLarge { limit: KEY_MAX as u64 }) };
    // No more room than there are bytes: all of it is wiped when it is dropped, for each of ten thousand users.
    let mut contents = Zeroizing::new(vec![0; length]);
    (&file).read_exact(&mut contents)?;
    Ok((KeyFile { contents, facts: facts(&metadata) }, metadata))
}

/// What the system says of a file.
pub(super) fn facts(metadata: &fs::Metadata) -> Facts {
    let owner = match metadata.uid() {
        0 => Owner::Root,
        uid if uid == rustix::process::geteuid().as_raw() => Owner::Us,
        uid => Owner::Stranger { uid },
    };
    Facts { mode: metadata.mode() & 0o7777, owner, group: metadata.gid() }
}

/// The file of a time zone in that folder.
fn zone(folder: &Path, name: &str) -> Result<Vec<u8>, Unreadable> {
    let (file, _) = open(&folder.join(name))?;
    let mut rules = Vec::new();
    file.take(ZONE_MAX + 1).read_to_end(&mut rules)?;
    if rules.len() as u64 > ZONE_MAX { Err(Unreadable::TooLarge { limit: ZONE_MAX }) } else { Ok(rules) }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            io::ErrorKind::UnexpectedEof => Self::Failed { reason: "it was cut while it was read".to_owned() },
            _ => Self::Failed { reason: error.to_string() },
        }
    }
}

/// Reads a configuration: UTF-8, at most 16 MiB.
///
/// # Errors
/// [`FileError`] if it is not there, may not be read, or is no such text.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let failed = |source| FileError { doing: "read", path: path.to_owned(), source };
    let invalid = |reason: &str| failed(io::Error::new(io::ErrorKind::InvalidData, reason));
    let file = match open(path) {
        Ok((file, _)) => file,
        Err(Unreadable::Missing) => return Err(failed(Errno::NOENT.into())),
        Err(Unreadable::Forbidden) => return Err(failed(Errno::ACCESS.into())),
        Err(Unreadable::Withheld) => {
            let reason =
                "the running daemon keeps to folders that it knew at its start: restart it, or put the file back";
            return Err(failed(io::Error::other(reason)));
        }
        Err(Unreadable::NotAFile) => return Err(invalid("it is not a file")),
        Err(Unreadable::TooLarge { .. }) => return Err(invalid("it is too large")),
        Err(Unreadable::Failed { reason }) => return Err(failed(io::Error::other(reason))),
    };
    let mut bytes = Vec::new();
    file.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(invalid("it is larger than 16 MiB"));
    }
    String::from_utf8(bytes)
        .map_err(|flaw| invalid(&format!("it is not UTF-8 text (byte {} on)", flaw.utf8_error().valid_up_to())))
}

/// Whether there is anything at that path, a dangling link included.
#[must_use]
pub fn exists(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Makes a file that was not there before, with these permission bits.
///
/// # Errors
/// [`FileError`], also if there is one: nothing is overwritten.
pub fn create(path: &Path, mode: u32, contents: &[u8]) -> Result<(), FileError> {
    create_for(path, mode, None, contents)
}

/// Makes a file that was not there before, with these permission bits and, if one is named, that group.
///
/// # Errors
/// [`FileError`], also if there is one: nothing is overwritten.
pub fn create_for(path: &Path, mode: u32, group: Option<u32>, contents: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError { doing: "write", path: path.to_owned(), source };
    let (temporary, file) = temporary(path, 0o600, contents).map_err(failed)?;
    // The bits last: a change of owners may take some of them away.
    let given = fchown(&file, None, group).and_then(|()| file.set_permissions(Permissions::from_mode(mode)));
    if let Err(error) = given.and_then(|()| file.sync_all()) {
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    let moved = renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from);
    let put = match moved {
        // The file system does not know the flag. A link refuses a taken name as well.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let linked = fs::hard_link(&temporary, path);
            let _ = fs::remove_file(&temporary);
            linked
        }
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
        Ok(()) => Ok(()),
    };
    put.and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Replaces a file; its mode and owner stay. Readers see the old one or the new one whole.
///
/// # Errors
/// [`FileError`]; then the old one is still there.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError { doing: "write", path: path.to_owned(), source };
    // Through links: the file is replaced, not the link to it.
    let target = fs::canonicalize(path).map_err(failed)?;
    let old = fs::metadata(&target).map_err(failed)?;
    let (temporary, file) = temporary(&target, 0o600, contents).map_err(failed)?;
    let put = file
        .metadata()
        .and_then(|new| match (new.uid(), new.gid()) == (old.uid(), old.gid()) {
            true => Ok(()),
            false => fchown(&file, Some(old.uid()), Some(old.gid())),
        })
        .and_then(|()| file.set_permissions(Permissions::from_mode(old.mode() & 0o7777)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, &target));
    if put.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    put.and_then(|()| sync_folder_of(&target)).map_err(failed)
}

/// Takes a file away that this program has just made.
///
/// # Errors
/// [`FileError`] if it stays.
pub fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(|source| FileError { doing: "remove", path: path.to_owned(), source })
}

/// Makes a folder, and those above it, with these permission bits. One that is there stays as it is.
///
/// # Errors
/// [`FileError`] if there is none then.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| FileError { doing: "make", path: path.to_owned(), source })
}

/// Makes a folder, and those above it, with these permission bits and that group. One that is there stays as it is.
///
/// # Errors
/// [`FileError`] if there is none then.
pub fn make_folder_for(path: &Path, mode: u32, group: Option<u32>) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    make_folder(path, mode)?;
    let given = std::os::unix::fs::chown(path, None, group);
    given.map_err(|source| FileError { doing: "make", path: path.to_owned(), source })
}

/// A text that the kernel writes while it is read, such as `/proc/net/route`; empty if there is none.
#[must_use]
pub fn kernel_text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What to do about it, if that is always the same.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run this as root, or name a place of yours",
        _ => "",
    }
}

/// Opens a file without waiting for the other end of a pipe, and looks at what was opened.
fn open(path: &Path) -> Result<(File, fs::Metadata), Unreadable> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(|error| match Unreadable::from(error) {
        Unreadable::Forbidden if is_withheld(path) => Unreadable::Withheld,
        why => why,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unreadable::NotAFile);
    }
    Ok((file, metadata))
}

/// A new file beside `path`, written to the disk.
fn temporary(path: &Path, mode: u32, contents: &[u8]) -> io::Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"));
    };
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}", u64::from_ne_bytes(random)));
    let temporary = path.with_file_name(hidden);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all());
    match written {
        Ok(()) => Ok((temporary, file)),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Makes a rename outlive a power cut.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// An RSA-2048 key in PEM is 1.7 kB.
const KEY_MAX: usize = 16 * 1024;

/// Where the tz database is, also by `tzset(3)`.
const ZONES: &str = "/usr/share/zoneinfo";

/// The largest file of the tz database has less than 4 kB.
const ZONE_MAX: u64 = 256 * 1024;

/// A hundred thousand users fit.
const TEXT_MAX: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_created_file_has_its_mode_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, 0o600, b"first").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(create(&path, 0o600, b"second").unwrap_err().source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_the_links_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        create(&path, 0o640, b"old").unwrap();
        symlink(&path, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(entries(folder.path()), 2);
        assert!(replace(&folder.path().join("none"), b"new").unwrap_err().is_missing());
    }

    #[test]
    fn a_key_file_comes_with_what_the_system_says_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, 0o604, b"key").unwrap();
        let file = Disk.read(&path).unwrap();
        assert_eq!((&**file.contents, file.facts.mode), (&b"key"[..], 0o604));
        assert!(matches!(file.facts.owner, Owner::Us | Owner::Root), "{:?}", file.facts);
        assert_eq!(Disk.facts(&path), Ok(file.facts));
        assert_eq!(Disk.facts(&folder.path().join("none")), Err(Unreadable::Missing));
        assert_eq!(Disk.read(&folder.path().join("none")).unwrap_err(), Unreadable::Missing);
        assert_eq!(Disk.read(folder.path()).unwrap_err(), Unreadable::NotAFile);
    }

    #[test]
    fn users_and_groups_of_this_machine_are_found_by_name_and_number() {
        assert_eq!(Disk.user("root"), Some(Account { uid: 0, gid: 0 }));
        assert_eq!((Disk.user("0"), Disk.group("0"), Disk.group("root")), (Disk.user("root"), Some(0), Some(0)));
        assert_eq!((Disk.user("no such user"), Disk.group("no such group")), (None, None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, 0o640, b"key").unwrap();
        assert_eq!(Disk.read(&path).unwrap().facts.group, fs::metadata(&path).unwrap().gid());
    }

    #[test]
    fn what_is_no_key_file_is_neither_waited_for_nor_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large"));
        rustix::fs::mkfifoat(CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(Disk.read(&pipe).unwrap_err(), Unreadable::NotAFile);
        assert_eq!(Disk.read(Path::new("/dev/zero")).unwrap_err(), Unreadable::NotAFile);
        create(&large, 0o600, &[1; KEY_MAX + 1]).unwrap();
        assert_eq!(Disk.read(&large).unwrap_err(), Unreadable::TooLarge { limit: KEY_MAX as u64 });
        fs::write(&large, [1; KEY_MAX]).unwrap();
        assert_eq!(Disk.read(&large).unwrap().contents.len(), KEY_MAX);
    }

    #[test]
    fn a_time_zone_is_a_small_file_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Europe")).unwrap();
        let path = folder.path().join("Europe/Berlin");
        create(&path, 0o644, b"TZif2").unwrap();
        assert_eq!(zone(folder.path(), "Europe/Berlin"), Ok(b"TZif2".to_vec()));
        assert_eq!(zone(folder.path(), "Europe"), Err(Unreadable::NotAFile));
        assert_eq!(zone(folder.path(), "Europe/Bonn"), Err(Unreadable::Missing));
        assert_eq!(zone(folder.path(), "Europe/Berlin/Mitte"), Err(Unreadable::Missing));
        fs::write(&path, vec![0; usize::try_from(ZONE_MAX).unwrap() + 1]).unwrap();
        assert_eq!(zone(folder.path(), "Europe/Berlin"), Err(Unreadable::TooLarge { limit: ZONE_MAX }));
    }

    #[test]
    fn a_text_is_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        create(&path, 0o644, "é".as_bytes()).unwrap();
        assert_eq!(read_text(&path).unwrap(), "é");
        replace(&path, b"a\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("not UTF-8 text (byte 1 on)"));
        assert!(read_text(&folder.path().join("none")).unwrap_err().is_missing());
    }
}
