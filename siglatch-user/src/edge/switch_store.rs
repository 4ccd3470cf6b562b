//! Keeps what is switched off across restarts. Never decides what is.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::fresh_file;
use crate::admin::Switch;
use crate::switches::Switches;

/// The file.
#[derive(Debug)]
pub struct SwitchStore {
    path: PathBuf,
}

/// What is switched off cannot be read or kept.
#[derive(Debug, Error)]
pub enum SwitchStoreError {
    /// The file system does not let it be.
    #[error("cannot {doing} {}: {source}", .path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It makes no sense. Going on without it would let in whom an operator has shut out.
    #[error(
        "{} makes no sense ({flaw}), and says whom operators have switched off: mend it, or remove it and switch off \
         again with siglatchctl disable",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: String,
    },
}

impl SwitchStore {
    /// In a folder of the daemon's.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("switches.json") }
    }

    /// What was kept; nothing is off if nothing was.
    ///
    /// # Errors
    /// [`SwitchStoreError`]: then it is not known what is off.
    pub fn read(&self) -> Result<Switches, SwitchStoreError> {
        let failed = |source| SwitchStoreError::File { doing: "read", path: self.path.clone(), source };
        let damaged = |flaw: String| SwitchStoreError::Damaged { path: self.path.clone(), flaw };
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => drop(file.take(SIZE_MAX).read_to_end(&mut bytes).map_err(failed)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Switches::default()),
            Err(error) => return Err(failed(error)),
        }
        let whole: Whole = serde_json::from_slice(&bytes).map_err(|flaw| damaged(flaw.to_string()))?;
        if whole.version != VERSION {
            return Err(damaged(format!("it is of version {}, this daemon reads version {VERSION}", whole.version)));
        }
        Ok(Switches::of(whole.off))
    }

    /// Keeps it, on the disk, before this returns.
    ///
    /// # Errors
    /// [`SwitchStoreError::File`]; then what was kept before still is.
    pub fn keep(&self, switches: &Switches) -> Result<(), SwitchStoreError> {
        let whole = Whole { version: VERSION, off: switches.iter().collect() };
        let written = serde_json::to_vec_pretty(&whole).map_err(io::Error::from);
        let written = written.and_then(|bytes| fresh_file::put(&self.path, &bytes));
        written.map_err(|source| SwitchStoreError::File { doing: "write", path: self.path.clone(), source })
    }
}

#[derive(Deserialize, Serialize)]
struct Whole {
    version: u32,
    off: Vec<Switch>,
}

const VERSION: u32 = 1;

/// Far more than [`Switches::CAPACITY`] of them take.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::admin::{SwitchKind, SwitchTarget};

    #[test]
    fn what_is_kept_is_read_and_a_file_that_makes_no_sense_is_an_error_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let store = SwitchStore::new(folder.path());
        assert_eq!(store.read().unwrap(), Switches::default());
        let mut switches = Switches::default();
        switches.turn_off(SwitchTarget { kind: SwitchKind::User, name: "alice".to_owned() }, None).unwrap();
        store.keep(&switches).unwrap();
        assert_eq!(store.read().unwrap(), switches);
        let text = fs::read_to_string(folder.path().join("switches.json")).unwrap();
        for bad in [&text[..text.len() / 2], "", "[]", &text.replace("\"version\": 1", "\"version\": 2")] {
            fs::write(folder.path().join("switches.json"), bad).unwrap();
            let error = store.read().unwrap_err().to_string();
            assert!(error.contains("siglatchctl disable"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = SwitchStore::new(&folder.path().join("nowhere"));
        let error = store.keep(&Switches::default()).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }
}
