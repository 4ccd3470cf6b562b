//! Key files that were read before and have not changed since: looked at, and not read again. Never gives what a file held once
//! and holds no more.
//!
//! Ten thousand files take longer to open than everything else that a reload does.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::clock;
use super::files::{Disk, facts, read_key};
use crate::config::{Account, Facts, KeyFile, KeyFiles, Unreadable};

/// Files on this machine's disks, with the contents of those that were read.
#[derive(Debug, Default)]
pub struct RememberedFiles {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<PathBuf, Remembered>,
    round: u64,
}

#[derive(Debug)]
struct Remembered {
    state: State,
    contents: Zeroizing<Vec<u8>>,
    /// The last round in which it was asked for.
    round: u64,
}

/// What is another one when a file is replaced, written to, or given to somebody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct State {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl RememberedFiles {
    /// Forgets, and wipes, what nobody has asked for since the last call.
    pub fn forget_others(&self) {
        let mut kept = self.kept();
        let round = kept.round;
        kept.files.retain(|_, file| file.round == round);
        kept.round += 1;
    }

    /// What was read before, if the file is as it was.
    fn known(&self, path: &Path) -> Option<KeyFile> {
        let Kept { files, round } = &mut *self.kept();
        let file = files.get_mut(path)?;
        let metadata = fs::metadata(path).ok().filter(|metadata| State::of(metadata) == file.state)?;
        file.round = *round;
        Some(KeyFile { contents: file.contents.clone(), facts: facts(&metadata) })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyFiles for RememberedFiles {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        if let Some(file) = self.known(path) {
            return Ok(file);
        }
        // From before the file was read: what has changed meanwhile is another state than this one.
        let (file, metadata) = read_key(path)?;
        let state = State::of(&metadata);
        let Kept { files, round } = &mut *self.kept();
        if state.is_settled() {
            let remembered = Remembered { state, contents: file.contents.clone(), round: *round };
            files.insert(path.to_owned(), remembered);
        } else {
            files.remove(path);
        }
        Ok(file)
    }

    fn facts(&self, path: &Path) -> Result<Facts, Unreadable> {
        Disk.facts(path)
    }

    fn zone(&self, name: &str) -> Result<Vec<u8>, Unreadable> {
        Disk.zone(name)
    }

    fn user(&self, name: &str) -> Option<Account> {
        Disk.user(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        Disk.group(name)
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is so old that the next change has another time, by the clock that file systems go by.
    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or(u64::MAX);
        changed.saturating_add(SETTLING.as_secs()) < clock::now().wall.as_secs()
    }
}

/// File systems count time in steps, the coarsest ones of two seconds.
const SETTLING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["alice.key", "bob.key"].map(|name| folder.path().join(name));
        fs::write(&path, "one").unwrap();
        fs::write(&other, "ene").unwrap();
        let files = RememberedFiles::default();
        let read = || {
            let KeyFile { contents, facts } = files.read(&path).unwrap();
            (String::from_utf8(contents.to_vec()).unwrap(), facts)
        };
        let young = read();
        assert_eq!(young.0, "one");
        assert!(files.kept().files.is_empty(), "too young to be trusted");
        sleep(SETTLING + Duration::from_secs(2));
        assert_eq!(read(), young);
        // What is not on the disk shows what was not read there.
        *files.kept().files.get_mut(&path).unwrap().contents = b"remembered".to_vec();
        assert_eq!(read(), ("remembered".to_owned(), young.1));

        // As long, and written in the same place.
        fs::write(&path, "two").unwrap();
        assert_eq!((read().0, read().0), ("two".to_owned(), "two".to_owned()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read().1.mode, 0o640);
        // Another file, which was there all the while, under its name.
        fs::rename(&other, &path).unwrap();
        assert_eq!(read().0, "ene");
        fs::remove_file(&path).unwrap();
        assert_eq!(files.read(&path).unwrap_err(), Unreadable::Missing);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let [stays, goes] = ["stays", "goes"].map(|name| folder.path().join(name));
        for path in [&stays, &goes] {
            fs::write(path, "key").unwrap();
        }
        sleep(SETTLING + Duration::from_secs(2));
        let files = RememberedFiles::default();
        let kept = || files.kept().files.keys().cloned().collect::<BTreeSet<_>>();
        for path in [&stays, &goes] {
            files.read(path).unwrap();
        }
        files.forget_others();
        assert_eq!(kept(), [stays.clone(), goes].into());
        files.read(&stays).unwrap();
        files.forget_others();
        assert_eq!(kept(), [stays].into());
    }
}
