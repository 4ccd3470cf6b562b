//! Keeps admitted nonces across kill, restart and loss of power. Never decides what is a replay.
//!
//! Two files of fixed-size records, one for each generation of [`crate::gate`]'s memory. A plain write survives the
//! death of the daemon, because the page cache does; a loss of power may take the last writes with it, so a lease is
//! written through to the disk before any stamp beyond it is admitted, and after such a loss every stamp up to it is
//! refused. `docs/decisions/0003-nonces.md` has the reasons and the measurements.

mod record;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use siglatch_common::units::{Now, Wall};
use thiserror::Error;

use self::record::Record;
use super::fresh_file::{self, remove_if_there, sync_folder};
use crate::gate::{Nonce, Remembered};

/// The store, open for appending.
#[derive(Debug)]
pub struct NonceStore {
    dir: PathBuf,
    current: File,
    /// Bytes of whole records in the current file.
    length: u64,
    /// What a failure has left half done; nothing is written before it is mended.
    flaw: Option<Flaw>,
    boot: BootId,
}

/// What became of the nonces of earlier runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Every admitted nonce is known.
    Complete,
    /// The machine stopped without warning; stamps up to this one are refused.
    PowerLoss(Wall),
    /// There is no store: new, or deleted; stamps up to this one are refused.
    Missing(Wall),
    /// The store is damaged; stamps up to this one are refused.
    Damaged(Wall),
}

/// The store cannot be used.
#[derive(Debug, Error)]
#[error(
    "cannot {doing} {path}: {source}. The daemon needs a folder of its own that it can write to: set `dir` under [state]"
)]
pub struct NonceStoreError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What a failure has left half done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    /// The file may end in the middle of a record, and with records of knocks that were not admitted.
    Tail,
    /// The file of the new generation does not have its name yet; nor has any other.
    Nameless,
    /// The names are right, but a loss of power might bring the earlier ones back.
    NamesUnsynced,
}

/// Identifies one run of the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct BootId([u8; 8]);

impl NonceStore {
    /// Makes an empty store, so that the first start knows that nothing was ever admitted. Leaves an existing one alone.
    ///
    /// # Errors
    /// [`NonceStoreError`] names the file that cannot be written.
    pub fn create(dir: &Path) -> Result<(), NonceStoreError> {
        if !dir.join(CURRENT).exists() {
            make_dir(dir)?;
            start_file(dir, &[Record::Opened(boot_id()?.0), Record::Closed])?;
        }
        Ok(())
    }

    /// Reads what earlier runs left, and opens the store for appending. `max_skew` bounds what must be refused if it
    /// cannot be read.
    ///
    /// # Errors
    /// [`NonceStoreError`] if the store can be neither read nor replaced.
    pub fn open(dir: &Path, max_skew: Duration, now: Now) -> Result<(Self, Remembered, Recovery), NonceStoreError> {
        make_dir(dir)?;
        let boot = boot_id()?;
        let mut kept = Kept::default();
        let previous = kept.read(&dir.join(PREVIOUS))?;
        let current = kept.read(&dir.join(CURRENT))?;
        if current == Contents::Missing {
            // Whoever was ended between the two names of a new generation has left the floor there, and nowhere else.
            kept.read(&dir.join(FRESH))?;
        }
        let worst = now.wall.after(max_skew);
        let recovery = match previous.worse(current) {
            _ if current == Contents::Missing => Recovery::Missing(worst),
            Contents::Damaged => Recovery::Damaged(worst),
            Contents::Torn if kept.boot == Some(boot) => Recovery::Damaged(worst),
            Contents::Missing | Contents::Sound if kept.closed || kept.boot == Some(boot) => Recovery::Complete,
            Contents::Missing | Contents::Sound | Contents::Torn => Recovery::PowerLoss(kept.lease.unwrap_or(worst)),
        };
        let floor = match recovery {
            Recovery::Complete => kept.floor,
            Recovery::PowerLoss(floor) | Recovery::Missing(floor) | Recovery::Damaged(floor) => {
                kept.floor.max(Some(floor))
            }
        };
        let remembered = Remembered { nonces: kept.nonces, floor };

        // What is known now is written anew: nothing of it can be lost by what happens to the old files.
        let mut records = vec![Record::Opened(boot.0)];
        records.extend(floor.map(Record::Floor));
        records.extend(remembered.nonces.iter().map(|nonce| Record::Nonce(*nonce)));
        let (current, length) = start_file(dir, &records)?;
        remove(&dir.join(PREVIOUS))?;
        Ok((Self { dir: dir.to_owned(), current, length, flaw: None, boot }, remembered, recovery))
    }

    /// Keeps nonces: after this they survive the daemon.
    ///
    /// # Errors
    /// If the disk takes no more; the nonces must then not take effect, and none of them is kept.
    pub fn remember(&mut self, nonces: &[Nonce]) -> Result<(), NonceStoreError> {
        let records: Vec<_> = nonces.iter().map(|nonce| Record::Nonce(*nonce)).collect();
        self.append(&records)
    }

    /// Makes sure that after a loss of power no stamp up to this one is taken for fresh. Waits for the disk.
    ///
    /// # Errors
    /// If the disk takes no more; no stamp beyond the last lease must then take effect.
    pub fn lease(&mut self, until: Wall) -> Result<(), NonceStoreError> {
        self.append(&[Record::Lease(until)])?;
        self.current.sync_data().map_err(|source| self.error("write through", source))
    }

    /// Forgets the older generation, and begins a new one.
    ///
    /// # Errors
    /// If the disk takes no more; then nothing is forgotten.
    pub fn forget(&mut self, floor: Wall, lease: Option<Wall>) -> Result<(), NonceStoreError> {
        self.mend()?;
        let mut records = vec![Record::Opened(self.boot.0), Record::Floor(floor)];
        records.extend(lease.map(Record::Lease));
        // All that takes room comes before anything is forgotten.
        let (current, length) = write_file(&self.dir, &records)?;
        fs::rename(self.dir.join(CURRENT), self.dir.join(PREVIOUS))
            .map_err(|source| self.error("set aside", source))?;
        (self.current, self.length, self.flaw) = (current, length, Some(Flaw::Nameless));
        // Done, whatever comes of this: to forget once more would take the generation that has just ended.
        let _ = self.mend();
        Ok(())
    }

    /// Writes everything through to the disk, and a mark that says so.
    ///
    /// # Errors
    /// If the disk takes no more; the next start then takes it for a loss of power if the machine restarts before.
    pub fn close(mut self) -> Result<(), NonceStoreError> {
        self.append(&[Record::Closed])?;
        self.current.sync_all().map_err(|source| self.error("write through", source))
    }

    /// Writes all of these records, or none of them.
    fn append(&mut self, records: &[Record]) -> Result<(), NonceStoreError> {
        self.mend()?;
        let bytes = encode(records);
        match self.current.write_all(&bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                self.flaw = Some(Flaw::Tail);
                // At once: a record that is cut short is believed only at the end of a file.
                let _ = self.mend();
                Err(self.error("write", source))
            }
        }
    }

    /// Finishes what a failure has left half done.
    fn mend(&mut self) -> Result<(), NonceStoreError> {
        while let Some(flaw) = self.flaw {
            let mended = match flaw {
                Flaw::Tail => self.current.set_len(self.length).map(|()| None),
                Flaw::Nameless => {
                    fs::rename(self.dir.join(FRESH), self.dir.join(CURRENT)).map(|()| Some(Flaw::NamesUnsynced))
                }
                Flaw::NamesUnsynced => sync_folder(&self.dir).map(|()| None),
            };
            self.flaw = mended.map_err(|source| self.error("mend", source))?;
        }
        Ok(())
    }

    fn error(&self, doing: &'static str, source: io::Error) -> NonceStoreError {
        NonceStoreError { doing, path: self.dir.join(CURRENT), source }
    }
}

/// What a file holds, from best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Contents {
    Missing,
    Sound,
    /// The last record is damaged: half written when the power went, and covered by the lease.
    Torn,
    Damaged,
}

impl Contents {
    fn worse(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Everything read so far, the older file first.
#[derive(Default)]
struct Kept {
    nonces: Vec<Nonce>,
    floor: Option<Wall>,
    lease: Option<Wall>,
    boot: Option<BootId>,
    closed: bool,
}

impl Kept {
    fn read(&mut self, path: &Path) -> Result<Contents, NonceStoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Missing),
            Err(source) => return Err(NonceStoreError { doing: "read", path: path.to_owned(), source }),
        };
        let Some(records) = bytes.strip_prefix(MAGIC) else {
            return Ok(Contents::Damaged);
        };
        let (records, torn) = records.as_chunks::<{ Record::LEN }>();
        for (index, bytes) in records.iter().enumerate() {
            match Record::decode(bytes) {
                Some(record) => self.take(record),
                None if index + 1 == records.len() && torn.is_empty() => return Ok(Contents::Torn),
                None => return Ok(Contents::Damaged),
            }
        }
        Ok(Contents::Sound)
    }

    fn take(&mut self, record: Record) {
        self.closed = false;
        match record {
            Record::Nonce(nonce) => self.nonces.push(nonce),
            Record::Lease(until) => self.lease = self.lease.max(Some(until)),
            Record::Floor(floor) => self.floor = self.floor.max(Some(floor)),
            Record::Opened(boot) => self.boot = Some(BootId(boot)),
            Record::Closed => self.closed = true,
        }
    }
}

/// Makes a new current file, and says how long it is: whole, or not at all.
fn start_file(dir: &Path, records: &[Record]) -> Result<(File, u64), NonceStoreError> {
    let written = write_file(dir, records)?;
    let path = dir.join(CURRENT);
    let named = fs::rename(dir.join(FRESH), &path).and_then(|()| sync_folder(dir));
    named.map_err(|source| NonceStoreError { doing: "write", path, source })?;
    Ok(written)
}

/// Writes through to the disk what is to become the current file, and says how long it is.
fn write_file(dir: &Path, records: &[Record]) -> Result<(File, u64), NonceStoreError> {
    let path = dir.join(FRESH);
    let bytes = [&MAGIC[..], &encode(records)].concat();
    match fresh_file::write(&path, &bytes) {
        Ok(file) => Ok((file, bytes.len() as u64)),
        Err(source) => Err(NonceStoreError { doing: "write", path, source }),
    }
}

fn make_dir(dir: &Path) -> Result<(), NonceStoreError> {
    fresh_file::make_folder(dir).map_err(|source| NonceStoreError { doing: "make", path: dir.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), NonceStoreError> {
    remove_if_there(path).map_err(|source| NonceStoreError { doing: "remove", path: path.to_owned(), source })
}

fn boot_id() -> Result<BootId, NonceStoreError> {
    let error = |source| NonceStoreError { doing: "read", path: BOOT_ID.into(), source };
    let text = fs::read_to_string(BOOT_ID).map_err(error)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    let id =
        u64::from_str_radix(&digits, 16).map_err(|cause| error(io::Error::new(io::ErrorKind::InvalidData, cause)))?;
    Ok(BootId(id.to_be_bytes()))
}

fn encode(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::encode).collect()
}

const CURRENT: &str = "nonces.current";
const PREVIOUS: &str = "nonces.previous";
const FRESH: &str = "nonces.new";
const MAGIC: &[u8; 16] = b"siglatch nonce 1";
/// proc(5): a random UUID, made at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests;
