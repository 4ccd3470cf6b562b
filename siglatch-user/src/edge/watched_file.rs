//! A file that is looked at now and then: whether somebody has changed it. Never reads it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The file, and how it was.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    /// Nothing if it was not there.
    seen: Option<Stamp>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: SystemTime,
}

impl WatchedFile {
    /// As it is now counts as seen.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let seen = stamp_of(&path);
        Self { path, seen }
    }

    /// Whether it has changed since this was last asked, and rests: what somebody is still writing is not looked at. One that
    /// is gone has not changed yet: whoever replaces it may be about to.
    pub fn has_changed(&mut self) -> bool {
        match stamp_of(&self.path) {
            Some(stamp) if Some(stamp) != self.seen && stamp.rests() => {
                self.seen = Some(stamp);
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Stamp {
    /// Of a file; nothing if the file system does not keep the time of changes.
    pub(super) fn of(metadata: &Metadata) -> std::io::Result<Self> {
        let modified = metadata.modified()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.size(), modified })
    }

    /// Whether nobody has written to it for a while, as far as the clock tells.
    pub(super) fn rests(&self) -> bool {
        SystemTime::now().duration_since(self.modified).map_or(true, |since| since >= REST)
    }
}

fn stamp_of(path: &std::path::Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().and_then(|metadata| Stamp::of(&metadata).ok())
}

/// Whoever writes a file in pieces takes less than this between two of them.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_change_is_told_once_when_it_rests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |text: &str, ago: u64| {
            fs::write(&path, text).unwrap();
            let at = SystemTime::now() - Duration::from_secs(ago);
            File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        write("one", 9);
        let mut file = WatchedFile::new(path.clone());
        assert!(!file.has_changed());
        write("three", 0);
        assert!(!file.has_changed(), "somebody may be writing");
        write("three", 3);
        assert!(file.has_changed() && !file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(!file.has_changed());
        write("three", 2);
        assert!(file.has_changed(), "another file has its name");
    }
}
