//! Key files that are about to be written, in front of those on the disk: what would be is judged before it is.
//! Never writes one.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Account, Facts, KeyFile, KeyFiles, Owner, Unreadable};
use crate::edge::files::Disk;

/// Files that are not there yet, and all that are.
pub(super) struct Overlay<'a> {
    /// Where each will be, and what it will hold.
    files: Vec<(PathBuf, &'a [u8])>,
}

impl<'a> Overlay<'a> {
    /// In front of the disk: where each will be, and what it will hold.
    pub(super) fn new(files: impl IntoIterator<Item = (PathBuf, &'a [u8])>) -> Self {
        Self { files: files.into_iter().collect() }
    }
}

impl KeyFiles for Overlay<'_> {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        match self.files.iter().find(|(place, _)| path == place) {
            Some((_, contents)) => {
                let contents = Zeroizing::new(contents.to_vec());
                Ok(KeyFile { contents, facts: Facts { mode: 0o600, owner: Owner::Us, group: 0 } })
            }
            None => Disk.read(path),
        }
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
