//! A file of the daemon's that is on the disk, whole, before it takes the name of an earlier one; and what stores need
//! around that. Never decides what is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Makes a file anew, writes it through to the disk, and leaves it open for appending. It is there whole, or not at all; only
/// its owner may read it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let write = || {
        remove_if_there(path)?;
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(file)
    };
    write().inspect_err(|_| {
        // What was written of it takes room that others need.
        let _ = remove_if_there(path);
    })
}

/// Puts a file in the place of an earlier one: a reader finds the old one or the new one whole, and so does whoever starts
/// after a loss of power.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // One name, so that whoever is killed here leaves one file at most.
    let new = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    write(&new, bytes)?;
    fs::rename(&new, path).inspect_err(|_| {
        let _ = remove_if_there(&new);
    })?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes sure that names in a folder survive a loss of power.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner may enter, if there is none.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes a file away; that there is none is no error.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
