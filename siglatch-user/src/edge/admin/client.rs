//! The operator's end: connects, asks, waits for the reply. Never asks twice.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::admin::protocol::{Addressee, REPLY_MAX, ReplyFlaw, Request, reply_from_line};

/// A connection to the daemon.
#[derive(Debug)]
pub struct AdminClient {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// The daemon was not asked, or did not do it.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody is there.
    #[error(
        "no daemon answers at {path}: {source}. Is siglatch-user running? If its socket is elsewhere, name it with \
         --socket, or its configuration with --config"
    )]
    NoDaemon {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// This user may not ask.
    #[error(
        "you may not use {path}: {source}. Run this as root, or as a member of the socket's group{}, whom [admin] names as \
         operator or observer",
        .group.as_ref().map(|group| format!(", {group}")).unwrap_or_default()
    )]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// Its group, as far as one may know.
        group: Option<String>,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The daemon does not answer.
    #[error("the daemon at {path} has not answered within {seconds} s")]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the daemon at {path} has hung up: {source}. Its log may say why")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The daemon says no, or makes no sense.
    #[error(transparent)]
    Reply(#[from] ReplyFlaw),
}

impl AdminClient {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// [`AskError::NoDaemon`], [`AskError::Forbidden`].
    pub fn connect(path: &Path) -> Result<Self, AskError> {
        let path = path.to_owned();
        let stream = connect(&path)?;
        let timeouts = stream.set_write_timeout(Some(PATIENCE));
        match timeouts {
            Ok(()) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(source) => Err(AskError::Broken { path, source }),
        }
    }

    /// Asks, and waits for what the request is answered with.
    ///
    /// # Errors
    /// [`AskError`]; after [`AskError::Silent`] and [`AskError::Broken`] the connection is of no more use.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, AskError> {
        let patience = patience(request);
        let _ = self.stream.get_ref().set_read_timeout(Some(patience));
        // A daemon without room says so and hangs up without listening: what it said is there all the same.
        let asked = self.stream.get_mut().write_all(request.to_line().as_bytes());
        let mut line = Vec::new();
        let read = self.stream.by_ref().take(REPLY_MAX as u64 + 1).read_until(b'\n', &mut line);
        if line.last() == Some(&b'\n') {
            return Ok(reply_from_line(&line)?);
        }
        let source = match (asked, read) {
            (Err(error), _) | (Ok(()), Err(error)) => error,
            (Ok(()), Ok(_)) if line.len() > REPLY_MAX => {
                return Err(ReplyFlaw::Malformed(format!("longer than {REPLY_MAX} bytes")).into());
            }
            (Ok(()), Ok(_)) => io::ErrorKind::UnexpectedEof.into(),
        };
        let path = self.path.clone();
        Err(match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                AskError::Silent { path, seconds: patience.as_secs() }
            }
            _ => AskError::Broken { path, source },
        })
    }
}

/// The daemon's word, where it only tells.
#[derive(Debug)]
pub struct Observer {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// What an [`Observer`] hears.
#[derive(Debug, Eq, PartialEq)]
pub enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Nothing any more.
    End,
}

impl Observer {
    /// Connects to the daemon's socket for observers.
    ///
    /// # Errors
    /// [`AskError::NoDaemon`], [`AskError::Forbidden`].
    pub fn connect(path: &Path) -> Result<Self, AskError> {
        Ok(Self { stream: BufReader::new(connect(path)?), path: path.to_owned() })
    }

    /// The next line, however long that takes.
    ///
    /// # Errors
    /// [`AskError::Reply`] if the daemon does not want us.
    pub fn hear(&mut self) -> Result<Heard, AskError> {
        let mut line = Vec::new();
        let read = self.stream.by_ref().take(REPLY_MAX as u64 + 1).read_until(b'\n', &mut line);
        let path = self.path.clone();
        read.map_err(|source| AskError::Broken { path, source })?;
        if line.pop() != Some(b'\n') {
            return Ok(Heard::End);
        }
        if line.starts_with(b"{\"siglatch\"") {
            // Events do not begin so: it is a reply, and the only one that is given unasked is a refusal.
            reply_from_line::<serde::de::IgnoredAny>(&line)?;
        }
        Ok(Heard::Line(line))
    }
}

fn connect(path: &Path) -> Result<UnixStream, AskError> {
    UnixStream::connect(path).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => AskError::Forbidden { group: group(&path), path, source },
            _ => AskError::NoDaemon { path, source },
        }
    })
}

/// The group that may use a socket: its name, or its number.
fn group(path: &Path) -> Option<String> {
    let number = fs::metadata(path).ok()?.gid().to_string();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let is_meant = |line: &&str| line.split(':').nth(2) == Some(&number);
    let name = groups.lines().find(is_meant).and_then(|line| line.split(':').next()).map(str::to_owned);
    Some(name.unwrap_or(number))
}

impl AskError {
    /// Whether the daemon might answer a new connection.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::NoDaemon { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Forbidden { .. } | Self::Reply(_) => false,
        }
    }
}

/// More than the daemon gives itself.
const fn patience(request: &Request) -> Duration {
    match request.addressee() {
        Addressee::Judge | Addressee::Warden => PATIENCE,
        Addressee::Errands => Duration::from_secs(70),
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
