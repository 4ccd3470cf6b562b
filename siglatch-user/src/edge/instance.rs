//! One daemon at a time for a state folder: a second one takes over from the first. Never starts or restarts one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tracing::info;

/// The right to be the only one. Given up when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Instance {
    _lock: File,
}

/// The right cannot be had.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// The lock file cannot be used.
    #[error(
        "cannot use {path}: {source}. The daemon needs a folder of its own that it can write to: set `dir` under [state]"
    )]
    File {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The other daemon does not go.
    #[error(
        "another siglatch-user ({pid}) uses {path} and has not ended within {seconds} s of SIGTERM: end it by hand"
    )]
    Stuck {
        /// `pid 7`.
        pid: String,
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Instance {
    /// Becomes the only one: asks a running daemon to end (SIGTERM), and waits until it has.
    ///
    /// What arrives meanwhile waits in the ring.
    ///
    /// # Errors
    /// [`InstanceError::Stuck`] if it does not end.
    pub fn take_over(state_dir: &Path) -> Result<Self, InstanceError> {
        let path = state_dir.join("lock");
        let error = |source| InstanceError::File { path: path.clone(), source };
        fs::create_dir_all(state_dir).map_err(error)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(error)?;
        let deadline = Instant::now() + PATIENCE;
        let mut asked = None;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder =
                fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
            let holder = holder.filter(|holder| is_daemon(*holder));
            if asked != holder
                && let Some(holder) = holder
            {
                info!(pid = holder.as_raw_nonzero().get(), "taking over from the running daemon");
                let _ = kill_process(holder, Signal::TERM);
                asked = Some(holder);
            }
            if Instant::now() >= deadline {
                let pid = holder.map_or_else(|| "pid unknown".into(), |pid| format!("pid {}", pid.as_raw_nonzero()));
                return Err(InstanceError::Stuck { pid, path, seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        lock.set_len(0).map_err(error)?;
        lock.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(error)?;
        Ok(Self { _lock: lock })
    }
}

/// Whether that process is one of ours. The lock is had a moment before the pid is written; until then the file names
/// an earlier holder, whose number may be anybody's by now.
fn is_daemon(pid: Pid) -> bool {
    let ours = fs::read_to_string("/proc/self/comm");
    let theirs = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// How long the other one may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
