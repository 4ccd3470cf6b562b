//! The file that is written to: opened, mended, added to, cut back, set aside. Never knows what records say.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::AuditError;
use super::shelf::first_seq;
use crate::audit::Link;
use crate::audit::chain::Sealed;

/// The file that is written to. This process alone writes it, as long as this is held.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    len: u64,
}

/// How the file was found.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Condition {
    /// Its last record.
    pub(super) last: Option<Link>,
    /// Bytes behind the last line, which were cut away.
    pub(super) torn: u64,
    /// Its last line is no record.
    pub(super) is_damaged: bool,
}

/// What became of a write that failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Bytes of whole lines that are in the file all the same.
    pub(super) kept: usize,
    /// Why the others are not.
    pub(super) error: io::Error,
}

impl LogFile {
    /// Opens the file, or makes it and its folder, and cuts away what follows its last whole line.
    pub(super) fn open(path: &Path) -> Result<(Self, Condition), AuditError> {
        let failed = |doing| move |source| AuditError::File { doing, path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed("make the folder of"))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("open"))?;
        if !metadata.is_file() {
            return Err(failed("write")(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(AuditError::Locked { path: path.to_owned() });
        }
        let mut log = Self { path: path.to_owned(), file, len: metadata.len() };
        let condition = log.mend().map_err(failed("mend"))?;
        Ok((log, condition))
    }

    /// Bytes in it.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Adds whole lines. If not all of them find room, those that do stay, and no piece of another.
    pub(super) fn add(&mut self, lines: &[u8]) -> Result<(), Failed> {
        // Somebody may have cut the file (`copytruncate`): it is added to where it ends.
        let before = self.file.metadata().map_or(self.len, |metadata| metadata.len());
        let mut done = 0;
        let error = loop {
            match self.file.write(lines.get(done..).unwrap_or_default()) {
                Ok(0) if done < lines.len() => break io::ErrorKind::WriteZero.into(),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if done == lines.len() {
                self.len = before + done as u64;
                return Ok(());
            }
        };
        let whole = lines.get(..done).unwrap_or_default();
        let kept = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.len = before + kept as u64;
        // If it cannot be cut, the piece ends in the middle of a line, which verifying finds; the disk is broken anyway.
        let cut = if kept < done { self.file.set_len(self.len) } else { Ok(()) };
        Err(Failed { kept, error: cut.err().unwrap_or(error) })
    }

    /// Makes it outlive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether this file is still the one at its path.
    pub(super) fn is_in_place(&self) -> bool {
        let (Ok(there), Ok(ours)) = (fs::symlink_metadata(&self.path), self.file.metadata()) else {
            return false;
        };
        // A link that the operator has made leads to it.
        let there = if there.is_symlink() { fs::metadata(&self.path).unwrap_or(there) } else { there };
        (there.dev(), there.ino()) == (ours.dev(), ours.ino())
    }

    /// Gives it another name beside its own, which ends with the number of its first record. No file is overwritten.
    pub(super) fn set_aside(&self, otherwise: u64) -> io::Result<OsString> {
        let first = first_seq(&self.path).unwrap_or(otherwise);
        for attempt in 0..1000 {
            let name = aside_name(&self.path, first, attempt);
            match rename_to_new(&self.path, &self.path.with_file_name(&name)) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Cuts away what follows the last whole line, and looks at that.
    fn mend(&mut self) -> io::Result<Condition> {
        let end = self.end_of_line_before(self.len)?;
        let torn = self.len - end;
        if torn > 0 {
            self.file.set_len(end)?;
            self.len = end;
        }
        if end == 0 {
            return Ok(Condition { torn, ..Condition::default() });
        }
        let start = self.end_of_line_before(end - 1)?;
        let length = usize::try_from(end - 1 - start).unwrap_or(usize::MAX).min(LINE_MAX);
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, start)?;
        let last = Sealed::read(&line).ok().map(|sealed| sealed.link);
        Ok(Condition { last, torn, is_damaged: last.is_none() })
    }

    /// Where the last line ends that ends at or before this place; 0 if none does.
    fn end_of_line_before(&self, place: u64) -> io::Result<u64> {
        let mut block = vec![0; BLOCK];
        let mut place = place;
        while place > 0 {
            let start = place.saturating_sub(BLOCK as u64);
            let part = usize::try_from(place - start).unwrap_or(BLOCK);
            let part = block.get_mut(..part).unwrap_or_default();
            self.file.read_exact_at(part, start)?;
            if let Some(found) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + found as u64 + 1);
            }
            place = start;
        }
        Ok(0)
    }
}

/// `audit.jsonl.000000000057`; with `-1` and so on, should there be such a file.
pub(super) fn aside_name(path: &Path, first: u64, attempt: u32) -> OsString {
    let mut name = path.file_name().map(OsStr::to_owned).unwrap_or_default();
    name.push(format!(".{first:012}"));
    if attempt > 0 {
        name.push(format!("-{attempt}"));
    }
    name
}

fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag. A link refuses a taken name as well.
        Err(rustix::io::Errno::INVAL) => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
        done => done.map_err(io::Error::from),
    }
}

const BLOCK: usize = 64 * 1024;

/// The longest record is some kilobytes.
pub(super) const LINE_MAX: usize = 1 << 20;
