//! The head file: number and hash of the last record, in another folder than the log, so that a cut end is noticed.
//! Never reads the log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::audit::Link;

/// The head file of a log.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    file: Option<File>,
    written: Option<Link>,
}

impl HeadFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, written: None }
    }

    /// Writes where the log ends. Its text is shorter than a page: a kill leaves the old one or the new one.
    pub(super) fn write(&mut self, link: Link) -> io::Result<()> {
        if self.written == Some(link) {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        file.write_all_at(link.to_string().as_bytes(), 0)?;
        self.file = Some(file);
        self.written = Some(link);
        Ok(())
    }

    /// Makes it outlive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)
    }
}

/// What the head file there says; nothing if there is none, or none that makes sense.
///
/// # Errors
/// If it cannot be read.
pub fn read_head(path: &Path) -> io::Result<Option<Link>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the head file is.
#[must_use]
pub fn head_path(state_dir: &Path) -> PathBuf {
    state_dir.join("audit.head")
}
