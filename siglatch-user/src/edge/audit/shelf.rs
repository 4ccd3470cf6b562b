//! The files of a log, oldest first, and their lines: for those who read it. Never writes one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use super::head::{head_path, read_head};
use super::log_file::LINE_MAX;

/// The files of a log, open: what is set aside or deleted meanwhile is read all the same.
#[derive(Debug)]
pub struct Shelf {
    /// Oldest first; the one that is written to comes last, if there is one.
    pub parts: Vec<LogPart>,
    /// Files beside the log that look like parts of it, and cannot be read as such: compressed ones.
    pub unread: Vec<PathBuf>,
}

/// One file of a log.
#[derive(Debug)]
pub struct LogPart {
    /// Where it was found.
    pub path: PathBuf,
    /// The number of its first record, as far as it has one.
    pub first: Option<u64>,
    /// Whether it is the one that is written to.
    pub is_current: bool,
    file: File,
}

/// The lines of a file.
#[derive(Debug)]
pub struct Lines {
    from: BufReader<File>,
    line: Vec<u8>,
}

/// A log that is read while it is written, from one file on to the next.
#[derive(Debug)]
pub struct Tail {
    log: PathBuf,
    file: Option<File>,
    place: u64,
    rest: Vec<u8>,
    /// The number of the last record that was handed out.
    last: u64,
}

impl Shelf {
    /// Opens every file of a log: the one at its path, and those beside it whose names begin with its name and a dot or
    /// a dash.
    ///
    /// # Errors
    /// If the folder or a file cannot be read, or there is none at all.
    pub fn open(log: &Path) -> io::Result<Self> {
        // A file that is set aside between two looks would be missed.
        for _ in 0..ATTEMPTS {
            let shelf = Self::look(log)?;
            let again: BTreeSet<_> = names(log)?.into_iter().collect();
            let seen = shelf.parts.iter().map(|part| &part.path).chain(&shelf.unread).cloned().collect();
            let is_same = |part: &LogPart| match (part.file.metadata(), fs::metadata(&part.path)) {
                (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
                _ => false,
            };
            if again == seen && shelf.parts.iter().all(is_same) {
                return Ok(shelf);
            }
        }
        Err(io::Error::other("its files change faster than they can be read"))
    }

    fn look(log: &Path) -> io::Result<Self> {
        let (mut parts, mut unread) = (Vec::new(), Vec::new());
        for path in names(log)? {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_current = path == log;
            let is_packed = path.extension().and_then(OsStr::to_str).is_some_and(|end| PACKED.contains(&end));
            if is_packed && !is_current {
                unread.push(path);
            } else {
                let first = first_seq_of(&file).or_else(|| aside_seq(log, &path));
                parts.push(LogPart { first, path, is_current, file });
            }
        }
        if parts.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // A file without a record has no place of its own: it is read last, before the one that is written to.
        parts.sort_by_key(|part| (part.is_current, part.first.unwrap_or(u64::MAX)));
        Ok(Self { parts, unread })
    }
}

impl LogPart {
    /// Its lines, from the first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn lines(&self) -> io::Result<Lines> {
        // Its own place in the file, whoever else reads it.
        let file = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.file)))?;
        Ok(Lines { from: BufReader::with_capacity(1 << 18, file), line: Vec::new() })
    }
}

impl Lines {
    /// The next line, without its end, and whether it has one; nothing behind the last.
    ///
    /// A line of more than a megabyte comes in pieces without an end: it is no record.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<(&[u8], bool)>> {
        self.line.clear();
        let count = (&mut self.from).take(LINE_MAX as u64).read_until(b'\n', &mut self.line)?;
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(match self.line.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (self.line.as_slice(), false),
        }))
    }
}

impl Tail {
    /// Goes on where a log ends, behind the record with that number.
    #[must_use]
    pub fn after(log: &Path, last: u64) -> Self {
        Self { log: log.to_owned(), file: None, place: 0, rest: Vec::new(), last }
    }

    /// The lines that were added since this was asked last, each without its end.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        loop {
            let Some(file) = &self.file else {
                match self.next_file()? {
                    Some(file) => self.begin(file),
                    None => return Ok(lines),
                }
                continue;
            };
            let mut bytes = vec![0; BLOCK];
            let count = file.read_at(&mut bytes, self.place)?;
            if count > 0 {
                self.place += count as u64;
                self.rest.extend_from_slice(bytes.get(..count).unwrap_or_default());
                self.split(&mut lines);
                if lines.len() >= LINES_AT_ONCE {
                    return Ok(lines);
                }
                continue;
            }
            let is_cut = file.metadata()?.len() < self.place;
            if is_cut || !self.is_current() {
                // What follows is in the next file, even if that one was set aside meanwhile.
                match self.next_file()? {
                    Some(file) => self.begin(file),
                    None => return Ok(lines),
                }
                continue;
            }
            return Ok(lines);
        }
    }

    /// The lines that are added next: waits until there are some.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn wait(&mut self) -> io::Result<Vec<Vec<u8>>> {
        loop {
            let lines = self.read()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            std::thread::sleep(POLLING);
        }
    }

    fn begin(&mut self, file: File) {
        (self.file, self.place) = (Some(file), 0);
        self.rest.clear();
    }

    fn split(&mut self, lines: &mut Vec<Vec<u8>>) {
        let mut rest = std::mem::take(&mut self.rest);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).take(end).collect();
            match seq(&line) {
                Some(seq) if seq <= self.last => {}
                Some(seq) => {
                    self.last = seq;
                    lines.push(line);
                }
                None => lines.push(line),
            }
        }
        self.rest = rest;
    }

    fn is_current(&self) -> bool {
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        let there = fs::metadata(&self.log).ok();
        ours.zip(there).is_some_and(|(ours, there)| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    /// The file with the record behind the last one: the last whose first record is not behind it.
    fn next_file(&self) -> io::Result<Option<File>> {
        let parts = match Shelf::open(&self.log) {
            Ok(shelf) => shelf.parts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wanted = self.last + 1;
        let holds = parts.iter().rposition(|part| part.first.is_some_and(|first| first <= wanted));
        let next = parts.into_iter().nth(holds.unwrap_or(0));
        // The one that is read already has no more to say.
        let is_new = |part: &LogPart| {
            let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
            let there = part.file.metadata().ok();
            part.first.is_some() && ours.map(|ours| ours.ino()) != there.map(|there| there.ino())
        };
        Ok(next.filter(is_new).map(|part| part.file))
    }
}

/// The number of the first record of a file.
pub(super) fn first_seq(path: &Path) -> Option<u64> {
    first_seq_of(&File::open(path).ok()?)
}

fn first_seq_of(file: &File) -> Option<u64> {
    let mut start = [0; 64];
    let count = file.read_at(&mut start, 0).ok()?;
    seq_at_start(start.get(..count)?)
}

/// The number of a record by the beginning of its line: `{"v":1,"seq":57,…`.
#[must_use]
pub fn seq_at_start(line: &[u8]) -> Option<u64> {
    let start = line.get(..64).unwrap_or(line);
    // A letter that is cut at the end is of no interest.
    let text = start.utf8_chunks().next()?.valid();
    let (_, rest) = text.split_once("\"seq\":")?;
    let (digits, _) = rest.split_once(',')?;
    digits.parse().ok()
}

fn seq(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    serde_json::from_slice::<Numbered>(line).ok().map(|numbered| numbered.seq)
}

/// The log, if it is there, and what lies beside it under names that begin with its own.
pub(super) fn names(log: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = log.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let rest = entry_name.to_str().and_then(|entry| entry.strip_prefix(name));
        let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
        if is_ours && fs::metadata(log.with_file_name(&entry_name)).is_ok_and(|metadata| metadata.is_file()) {
            names.push(log.with_file_name(&entry_name));
        }
    }
    Ok(names)
}

/// The number in the name of a file that was set aside: `audit.jsonl.000000000057`, perhaps with `-1` behind it.
pub(super) fn aside_seq(log: &Path, path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix(log.file_name()?.to_str()?)?.strip_prefix('.')?;
    let digits = rest.split_once('-').map_or(rest, |(digits, _)| digits);
    (digits.len() >= 12).then(|| digits.parse().ok())?
}

/// Files that other programs have compressed.
const PACKED: [&str; 6] = ["gz", "xz", "zst", "bz2", "lz4", "Z"];

/// How often a log that is followed is looked at.
const POLLING: Duration = Duration::from_millis(200);

const ATTEMPTS: usize = 10;
const BLOCK: usize = 256 * 1024;
const LINES_AT_ONCE: usize = 4096;
