//! Reads files of banned networks, and reads them again when they change. Never decides what becomes of what they say.
//!
//! ```text
//! # one network or address a line
//! 192.0.2.0/24
//! 2001:db8::1      # a scanner
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use siglatch_common::address::{Network, NetworkFlaw};
use thiserror::Error;

use super::files::FileError;
use super::watched_file::Stamp;
use crate::admin::Comment;
use crate::bans::Listed;

/// The files, and what they said last.
#[derive(Debug)]
pub struct BlacklistFiles {
    files: Vec<Watched>,
}

/// What has become of the files since they were looked at last.
#[derive(Debug, Default)]
pub struct News {
    /// What all of them say now; nothing if that has not changed.
    pub listed: Option<Listed>,
    /// Files that were read, and how many networks they name.
    pub read: Vec<(PathBuf, usize)>,
    /// Files that make no sense, each told once; what they said before holds.
    pub flaws: Vec<ListFlaw>,
}

/// Why a file says nothing.
#[derive(Debug, Error)]
pub enum ListFlaw {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
    /// A line is no network.
    #[error("{}, line {line}: {} ({flaw})", .path.display(), shown(.text))]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        flaw: LineFlaw,
    },
}

/// Why a line is no network.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LineFlaw {
    /// See [`Network::swallows_ipv4`].
    #[error("it holds every IPv4 address, too; 2000::/3 is all of the internet's IPv6")]
    TooWide,
    /// See [`NetworkFlaw::Address`].
    #[error("a line is one IPv4 or IPv6 address, or a network such as 192.0.2.0/24")]
    Address,
    /// See [`NetworkFlaw::Prefix`].
    #[error("a prefix is 0 to 32 for IPv4, 0 to 128 for IPv6")]
    Prefix,
    /// See [`NetworkFlaw::HostBits`].
    #[error("bits are set behind the prefix: it names a host, not a network")]
    HostBits,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The file as it was when it was read last, well or not.
    seen: Option<Stamp>,
    networks: Option<Vec<Network>>,
    /// The flaw that was told last, if it is still there.
    told: Option<String>,
}

impl BlacklistFiles {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let files = paths.into_iter().map(|path| Watched { path, seen: None, networks: None, told: None });
        Self { files: files.collect() }
    }

    /// Goes by these files from now on. What those of them that were read already have said stands until they are read
    /// again.
    pub fn set_paths(&mut self, paths: Vec<PathBuf>) {
        let mut earlier = std::mem::take(&mut self.files);
        let watched = |path: PathBuf| match earlier.iter().position(|file| file.path == path) {
            Some(place) => earlier.swap_remove(place),
            None => Watched { path, seen: None, networks: None, told: None },
        };
        self.files = paths.into_iter().map(watched).collect();
    }

    /// Reads every file that has changed, once it rests: what somebody is still writing is not half believed.
    pub fn look(&mut self) -> News {
        let mut news = News::default();
        let mut is_new = false;
        for file in &mut self.files {
            match file.look() {
                Ok(None) => {}
                Ok(Some(networks)) => {
                    news.read.push((file.path.clone(), networks.len()));
                    (file.networks, file.told) = (Some(networks), None);
                    is_new = true;
                }
                Err(flaw) => {
                    let told = file.told.replace(flaw.to_string());
                    if told != file.told {
                        news.flaws.push(flaw);
                    }
                }
            }
        }
        news.listed = is_new.then(|| self.listed());
        news
    }

    /// What all files say.
    #[must_use]
    pub fn listed(&self) -> Listed {
        let mut listed = Listed { is_complete: true, ..Listed::default() };
        for (place, file) in self.files.iter().enumerate() {
            listed.names.push(name(&file.path));
            listed.is_complete &= file.networks.is_some();
            for network in file.networks.iter().flatten() {
                listed.networks.entry(*network).or_insert(place);
            }
        }
        listed
    }
}

impl Watched {
    /// What the file says, if it has changed.
    fn look(&mut self) -> Result<Option<Vec<Network>>, ListFlaw> {
        let failed = |source| FileError { doing: "read", path: self.path.clone(), source };
        let (file, stamp) = open(&self.path).map_err(failed).inspect_err(|_| self.seen = None)?;
        if self.seen == Some(stamp) || !stamp.rests() && self.networks.is_some() {
            return Ok(None);
        }
        let bytes = read(&file).map_err(failed).inspect_err(|_| self.seen = Some(stamp))?;
        let after = file.metadata().map_err(failed)?;
        if Stamp::of(&after).is_ok_and(|after| after != stamp) {
            return Ok(None);
        }
        self.seen = Some(stamp);
        Ok(Some(parse(&bytes, &self.path)?))
    }
}

/// Opens a file without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<(File, Stamp)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    let stamp = Stamp::of(&metadata)?;
    Ok((file, stamp))
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 16 MiB"));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Network>, ListFlaw> {
    let mut networks = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let network = text.parse().map_err(|flaw| match flaw {
            NetworkFlaw::Address => LineFlaw::Address,
            NetworkFlaw::Prefix => LineFlaw::Prefix,
            NetworkFlaw::HostBits => LineFlaw::HostBits,
        });
        let network = network.and_then(|network: Network| match network.swallows_ipv4() {
            true => Err(LineFlaw::TooWide),
            false => Ok(network),
        });
        let flawed = |flaw| ListFlaw::Line { path: path.to_owned(), line, text: text.to_owned(), flaw };
        networks.push(network.map_err(flawed)?);
    }
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

/// What the operator is shown of a file beside each ban of it.
fn name(path: &Path) -> Comment {
    let short = || path.file_name().map(|name| name.to_string_lossy().parse());
    path.to_string_lossy().parse().ok().or_else(|| short()?.ok()).unwrap_or_default()
}

/// A text as it may stand in a log: one line, no control characters, not endless.
fn shown(text: &str) -> String {
    format!("\"{}\"", text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect::<String>())
}

/// A million networks fit.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

const SHOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Writes a file that was finished some time ago.
        fn write(&self, name: &str, text: impl AsRef<[u8]>, ago: u64) {
            fs::write(self.path(name), text).unwrap();
            let at = SystemTime::now() - Duration::from_secs(ago);
            File::options().write(true).open(self.path(name)).unwrap().set_modified(at).unwrap();
        }
    }

    fn texts(listed: &Listed) -> Vec<String> {
        listed.networks.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_is_read_line_by_line() {
        let folder = Folder::new();
        let text = "# a comment\r\n\n 192.0.2.0/24 # another\n2001:db8::1\r\n192.0.2.0/24\n#192.0.2.7\n\t10.0.0.1";
        folder.write("list", text, 9);
        let mut files = BlacklistFiles::new(vec![folder.path("list")]);
        let news = files.look();
        assert_eq!(news.read, [(folder.path("list"), 3)]);
        let listed = news.listed.unwrap();
        assert_eq!(texts(&listed), ["10.0.0.1/32", "192.0.2.0/24", "2001:db8::1/128"]);
        assert_eq!(listed.names[0].as_str(), folder.path("list").to_str().unwrap());
        assert!(listed.is_complete && files.look().listed.is_none());
    }

    #[test]
    fn each_flaw_is_told_once_with_its_line_and_what_was_said_before_holds() {
        let folder = Folder::new();
        folder.write("list", "192.0.2.7", 99);
        let mut files = BlacklistFiles::new(vec![folder.path("list")]);
        files.look();
        for (ago, bad, told) in [
            (90, "# x\n192.0.2.7/24", "list, line 2: \"192.0.2.7/24\" (bits are set behind the prefix"),
            (80, "gw.example.org", "line 1: \"gw.example.org\" (a line is one IPv4"),
            (70, "\n\n192.0.2.0/33", "line 3: \"192.0.2.0/33\" (a prefix is 0 to 32"),
            (60, "\u{1b}[2J\u{7f}", "line 1: \"\\u{1b}[2J\\u{7f}\" (a line is one"),
        ] {
            folder.write("list", bad, ago);
            let news = files.look();
            assert!(news.flaws.len() == 1 && news.flaws[0].to_string().contains(told), "{:?}", news.flaws);
            assert!(news.listed.is_none() && files.look().flaws.is_empty());
            assert_eq!(texts(&files.listed()), ["192.0.2.7/32"]);
        }
        folder.write("list", b"\xff\xfe", 50);
        assert_eq!(files.look().flaws.len(), 1);
        fs::remove_file(folder.path("list")).unwrap();
        assert!(files.look().flaws[0].to_string().contains("No such file"));
        assert!(files.look().flaws.is_empty() && texts(&files.listed()) == ["192.0.2.7/32"]);
        // Back, as it was.
        folder.write("list", "192.0.2.8", 40);
        assert_eq!(texts(&files.look().listed.unwrap()), ["192.0.2.8/32"]);
        fs::remove_file(folder.path("list")).unwrap();
        assert_eq!(files.look().flaws.len(), 1, "a new loss is told anew");
    }

    #[test]
    fn a_file_that_is_being_written_is_read_when_it_rests() {
        let folder = Folder::new();
        folder.write("list", "192.0.2.7", 0);
        let mut files = BlacklistFiles::new(vec![folder.path("list")]);
        assert!(files.look().listed.is_some(), "what is there at the start is read at once");
        folder.write("list", "192.0.2.", 0);
        let news = files.look();
        assert!(news.listed.is_none() && news.flaws.is_empty());
        folder.write("list", "192.0.2.8", 1);
        assert_eq!(texts(&files.look().listed.unwrap()), ["192.0.2.8/32"]);
    }

    #[test]
    fn several_files_are_one_list_that_is_complete_when_all_were_read() {
        let folder = Folder::new();
        folder.write("one", "192.0.2.7\n192.0.2.8", 9);
        let mut files = BlacklistFiles::new(vec![folder.path("one"), folder.path("two")]);
        let news = files.look();
        assert!(news.flaws.len() == 1 && !news.listed.unwrap().is_complete);
        folder.write("two", "192.0.2.8\n192.0.2.9", 9);
        let listed = files.look().listed.unwrap();
        assert!(listed.is_complete);
        assert_eq!(listed.networks.values().copied().collect::<Vec<_>>(), [0, 0, 1]);
    }

    #[test]
    fn other_files_take_the_place_of_those_before_and_what_was_read_stands() {
        let folder = Folder::new();
        folder.write("one", "192.0.2.7", 9);
        folder.write("two", "192.0.2.8", 9);
        folder.write("three", "192.0.2.9", 9);
        let mut files = BlacklistFiles::new(vec![folder.path("one"), folder.path("two")]);
        files.look();
        files.set_paths(vec![folder.path("two"), folder.path("three")]);
        assert_eq!(texts(&files.listed()), ["192.0.2.8/32"], "what stays is not read anew");
        assert!(!files.listed().is_complete);
        assert_eq!(texts(&files.look().listed.unwrap()), ["192.0.2.8/32", "192.0.2.9/32"]);
        files.set_paths(Vec::new());
        assert!(files.look().listed.is_none() && files.listed() == Listed { is_complete: true, ..Listed::default() });
    }

    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_read_to_its_end() {
        let folder = Folder::new();
        let pipe = folder.path("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        folder.write("large", vec![b'\n'; usize::try_from(SIZE_MAX).unwrap() + 1], 9);
        let mut files = BlacklistFiles::new(vec![pipe, "/dev/zero".into(), folder.path("large")]);
        let flaws: Vec<_> = files.look().flaws.iter().map(ToString::to_string).collect();
        assert!(flaws.len() == 3 && flaws[2].contains("16 MiB"), "{flaws:?}");
        assert!(files.look().flaws.is_empty());
    }
}
