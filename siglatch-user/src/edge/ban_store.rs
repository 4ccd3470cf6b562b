//! Keeps bans and known origins across restart, kill, reboot and loss of power. Never decides who is banned or known.
//!
//! Two files, each written anew and put in the place of the old one: a reader finds the old one or the new one whole.
//! What became of bans since the last writing stands in the filter's pinned lists, unless the machine stops.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Reason;
use siglatch_common::units::{Boot, Wall};

use super::files::{self, FileError};
use super::fresh_file;
use crate::admin::{Comment, network_text};
use crate::bans::{BanRecord, Deadline, PastRecord, Records};

/// The folder that the files are in.
#[derive(Debug)]
pub struct BanStore {
    dir: PathBuf,
    /// Identifies this run of the kernel, and so the clock of the filter's lists.
    boot: String,
}

/// What one file has kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept<T> {
    /// What it says.
    pub said: T,
    /// Whether the machine has started anew since.
    pub rebooted: bool,
    /// The [`number`](super::lists::Lists::number) of the filter's lists that the bans stood in.
    pub lists: u64,
    /// The file that made no sense, and where it is now.
    pub damaged: Option<PathBuf>,
}

impl BanStore {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`FileError`] if there can be none.
    pub fn open(dir: &Path) -> Result<Self, FileError> {
        files::make_folder(dir, 0o700)?;
        let boot = files::kernel_text(Path::new(BOOT_ID)).trim().to_owned();
        Ok(Self { dir: dir.to_owned(), boot })
    }

    /// The bans that were kept. A file that makes no sense is set aside, and nothing was kept then.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read or set aside.
    pub fn bans(&self) -> Result<Kept<Records>, FileError> {
        self.read(BANS, |said: Bans| {
            let bans = said.bans.into_iter().map(BanLine::record).collect::<Option<_>>()?;
            let past = said.past.into_iter().map(PastLine::record).collect::<Option<_>>()?;
            Some(Records { bans, past })
        })
    }

    /// The known origins that were kept, likewise.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read or set aside.
    pub fn known(&self) -> Result<Kept<Vec<(Address, Deadline)>>, FileError> {
        self.read(KNOWN, |said: Known| said.known.into_iter().map(KnownLine::record).collect())
    }

    /// Keeps these bans, and no others, and which of the filter's lists they stand in.
    ///
    /// # Errors
    /// [`FileError`]; then those that were kept before still are.
    pub fn keep_bans(&self, records: &Records, lists: u64) -> Result<(), FileError> {
        let bans = records.bans.iter().map(BanLine::new).collect();
        let past = records.past.iter().map(PastLine::new).collect();
        self.write(BANS, lists, &Bans { bans, past })
    }

    /// Keeps these known origins, and no others.
    ///
    /// # Errors
    /// [`FileError`]; then those that were kept before still are.
    pub fn keep_known(&self, known: &[(Address, Deadline)]) -> Result<(), FileError> {
        self.write(KNOWN, 0, &Known { known: known.iter().map(KnownLine::new).collect() })
    }

    fn read<F: DeserializeOwned, T: Default>(
        &self,
        name: &str,
        sense: impl FnOnce(F) -> Option<T>,
    ) -> Result<Kept<T>, FileError> {
        let path = self.dir.join(name);
        let failed = |source| FileError { doing: "read", path: path.clone(), source };
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => drop(file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Kept { said: T::default(), rebooted: true, lists: 0, damaged: None });
            }
            Err(error) => return Err(failed(error)),
        }
        let whole: Option<Whole<F>> = serde_json::from_slice(&bytes).ok();
        let whole = whole.filter(|whole| whole.version == VERSION && bytes.len() as u64 <= SIZE_MAX);
        let said = whole.and_then(|whole| Some((sense(whole.said)?, whole.boot, whole.lists)));
        if let Some((said, boot, lists)) = said {
            return Ok(Kept { said, rebooted: boot != self.boot || self.boot.is_empty(), lists, damaged: None });
        }
        let aside = self.dir.join(format!("{name}.damaged"));
        fs::rename(&path, &aside).map_err(|source| FileError { doing: "set aside", path, source })?;
        Ok(Kept { said: T::default(), rebooted: true, lists: 0, damaged: Some(aside) })
    }

    fn write(&self, name: &str, lists: u64, said: &impl Serialize) -> Result<(), FileError> {
        let path = self.dir.join(name);
        let whole = Whole { version: VERSION, boot: self.boot.clone(), lists, said };
        let written = serde_json::to_vec(&whole).map_err(io::Error::from);
        let written = written.and_then(|bytes| fresh_file::put(&path, &bytes));
        written.map_err(|source| FileError { doing: "write", path, source })
    }
}

/// A file.
#[derive(Deserialize, Serialize)]
struct Whole<T> {
    version: u32,
    /// The run of the kernel that the ends by `CLOCK_BOOTTIME` are of.
    boot: String,
    lists: u64,
    #[serde(flatten)]
    said: T,
}

#[derive(Deserialize, Serialize)]
struct Bans {
    bans: Vec<BanLine>,
    past: Vec<PastLine>,
}

#[derive(Deserialize, Serialize)]
struct Known {
    known: Vec<KnownLine>,
}

/// A ban. Times are Unix seconds; those by the clock of the filter's lists say so.
#[derive(Deserialize, Serialize)]
struct BanLine {
    network: String,
    until: Option<u64>,
    until_boot_ns: Option<u64>,
    reason: String,
    step: u32,
    hits: u64,
    since: u64,
    comment: Comment,
}

#[derive(Deserialize, Serialize)]
struct PastLine {
    source: String,
    step: u32,
    forget: u64,
    forget_boot_ns: u64,
}

#[derive(Deserialize, Serialize)]
struct KnownLine {
    origin: String,
    until: u64,
    until_boot_ns: u64,
}

impl BanLine {
    fn new(record: &BanRecord) -> Self {
        Self {
            network: network_text(record.network),
            until: record.until.map(|until| until.wall.as_secs()),
            until_boot_ns: record.until.map(|until| until.boot.as_nanos()),
            reason: record.reason.label().to_owned(),
            step: record.step,
            hits: record.hits,
            since: record.since.as_secs(),
            comment: record.comment.clone(),
        }
    }

    fn record(self) -> Option<BanRecord> {
        let until = match (self.until, self.until_boot_ns) {
            (Some(wall), Some(boot)) => Some(deadline(wall, boot)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(BanRecord {
            network: self.network.parse().ok()?,
            until,
            reason: Reason::from_label(&self.reason)?,
            step: self.step,
            hits: self.hits,
            since: Wall::from_secs(self.since),
            comment: self.comment,
        })
    }
}

impl PastLine {
    fn new(record: &PastRecord) -> Self {
        Self {
            source: record.source.to_string(),
            step: record.step,
            forget: record.forget.wall.as_secs(),
            forget_boot_ns: record.forget.boot.as_nanos(),
        }
    }

    fn record(self) -> Option<PastRecord> {
        let forget = deadline(self.forget, self.forget_boot_ns);
        Some(PastRecord { source: address(&self.source)?, step: self.step, forget })
    }
}

impl KnownLine {
    fn new((origin, until): &(Address, Deadline)) -> Self {
        Self { origin: origin.to_string(), until: until.wall.as_secs(), until_boot_ns: until.boot.as_nanos() }
    }

    fn record(self) -> Option<(Address, Deadline)> {
        Some((address(&self.origin)?, deadline(self.until, self.until_boot_ns)))
    }
}

const fn deadline(wall: u64, boot_ns: u64) -> Deadline {
    Deadline { boot: Boot::from_nanos(boot_ns), wall: Wall::from_secs(wall) }
}

fn address(text: &str) -> Option<Address> {
    text.parse::<Network>().ok()?.as_single()
}

const BANS: &str = "bans.json";
const KNOWN: &str = "known.json";
const VERSION: u32 = 1;

/// Millions of bans fit.
const SIZE_MAX: u64 = 1 << 30;

/// `proc(5)`: made anew at each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn records() -> Records {
        let ban = |network: &str, until, reason, comment: &str| BanRecord {
            network: network.parse().unwrap(),
            until,
            reason,
            step: 3,
            hits: u64::MAX,
            since: Wall::from_secs(1_700_000_000),
            comment: comment.parse().unwrap(),
        };
        let end = deadline(1_700_000_600, 12_345_678_901_234_567);
        Records {
            bans: vec![
                ban("192.0.2.7", Some(end), Reason::Flood, ""),
                ban("2001:db8::/32", None, Reason::Operator, "“seen” in the \\log\\"),
            ],
            past: vec![PastRecord { source: Address::v4([192, 0, 2, 7]), step: 3, forget: end }],
        }
    }

    fn store() -> (tempfile::TempDir, BanStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BanStore::open(&folder.path().join("state")).unwrap();
        (folder, store)
    }

    #[test]
    fn what_is_kept_comes_back_to_the_nanosecond() {
        let (_folder, store) = store();
        assert_eq!(store.bans().unwrap(), Kept { said: Records::default(), rebooted: true, lists: 0, damaged: None });
        for records in [records(), Records::default(), records()] {
            store.keep_bans(&records, 7).unwrap();
            assert_eq!(store.bans().unwrap(), Kept { said: records, rebooted: false, lists: 7, damaged: None });
        }
        let known = vec![("2001:db8:1:2::", 7), ("192.0.2.9", 8)];
        let known: Vec<_> =
            known.into_iter().map(|(text, at)| (address(text).unwrap(), deadline(at, at + 1))).collect();
        store.keep_known(&known).unwrap();
        assert_eq!(store.known().unwrap(), Kept { said: known, rebooted: false, lists: 0, damaged: None });
    }

    #[test]
    fn another_run_of_the_kernel_is_noticed() {
        let (_folder, mut store) = store();
        store.keep_bans(&records(), 7).unwrap();
        store.boot = "another".to_owned();
        assert!(store.bans().unwrap().rebooted);
    }

    #[test]
    fn nobody_else_reads_it_and_no_other_file_stays() {
        let (_folder, store) = store();
        store.keep_bans(&records(), 7).unwrap();
        store.keep_bans(&records(), 7).unwrap();
        let metadata = fs::metadata(store.dir.join(BANS)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, fs::metadata(&store.dir).unwrap().mode() & 0o7777), (0o600, 0o700));
        assert_eq!(fs::read_dir(&store.dir).unwrap().count(), 1);
    }

    #[test]
    fn what_a_kill_left_half_written_does_not_count() {
        let (_folder, store) = store();
        store.keep_bans(&records(), 7).unwrap();
        fs::write(store.dir.join(".bans.json.new"), "{\"version\":1,\"bo").unwrap();
        assert_eq!(store.bans().unwrap().said, records());
        store.keep_bans(&Records::default(), 7).unwrap();
        assert_eq!(store.bans().unwrap().said, Records::default());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_set_aside() {
        let (_folder, store) = store();
        store.keep_bans(&records(), 7).unwrap();
        let path = store.dir.join(BANS);
        let sound = fs::read_to_string(&path).unwrap();
        let cut = (0..sound.len()).filter(|end| sound.is_char_boundary(*end)).map(|end| sound[..end].to_owned());
        let changed = [
            ("\"version\":1", "\"version\":2"),
            ("192.0.2.7", "192.0.2.777"),
            ("\"flood\"", "\"food\""),
            ("\"until\":null", "\"until\":1"),
            ("“seen”", "\\u001b[2J"),
            ("\"source\":\"192.0.2.7\"", "\"source\":\"192.0.2.0/24\""),
        ];
        let changed = changed.map(|(from, to)| {
            assert!(sound.contains(from), "{from} in {sound}");
            sound.replace(from, to)
        });
        for text in cut.chain(changed) {
            fs::write(&path, &text).unwrap();
            let kept = store.bans().unwrap();
            assert_eq!((kept.said, kept.rebooted), (Records::default(), true), "{text}");
            assert_eq!(fs::read_to_string(kept.damaged.unwrap()).unwrap(), text);
            assert!(!path.exists());
        }
    }
}
