//! A socket of the daemon's in the file system: made for root and its group, in place of one whose daemon is gone, and taken
//! away when dropped. Never accepts a connection.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use thiserror::Error;
use tokio::net::UnixListener;

/// A socket, bound. Taken away when dropped, unless another daemon has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) listener: UnixListener,
    path: PathBuf,
    identity: Identity,
    spare: Mutex<Option<OwnedFd>>,
}

/// The socket cannot be had.
#[derive(Debug, Error)]
#[error("cannot make the socket {}: {source}{cure}", .path.display())]
pub struct AdminSocketError {
    /// Where it should be.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
    cure: String,
}

/// Which file it is.
type Identity = (u64, u64);

impl SocketFile {
    /// Makes the socket that `key` under `[admin]` names. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`] with its cure, also if another daemon answers there.
    pub(super) fn bind(path: &Path, key: &str) -> Result<Self, AdminSocketError> {
        let failed = |source: io::Error| AdminSocketError { path: path.to_owned(), cure: cure(&source, key), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        make_way(path).map_err(failed)?;
        let listener = listen_at(path).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        let file = Self { listener, path: path.to_owned(), identity, spare: Mutex::default() };
        file.keep_spare();
        Ok(file)
    }

    /// Keeps one descriptor in hand, for the time when there are no others.
    pub(super) fn keep_spare(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            // Any descriptor will do. Without one, nobody hears why they are not served.
            *spare = self.listener.as_fd().try_clone_to_owned().ok();
        }
    }

    /// Gives it up, so that somebody can be told that there are no others; false if there is none.
    pub(super) fn give_up_spare(&self) -> bool {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes a socket away whose daemon is gone. The one of this daemon's predecessor is: it held the lock that is ours.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // The file is made with this mode, less the umask: it is never open to others, not even for a moment.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    bind(&socket, &address)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn cure(error: &io::Error, key: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another daemon answers there: give each its own `{key}` under [admin]")
        }
        io::ErrorKind::AlreadyExists => {
            "; there is a file that is no socket: name another place under [admin]".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("; run this as root, or set `{key}` under [admin] to a place of yours")
        }
        io::ErrorKind::ReadOnlyFilesystem => format!("; set `{key}` under [admin] to a place that can be written"),
        _ => String::new(),
    }
}

/// Root and the socket's group.
const MODE: u32 = 0o660;
const BACKLOG: i32 = 32;
