//! The operator's end: connects, asks, waits for the reply. Never asks twice.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
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
    #[error("you may not use {path}: {source}. Run this as root, or as a member of the socket's group")]
    Forbidden {
        /// The socket.
        path: PathBuf,
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
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AskError::Forbidden { path, source });
            }
            Err(source) => return Err(AskError::NoDaemon { path, source }),
        };
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
