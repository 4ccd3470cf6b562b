//! A disk that is soon full. Never fills one of the machine's.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::gateway::Gateway;
use crate::process::Process;

/// A small file system over one of the daemon's folders. Only processes that are started in its place see it, and it goes
/// with the last of them, however that ends.
#[derive(Debug)]
pub struct SmallDisk {
    place: Process,
    folder: PathBuf,
}

impl SmallDisk {
    const SIZE: &str = "64k";

    /// Over a folder; one file that is in it is there, too.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn over(folder: PathBuf, kept: Option<&str>) -> Result<Self> {
        let kept = kept.unwrap_or("kept");
        let script = format!(
            "touch {kept}; exec 3<{kept}; mount -t tmpfs -o size={},mode=700 none . ; cd \"$PWD\"; umask 077; \
             cat <&3 >{kept}; echo mounted; exec sleep infinity",
            Self::SIZE
        );
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "unshare", "--mount", "sh", "-ec", &script]).current_dir(&folder);
        let place = Process::start(&mut command)?;
        place.wait_for("mounted")?;
        Ok(Self { place, folder })
    }

    /// Starts the daemon where the disk can be seen, and waits until it is ready.
    ///
    /// # Errors
    /// With its log if it does not get ready.
    pub fn start(&self, gateway: &Gateway) -> Result<Process> {
        let command = gateway.command()?;
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.place.id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let daemon = Process::start(&mut inside)?;
        daemon.wait_for(" ready ")?;
        Ok(daemon)
    }

    /// Leaves no room for one page more.
    ///
    /// # Errors
    /// If it cannot be begun.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.file("ballast"))?;
        while file.write_all(&[0; PAGE]).is_ok() {}
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// If it was not full.
    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.file("ballast"))?)
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.file(name))?)
    }

    /// Where a file can be seen from outside of its place.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.place.id());
        PathBuf::from(format!("{root}{}", self.folder.join(name).display()))
    }
}

/// Bytes that a tmpfs gives at a time.
pub const PAGE: usize = 4096;
