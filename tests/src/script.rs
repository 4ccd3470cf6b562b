//! Programs for the daemon to start: shell scripts in a folder of their own, each of which can leave notes there. Never
//! says what they ought to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::netns::unique;
use crate::process::{PATIENCE, wait_until};

/// A folder of scripts, which is taken away when dropped.
#[derive(Debug)]
pub struct Scripts {
    folder: PathBuf,
}

impl Scripts {
    /// Makes the folder. Whoever a script runs as may leave notes in it.
    ///
    /// # Errors
    /// If the disk takes no more.
    pub fn new() -> Result<Self> {
        let scripts = Self { folder: std::env::temp_dir().join(unique("scripts")) };
        fs::create_dir(&scripts.folder)?;
        fs::set_permissions(&scripts.folder, Permissions::from_mode(0o755))?;
        fs::create_dir(scripts.notes())?;
        fs::set_permissions(scripts.notes(), Permissions::from_mode(0o1777))?;
        Ok(scripts)
    }

    /// Writes a script, to be run by `sh`; `$notes` is the folder for its notes. Gives its path.
    ///
    /// # Errors
    /// If the disk takes no more.
    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, format!("#!/bin/sh\nnotes={}\n{text}\n", self.notes().display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path.display().to_string())
    }

    /// A script's path.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What stands in a note; nothing if there is none.
    #[must_use]
    pub fn note(&self, name: &str) -> String {
        fs::read_to_string(self.notes().join(name)).unwrap_or_default()
    }

    /// Waits until a note is as wanted, and gives it.
    ///
    /// # Errors
    /// With the note if it does not become so.
    pub fn wait_for(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let became = wait_until(PATIENCE, || wanted(&self.note(name)));
        anyhow::ensure!(became, "the note {name} says: {:?}", self.note(name));
        Ok(self.note(name))
    }

    fn notes(&self) -> PathBuf {
        self.folder.join("notes")
    }
}

impl AsRef<Path> for Scripts {
    fn as_ref(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
