//! Key files that are about to be written, in front of those on the disk: what would be is judged before it is.
//! Never writes one.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{KeyFile, KeyFiles, Owner, Unreadable};
use crate::edge::files::Disk;

/// One file that is not there yet, and all that are.
pub(super) struct Overlay<'a> {
    /// Where it will be.
    pub(super) path: PathBuf,
    /// What it will hold.
    pub(super) contents: &'a [u8],
}

impl KeyFiles for Overlay<'_> {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        if path != self.path {
            return Disk.read(path);
        }
        Ok(KeyFile { contents: Zeroizing::new(self.contents.to_vec()), mode: 0o600, owner: Owner::Us })
    }
}
