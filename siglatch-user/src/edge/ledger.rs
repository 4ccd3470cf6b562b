//! Keeps use counts and debts across kill, restart and loss of power. Never decides what is used up or due.
//!
//! One file of lines, each with a checksum and everything that was noted at once ([`line`]). A line is appended and
//! written through before anything happens that it tells of. Whatever is read, and whatever has grown to a multiple of
//! what still counts, is written anew, whole, in the place of the old file. Payloads are the clients' secrets: nobody
//! else may read it.

mod book;
mod line;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use siglatch_common::units::Now;
use thiserror::Error;

use self::book::Book;
use self::line::Line;
use super::fresh_file::{self, make_folder, remove_if_there, sync_folder};
use super::{clock, files};
use crate::gate::{Entry, Noted};

/// The ledger, open for appending.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// The length at which it is written anew.
    compact_at: u64,
    /// What a failure has left half done; nothing is written before it is mended.
    flaw: Option<Flaw>,
    /// Identifies this run of the kernel; empty if it does not say.
    boot: String,
    book: Book,
}

/// The ledger cannot be used.
#[derive(Debug, Error)]
#[error("cannot {doing} {path}: {source}; {}", cure(.source))]
pub struct LedgerError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A ledger that could not be read to its end, set aside for the operator. [`Noted::damaged`] holds as long as it is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Where it is.
    pub path: PathBuf,
}

/// What a failure has left half done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    /// The file may end in the middle of a line, or with a line that was not noted.
    Tail,
    /// The name is right, but a loss of power might bring the earlier file back.
    NameUnsynced,
}

impl Ledger {
    /// Reads what earlier runs noted, and opens the ledger for appending. There is none at first: nothing was noted then.
    ///
    /// A line that was cut short at the end is dropped: it was never noted. Where anything else is damaged, what can be
    /// read is kept, and the old file is set aside ([`Ledger::damage`]).
    ///
    /// After a restart of the machine, debts come with an end by its new clock; those that end with it are due.
    ///
    /// # Errors
    /// [`LedgerError`] if it can be neither read nor written anew.
    pub fn open(dir: &Path) -> Result<(Self, Noted), LedgerError> {
        Self::open_at(dir, files::kernel_text(Path::new(BOOT_ID)).trim(), clock::now())
    }

    fn open_at(dir: &Path, boot: &str, now: Now) -> Result<(Self, Noted), LedgerError> {
        let failed = |doing, name: &str| {
            let path = dir.join(name);
            move |source| LedgerError { doing, path, source }
        };
        make_folder(dir).map_err(failed("make", ""))?;
        let mut kept = match fs::read(dir.join(CURRENT)) {
            Ok(bytes) => Kept::read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept { boot: boot.to_owned(), ..Kept::default() },
            Err(source) => return Err(failed("read", CURRENT)(source)),
        };
        let rebooted = kept.boot != boot || boot.is_empty();
        if rebooted {
            kept.book.start_anew(now);
        }
        let (file, length) = write_new(dir, boot, &kept.book).map_err(failed("write", NEW))?;
        // The old file keeps its name until the new one takes it: what can be read is under that name at any time.
        if kept.is_damaged {
            set_aside(dir).map_err(failed("set aside", CURRENT))?;
        }
        let named = fs::rename(dir.join(NEW), dir.join(CURRENT)).and_then(|()| sync_folder(dir));
        named.map_err(failed("write", CURRENT))?;
        let ledger = Self {
            dir: dir.to_owned(),
            file,
            length,
            compact_at: compact_at(length),
            flaw: None,
            boot: boot.to_owned(),
            book: kept.book,
        };
        let noted = ledger.book.noted(rebooted, ledger.damage().is_some());
        Ok((ledger, noted))
    }

    /// Notes all of these, or none: after this they survive a loss of power.
    ///
    /// # Errors
    /// [`LedgerError`] if the disk takes no more; what depends on them must then not happen.
    pub fn note(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.mend()?;
        let bytes = Line::Noted(entries.to_vec()).encode();
        match self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => self.length += bytes.len() as u64,
            Err(source) => {
                self.flaw = Some(Flaw::Tail);
                // At once: a line that was not noted must not be read by the next daemon.
                let _ = self.mend();
                return Err(self.error("write", source));
            }
        }
        entries.iter().cloned().for_each(|entry| self.book.enter(entry));
        if self.length >= self.compact_at {
            self.compact();
        }
        Ok(())
    }

    /// The ledger that could not be read to its end, as long as the operator has not taken it away.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        let path = self.dir.join(DAMAGED);
        files::exists(&path).then_some(Damage { path })
    }

    /// Writes what still counts into a file of its own, in place of this one. If that fails, nothing is lost: the next
    /// attempt comes when the file has grown again.
    fn compact(&mut self) {
        self.compact_at = compact_at(self.length);
        let Ok((file, length)) = write_new(&self.dir, &self.boot, &self.book) else {
            return;
        };
        if fs::rename(self.dir.join(NEW), self.dir.join(CURRENT)).is_err() {
            let _ = remove_if_there(&self.dir.join(NEW));
            return;
        }
        (self.file, self.length, self.flaw) = (file, length, Some(Flaw::NameUnsynced));
        self.compact_at = compact_at(length);
        let _ = self.mend();
    }

    /// Finishes what a failure has left half done.
    fn mend(&mut self) -> Result<(), LedgerError> {
        let mended = match self.flaw {
            None => Ok(()),
            Some(Flaw::Tail) => self.file.set_len(self.length).and_then(|()| self.file.sync_data()),
            Some(Flaw::NameUnsynced) => sync_folder(&self.dir),
        };
        mended.map_err(|source| self.error("mend", source))?;
        self.flaw = None;
        Ok(())
    }

    fn error(&self, doing: &'static str, source: io::Error) -> LedgerError {
        LedgerError { doing, path: self.dir.join(CURRENT), source }
    }
}

impl fmt::Display for Damage {
    /// What is wrong, and the cure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} could not be read to its end: nobody knows how often anybody has knocked, and knocks that are counted are refused. \
             Give new keys to those whose uses must not begin again, take the file away, and start the daemon anew",
            self.path.display()
        )
    }
}

/// What a file has kept.
#[derive(Debug, Default)]
struct Kept {
    book: Book,
    /// The run of the kernel that it was written under; empty if it does not say.
    boot: String,
    is_damaged: bool,
}

impl Kept {
    fn read(bytes: &[u8]) -> Self {
        let mut kept = Self::default();
        let mut lines = bytes.split_inclusive(|byte| *byte == LF);
        match lines.next().and_then(|first| Line::decode(first.strip_suffix(&[LF])?)) {
            Some(Line::Begun { boot }) => kept.boot = boot,
            // It is there from the beginning: never cut short.
            Some(Line::Noted(_)) | None => kept.is_damaged = true,
        }
        for line in lines {
            match line.strip_suffix(&[LF]).map(Line::decode) {
                Some(Some(Line::Noted(entries))) => entries.into_iter().for_each(|entry| kept.book.enter(entry)),
                Some(Some(Line::Begun { .. }) | None) => kept.is_damaged = true,
                // The last one, cut short before it was noted; unless it is whole but for its end.
                None => kept.is_damaged |= line.split_last().is_some_and(|(_, line)| Line::decode(line).is_some()),
            }
        }
        kept
    }
}

/// Writes through to the disk what is to become the ledger, and says how long it is.
fn write_new(dir: &Path, boot: &str, book: &Book) -> io::Result<(File, u64)> {
    let path = dir.join(NEW);
    let mut bytes = Line::Begun { boot: boot.to_owned() }.encode();
    for entry in book.entries() {
        bytes.extend(Line::Noted(vec![entry]).encode());
    }
    Ok((fresh_file::write(&path, &bytes)?, bytes.len() as u64))
}

/// Gives the ledger a second name, in place of what had it before: what could be read of that is in this one.
fn set_aside(dir: &Path) -> io::Result<()> {
    let (current, damaged) = (dir.join(CURRENT), dir.join(DAMAGED));
    remove_if_there(&damaged)?;
    // Not every file system knows links.
    fs::hard_link(&current, &damaged).or_else(|_| fs::copy(&current, &damaged).map(drop))?;
    File::open(&damaged)?.sync_all()?;
    sync_folder(dir)
}

/// When a ledger that has this length, all of which counts, is written anew.
const fn compact_at(length: u64) -> u64 {
    let grown = length.saturating_mul(GROWTH);
    if grown > SMALL { grown } else { SMALL }
}

/// What to do about it.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that disk",
        _ => "the daemon needs a folder of its own that it can write to: set `dir` under [state]",
    }
}

const CURRENT: &str = "ledger";
const NEW: &str = "ledger.new";
const DAMAGED: &str = "ledger.damaged";

const LF: u8 = b'\n';

/// At most so many times what counts is on the disk, but for a small file.
const GROWTH: u64 = 4;
/// Below this it is not worth the writing.
const SMALL: u64 = 64 * 1024;

/// proc(5): a random UUID, made at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
