//! Where scrapers connect. Never speaks to them.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::MetricsAddress;

/// The listener, bound. Can be bound before privileges are given up, and served afterwards.
#[derive(Debug)]
pub struct MetricsListener(Listener);

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The address cannot be had.
#[derive(Debug, Error)]
#[error("cannot tell metrics at {at}: {source}{cure}")]
pub struct MetricsError {
    at: String,
    #[source]
    source: io::Error,
    cure: &'static str,
}

/// The same within a runtime.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// A connection, whatever it came in by.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl MetricsListener {
    /// Binds it.
    ///
    /// # Errors
    /// [`MetricsError`] with its cure.
    pub fn bind(at: &MetricsAddress) -> Result<Self, MetricsError> {
        match at {
            MetricsAddress::Tcp(address) => listen_tcp(*address).map(Listener::Tcp),
            MetricsAddress::Unix(path) => listen_unix(path).map(Listener::Unix),
        }
        .map(Self)
        .map_err(|source| {
            let cure = match source.kind() {
                io::ErrorKind::AddrInUse => "; `ss -ltnxp` shows who has it: choose another under [metrics]",
                io::ErrorKind::AddrNotAvailable => "; this host has no such address: choose another under [metrics]",
                io::ErrorKind::AlreadyExists => "; something that is no socket lies there: move it away",
                _ => "",
            };
            MetricsError { at: shown(at), source, cure }
        })
    }

    /// Where it listens: a TCP port that was left to the system is known from here.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    /// Must be called within a tokio runtime.
    pub(super) fn listen(self) -> io::Result<Listening> {
        match self.0 {
            Listener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Listening::Tcp),
            Listener::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Listening::Unix),
        }
    }
}

impl Listening {
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

fn shown(at: &MetricsAddress) -> String {
    match at {
        MetricsAddress::Tcp(address) => address.to_string(),
        MetricsAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    // With SO_REUSEADDR, as the standard library has it: a daemon that begins anew finds connections that have just ended.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// In place of a socket that nobody listens at; the file ends with the next listener, as a daemon without rights may not
/// take it away.
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path)?,
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    // Numbers without addresses and users; who may enter the folder may read them.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// A proxy before Prometheus, which asks for a password, has a user of its own.
const MODE: u32 = 0o666;
