//! The folders that the daemon writes to: made, and given to its user. Never follows a link, and never gives away a folder
//! that others use.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, accessat, chownat, fchown, fstat, openat, statat,
    statfs,
};
use rustix::io::Errno;

use super::PrivilegeError;
use super::account::Identity;

/// A folder that the daemon writes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// The permission bits that it is made with.
    mode: u32,
    purpose: Purpose,
}

/// What else may be in it, so that it is still the daemon's own.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Purpose {
    /// Any file.
    Whole,
    /// Only what is called like this, and goes on differently.
    Beside(Vec<OsString>),
    /// Pins, on bpffs: the user need not get there by its path.
    Pins,
}

impl Folder {
    /// A folder that was configured as the daemon's own.
    #[must_use]
    pub const fn whole(path: PathBuf) -> Self {
        Self { path, mode: 0o700, purpose: Purpose::Whole }
    }

    /// Adds the folder of a file of the daemon's, unless it is among them.
    pub(super) fn add(folders: &mut Vec<Self>, file: &Path, mode: u32) {
        let (path, name) = (super::folder_of(file), file.file_name().unwrap_or_default().to_owned());
        match folders.iter_mut().find(|folder| folder.path == path) {
            Some(Self { purpose: Purpose::Beside(names), .. }) => names.push(name),
            Some(_) => {}
            None => folders.push(Self { path, mode, purpose: Purpose::Beside(vec![name]) }),
        }
    }

    /// The folder of the pins.
    #[must_use]
    pub const fn pins(path: PathBuf) -> Self {
        Self { path, mode: 0o700, purpose: Purpose::Pins }
    }

    /// Makes it, if it is not there, and opens it.
    fn open(&self) -> Result<Option<OwnedFd>, PrivilegeError> {
        if self.purpose == Purpose::Pins && !is_on_bpffs(&self.path) {
            // Whoever loads the program says what is missing.
            return Ok(None);
        }
        let failed = |doing| move |source| PrivilegeError::Folder { doing, path: self.path.clone(), source };
        if let Some(above) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(above).map_err(failed("make"))?;
        }
        match DirBuilder::new().mode(self.mode).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make")(error)),
            Ok(()) | Err(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, &self.path, flags, Mode::empty()).map_err(io::Error::from);
        opened.map(Some).map_err(failed("open"))
    }

    /// What in it is not the daemon's, if there is something.
    fn stranger(&self, entries: &[(OsString, FileType)]) -> Option<PathBuf> {
        entries.iter().find(|entry| !self.is_ours(entry)).map(|(name, _)| self.path.join(name))
    }

    /// Whether an entry of it is the daemon's.
    fn is_ours(&self, (name, kind): &(OsString, FileType)) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        match &self.purpose {
            Purpose::Pins => true,
            Purpose::Whole => matches!(kind, FileType::RegularFile | FileType::Socket),
            Purpose::Beside(files) => {
                *kind != FileType::Directory && files.iter().any(|file| name.as_bytes().starts_with(file.as_bytes()))
            }
        }
    }
}

/// Makes each folder, and gives it to the daemon's user if it is still root's, with what is in it. One that is the user's already stays
/// untouched: what is in there is not root's to follow.
pub(super) fn give(folders: &[Folder], identity: Option<&Identity>) -> Result<(), PrivilegeError> {
    for folder in folders {
        let failed = |error: Errno| PrivilegeError::Folder {
            doing: "give to its user",
            path: folder.path.clone(),
            source: error.into(),
        };
        // Whoever stays root makes them when they are needed.
        if identity.is_none() && folder.purpose == Purpose::Pins {
            continue;
        }
        let (Some(opened), Some(identity)) = (folder.open()?, identity) else { continue };
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        let found = fstat(&opened).map_err(failed)?;
        if found.st_uid != 0 || found.st_mode & 0o022 != 0 {
            continue;
        }
        let entries = entries(&opened).map_err(failed)?;
        if folder.stranger(&entries).is_some() {
            continue;
        }
        for (name, _) in &entries {
            chownat(&opened, name.as_os_str(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        // Last: nobody else could change anything in it meanwhile.
        fchown(&opened, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(())
}

/// Takes the files of root's in the user's folders: an earlier daemon that was still root has written them as it ended. Where
/// that is not allowed they stay, and whoever reads them says so.
///
/// Only regular files with one name, in folders that are the user's: a file of root's that somebody has linked there has two.
pub(super) fn take_left_behind(folders: &[Folder], uid: Uid, gid: Gid) {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    for folder in folders.iter().filter(|folder| folder.purpose != Purpose::Pins) {
        let Ok(opened) = openat(CWD, &folder.path, OFlags::RDONLY | flags, Mode::empty()) else { continue };
        if !fstat(&opened).is_ok_and(|found| found.st_uid == uid.as_raw()) {
            continue;
        }
        let found = entries(&opened).unwrap_or_default();
        for (name, _) in found.iter().filter(|entry| folder.is_ours(entry)) {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(file) = openat(&opened, name.as_os_str(), flags, Mode::empty()) else { continue };
            let Ok(found) = fstat(&file) else { continue };
            let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            if is_file && found.st_uid == 0 && found.st_nlink == 1 {
                let _ = chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH);
            }
        }
    }
}

/// Asks whether the user that this process is by now can write to its folders.
pub(super) fn are_writable(folders: &[Folder], identity: &Identity) -> Result<(), PrivilegeError> {
    for folder in folders.iter().filter(|folder| folder.purpose != Purpose::Pins) {
        if accessat(CWD, &folder.path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
            continue;
        }
        let (path, user) = (folder.path.clone(), identity.name.clone());
        let opened = openat(CWD, &folder.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let other = opened.ok().and_then(|opened| folder.stranger(&entries(&opened).ok()?));
        return Err(match other {
            Some(other) => PrivilegeError::Shared { path, other, user },
            None => PrivilegeError::Closed { path, user },
        });
    }
    Ok(())
}

/// Keeps the folder of the pins open: the folder above, which is root's, is closed to others on many machines.
pub(super) fn hold_pins(folders: &[Folder]) {
    for folder in folders.iter().filter(|folder| folder.purpose == Purpose::Pins) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(opened) = openat(CWD, &folder.path, flags, Mode::empty()) {
            // There is one; a second would be reached by its path alone.
            let _ = PINS.set((folder.path.clone(), opened));
        }
    }
}

/// A path by which this process reaches the folder of its pins: its own, or one through the open folder.
#[must_use]
pub fn reachable(folder: &Path) -> PathBuf {
    match PINS.get() {
        Some((path, opened)) if path == folder && accessat(CWD, folder, Access::EXEC_OK, AtFlags::EACCESS).is_err() => {
            PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
        }
        Some(_) | None => folder.to_owned(),
    }
}

static PINS: OnceLock<(PathBuf, OwnedFd)> = OnceLock::new();

fn entries(folder: &OwnedFd) -> Result<Vec<(OsString, FileType)>, Errno> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        found.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind));
    }
    Ok(found)
}

fn is_on_bpffs(path: &Path) -> bool {
    path.ancestors().find_map(|path| statfs(path).ok()).is_some_and(|found| found.f_type == BPF_FS_MAGIC)
}

/// linux/magic.h
const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_root_has_left_in_the_users_folder_is_taken_and_a_link_to_a_file_of_roots_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        for path in [state.join("bans.json"), elsewhere.path().join("shadow"), elsewhere.path().join("linked")] {
            fs::write(path, "").unwrap();
        }
        fs::hard_link(elsewhere.path().join("linked"), state.join("ledger")).unwrap();
        symlink(elsewhere.path().join("shadow"), state.join("known.json")).unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();

        // A folder that is not the user's is none of its business.
        let folders = [Folder::whole(state.clone())];
        let nobody = (Uid::from_raw(65534), Gid::from_raw(65534));
        take_left_behind(&folders, nobody.0, nobody.1);
        assert_eq!(owner(&state.join("bans.json")), 0);

        std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
        take_left_behind(&folders, nobody.0, nobody.1);
        assert_eq!(owner(&state.join("bans.json")), 65534);
        assert_eq!(owner(&elsewhere.path().join("shadow")), 0);
        assert_eq!(owner(&elsewhere.path().join("linked")), 0);
    }

    #[test]
    fn a_new_folder_and_what_root_left_in_an_old_one_become_the_users() {
        let place = tempfile::tempdir().unwrap();
        let (new, old) = (place.path().join("a/new"), place.path().join("old"));
        fs::create_dir(&old).unwrap();
        fs::write(old.join("nonces"), "").unwrap();
        give(&[Folder::whole(new.clone()), Folder::whole(old.clone())], Some(&nobody())).unwrap();
        assert_eq!((owner(&new), owner(&old), owner(&old.join("nonces"))), (NOBODY, NOBODY, NOBODY));
        assert_eq!(owner(&place.path().join("a")), 0);
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn nothing_in_a_folder_of_the_users_is_followed_or_given() {
        let place = tempfile::tempdir().unwrap();
        let (folder, roots) = (place.path().join("state"), place.path().join("roots"));
        fs::write(&roots, "").unwrap();
        fs::create_dir(&folder).unwrap();
        symlink(&roots, folder.join("nonces")).unwrap();
        give(&[Folder::whole(folder.clone())], Some(&nobody())).unwrap();
        // A link is nothing that the daemon leaves there: the folder stays root's, and so does what the link names.
        assert_eq!((owner(&folder), owner(&roots)), (0, 0));
        fs::remove_file(folder.join("nonces")).unwrap();
        give(&[Folder::whole(folder.clone())], Some(&nobody())).unwrap();
        assert_eq!(owner(&folder), NOBODY);
        fs::hard_link(&roots, folder.join("nonces")).unwrap();
        give(&[Folder::whole(folder.clone())], Some(&nobody())).unwrap();
        assert_eq!(owner(&roots), 0);
    }

    #[test]
    fn a_folder_that_others_use_is_not_given_away() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("log");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("syslog"), "").unwrap();
        let mut audit = Vec::new();
        Folder::add(&mut audit, &folder.join("audit.jsonl"), 0o750);
        Folder::add(&mut audit, &folder.join("admin.sock"), 0o755);
        assert_eq!(audit.len(), 1);
        give(&audit, Some(&nobody())).unwrap();
        assert_eq!((owner(&folder), owner(&folder.join("syslog"))), (0, 0));
        fs::rename(folder.join("syslog"), folder.join("audit.jsonl.1")).unwrap();
        give(&audit, Some(&nobody())).unwrap();
        assert_eq!((owner(&folder), owner(&folder.join("audit.jsonl.1"))), (NOBODY, NOBODY));
    }

    fn owner(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    fn nobody() -> Identity {
        Identity { name: "nobody".into(), uid: NOBODY, gid: NOBODY }
    }

    const NOBODY: u32 = 65_534;
}
