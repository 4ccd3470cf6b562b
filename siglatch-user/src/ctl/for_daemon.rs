//! Files that the daemon reads again after it has become a user of its own: the configuration, keys, and their folder.
//! Never decides what is in them.

use std::path::Path;

use crate::config::KeyFiles as _;
use crate::edge::files::{self, Disk, FileError};

/// Who besides root may read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForDaemon {
    /// Nothing: nobody.
    group: Option<u32>,
}

impl ForDaemon {
    /// The own group of the user who the daemon becomes, if it becomes somebody. Only root can give a file away.
    pub(super) fn of(user: Option<&str>) -> Self {
        let group = user.and_then(|name| Disk.user(name)).map(|account| account.gid);
        Self { group: group.filter(|_| rustix::process::geteuid().is_root()) }
    }

    /// Makes a key file.
    pub(super) fn create_key(self, path: &Path, contents: &[u8]) -> Result<(), FileError> {
        let mode = if self.group.is_some() { 0o640 } else { 0o600 };
        files::create_for(path, mode, self.group, contents)
    }

    /// Makes a configuration, in which nothing is secret.
    pub(super) fn create_configuration(self, path: &Path, contents: &[u8]) -> Result<(), FileError> {
        files::create_for(path, 0o640, self.group, contents)
    }

    /// Makes the folder of a key file, unless there is one.
    pub(super) fn make_folder_of(self, key_file: &Path) -> Result<(), FileError> {
        let mode = if self.group.is_some() { 0o750 } else { 0o700 };
        key_file.parent().map_or(Ok(()), |folder| files::make_folder_for(folder, mode, self.group))
    }
}
