//! Files that hold keys: read only if nobody else can, written so that nobody else can.
//! Never knows what is in them.
#![expect(clippy::disallowed_types, reason = "this is where files enter the client")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// A file's contents, wiped when dropped, and who else can read them.
pub(crate) struct Contents {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) exposure: Exposure,
}

/// Who can read a file besides its owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exposure {
    /// Nobody, or the system has no such permissions.
    Private,
    /// It is a pipe or the like: nothing of it stays.
    Passing,
    /// Others can.
    Open {
        /// The permission bits.
        mode: u32,
    },
}

/// Whether a file may take another's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overwrite {
    Never,
    Yes,
}

/// Reads a file, whoever can read it besides.
pub(crate) fn read(path: &Path) -> Result<Contents, Failure> {
    let failed = |source| failure("read", path, source);
    let mut file = File::open(path).map_err(failed)?;
    let exposure = exposure(&file).map_err(failed)?;
    Ok(Contents { bytes: read_all(&mut file, &path.display().to_string())?, exposure })
}

/// Reads a file that holds a key.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Contents { bytes, exposure } = read(path)?;
    match exposure {
        Exposure::Private | Exposure::Passing => Ok(bytes),
        Exposure::Open { mode } => Err(Failure::Exposed { path: path.to_owned(), mode }),
    }
}

/// Reads standard input to its end.
pub(crate) fn read_standard_input() -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_all(&mut io::stdin().lock(), STANDARD_INPUT)
}

/// Makes a file that only its owner can read, and that never existed before.
pub(crate) fn create_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let written = private_options().open(path).and_then(|mut file| fill(&mut file, contents));
    match written {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            let _ = fs::remove_file(path);
            Err(source)
        }
        done => done,
    }
}

/// Makes or replaces a file that only its owner can read: at every moment the old one is there, or the new one whole.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if it is there and may not be replaced.
pub(crate) fn put_private(path: &Path, contents: &[u8], overwrite: Overwrite) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    create_private(&temporary, contents)?;
    let put = match overwrite {
        Overwrite::Yes => fs::rename(&temporary, path),
        // A link, unlike a rename, fails if the name is taken.
        Overwrite::Never => match fs::hard_link(&temporary, path) {
            // Some file systems have no links. Creating the file refuses a taken name as well, but a crash may cut it.
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => create_private(path, contents),
            linked => linked,
        },
    };
    if put.is_err() || overwrite == Overwrite::Never {
        let _ = fs::remove_file(&temporary);
    }
    put.and_then(|()| sync_folder_of(path))
}

/// Makes or replaces a file that everybody may read.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    File::create(path).and_then(|mut file| file.write_all(contents)).map_err(|source| failure("write", path, source))
}

/// Makes a folder that only its owner can enter, or closes the one there is.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).and_then(|()| close_folder(path)).map_err(|source| failure("make", path, source))
}

/// The files in a folder that end so; none if there is no folder.
pub(crate) fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| failure("read", folder, source))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| failure("read", folder, source))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What the system refused to do with a file.
pub(crate) fn failure(verb: &'static str, path: &Path, source: io::Error) -> Failure {
    Failure::File { verb, name: path.display().to_string(), source }
}

fn read_all(from: &mut impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // As large as it can become: growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
    from.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|source| Failure::File {
        verb: "read",
        name: name.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::Large { name: name.to_owned(), limit: LIMIT });
    }
    Ok(bytes)
}

fn fill(file: &mut File, contents: &[u8]) -> io::Result<()> {
    file.write_all(contents)?;
    file.sync_all()
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}", getrandom::u64().map_err(|_| io::ErrorKind::Other)?));
    Ok(path.with_file_name(name))
}

fn exposure(file: &File) -> io::Result<Exposure> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Exposure::Passing);
    }
    match permissions(&metadata) {
        mode if mode & 0o077 == 0 => Ok(Exposure::Private),
        mode => Ok(Exposure::Open { mode }),
    }
}

#[cfg(unix)]
fn permissions(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(not(unix))]
fn permissions(_: &fs::Metadata) -> u32 {
    0
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn close_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn close_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What messages call it.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// Bytes; an enrolment file has about 1,000.
const LIMIT: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_on_demand_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let contents = || read_private(&path).unwrap().to_vec();

        put_private(&path, b"one", Overwrite::Never).unwrap();
        let refused = put_private(&path, b"two", Overwrite::Never).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(contents(), b"one");
        put_private(&path, b"two", Overwrite::Yes).unwrap();
        assert_eq!(contents(), b"two");

        assert_eq!(create_private(&path, b"three").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(contents(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path, b"key").unwrap();
        assert!(read_private(&path).is_ok());
        for mode in [0o640, 0o604, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_private(&path), Err(Failure::Exposed { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn a_file_of_another_kind_is_not_swallowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        create_private(&path, &vec![1; LIMIT as usize]).unwrap();
        assert!(read(&path).is_ok());
        put_private(&path, &vec![1; LIMIT as usize + 1], Overwrite::Yes).unwrap();
        assert!(matches!(read(&path), Err(Failure::Large { .. })));
    }
}
