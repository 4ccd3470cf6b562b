//! Why there is no audit log. Never decides whether the daemon starts without one.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The audit log cannot be begun, and the operator must do something.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file or its folder cannot be used.
    #[error(
        "cannot {doing} {}: {source}. Set `file` under [audit] to a file in a folder of the daemon's own, or `enabled = false`",
        path.display()
    )]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another process writes it.
    #[error("another process writes {}: end it, or give each daemon a `file` of its own under [audit]", path.display())]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// There is no thread for it.
    #[error("the system gives no thread for the audit log: {0}")]
    Thread(#[source] io::Error),
}

impl AuditError {
    /// Whether it may pass by itself: a disk that is full, for example.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::TimedOut
                | io::ErrorKind::StaleNetworkFileHandle
                | io::ErrorKind::OutOfMemory => true,
                _ => matches!(source.raw_os_error(), Some(libc::EIO | libc::EMFILE | libc::ENFILE)),
            },
            Self::Locked { .. } | Self::Thread(_) => false,
        }
    }
}
