//! A clock on the wall that is set while a daemon lives by it: its own, for the machine's is everybody's. Never touches the
//! time since boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use crate::gateway::{Gateway, now};
use crate::process::Process;

/// The clock of one gateway's daemons. What it needs of the system goes with it.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    file: PathBuf,
    /// Processes whose clock it was.
    daemons: Mutex<Vec<u32>>,
}

impl FakeClock {
    /// One that is right.
    ///
    /// # Errors
    /// Without the library of Debian's package `faketime`.
    pub fn new(gateway: &Gateway) -> Result<Self> {
        let clock = Self { library: library()?, file: gateway.file("clock"), daemons: Mutex::default() };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds before or after the machine's, at once.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&self, ahead: i64) -> Result<()> {
        // It is read again with every look at the clock: whole, or not at all.
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{ahead:+}\n"))?;
        Ok(fs::rename(fresh, &self.file)?)
    }

    /// Starts a daemon that lives by it, and waits until it is ready.
    ///
    /// # Errors
    /// With its log if it does not get ready.
    pub fn start(&self, gateway: &Gateway) -> Result<Process> {
        let mut command: Command = gateway.command()?;
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let daemon = Process::start(&mut command)?;
        self.daemons.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(daemon.id());
        daemon.wait_for(" ready ")?;
        Ok(daemon)
    }
}

impl Drop for FakeClock {
    fn drop(&mut self) {
        // The library leaves them where a process does not end by itself.
        for daemon in self.daemons.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).drain(..) {
            for name in [format!("sem.faketime_sem_{daemon}"), format!("faketime_shm_{daemon}")] {
                let _ = fs::remove_file(Path::new("/dev/shm").join(name));
            }
        }
    }
}

/// The Unix time by a clock that is so many seconds ahead of the machine's.
#[must_use]
pub fn now_by(ahead: i64) -> u32 {
    u32::try_from(i64::from(now()) + ahead).unwrap_or(0)
}

/// The one for processes of several threads.
fn library() -> Result<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").context("there is no /usr/lib")?;
    let places = architectures.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    match places.into_iter().find(|place| place.exists()) {
        Some(library) => Ok(library),
        None => bail!("there is no libfaketimeMT.so.1: run `cargo xtask setup`, or `apt install faketime`"),
    }
}
