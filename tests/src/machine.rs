//! A machine of its own: a copy of this one's files that is thrown away, a real systemd, and the network of a namespace.
//! Never changes a file of this machine, and never knows what is installed on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::netns::{Namespace, run, unique};
use crate::process::{Process, wait_until};

/// The machine, running. Dropping it ends everything in it; so does the end of this process, however that comes: its disk
/// is mounted in a place that only its own processes see.
#[derive(Debug)]
pub struct Machine {
    nspawn: Process,
    folder: PathBuf,
    /// Its process 1, as it is called here.
    init: u32,
}

impl Machine {
    /// Boots it to the point where services can be started.
    ///
    /// # Errors
    /// With what its console said if it does not come up; without root, or without `systemd-nspawn`.
    pub fn boot(network: &Namespace) -> Result<Self> {
        let folder = std::env::temp_dir().join(unique("machine"));
        fs::create_dir(&folder)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "unshare", "--mount", "sh", "-ec", SCRIPT, "sh"]);
        let started = Process::start(command.arg(&folder).arg(network.path()));
        let nspawn = started.inspect_err(|_| drop(fs::remove_dir(&folder)))?;
        let mut machine = Self { nspawn, folder, init: 0 };
        machine.come_up()?;
        // As where systemd is nobody's guest: it mounts this, and images for containers forbid to start services.
        machine.shell("mount -o remount,rw /sys; mkdir -p /sys/fs/bpf; mount -t bpf bpf /sys/fs/bpf")?;
        machine.shell("rm -f /usr/sbin/policy-rc.d")?;
        Ok(machine)
    }

    /// A command that will run on it, as root.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("LC_ALL", "C.UTF-8");
        command.args(["--pdeathsig=KILL", "nsenter", "--all", &format!("--target={}", self.init), "--"]);
        command.arg(program);
        command
    }

    /// Runs a line of shell on it, and returns what it prints.
    ///
    /// # Errors
    /// With what it says if it fails.
    pub fn shell(&self, line: &str) -> Result<String> {
        let output = self.command("sh").args(["-ec", line]).output()?;
        let [said, complained] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        ensure!(output.status.success(), "{line}: {}\n{said}{complained}", output.status);
        Ok(said + &complained)
    }

    /// Where one of its files can be read and written from here.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// What differs from this machine's files: paths from the root, without folders and without what is gone.
    ///
    /// # Errors
    /// If its disk cannot be read.
    pub fn changed_files(&self) -> Result<Vec<String>> {
        let upper = PathBuf::from(format!("/proc/{}/root{}/upper", self.nspawn.id(), self.folder.display()));
        let mut files = Vec::new();
        collect(&upper, &upper, &mut files)?;
        files.sort();
        Ok(files)
    }

    fn come_up(&mut self) -> Result<()> {
        let is_up = wait_until(BOOT, || {
            let Some(init) = process_one_below(self.nspawn.id()) else { return !self.nspawn.is_running() };
            self.init = init;
            // It says so while the last units are being started, too, and fails before it listens.
            let state = run(self.command("systemctl").arg("is-system-running"));
            state.is_ok() || state.is_err_and(|error| error.to_string().contains("degraded"))
        });
        ensure!(is_up && self.nspawn.is_running(), "the machine does not come up:\n{}", self.nspawn.said());
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.nspawn.kill();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The process below `parent` that is number 1 of its own namespace.
fn process_one_below(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_it = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        field("PPid:").is_some_and(|pid| pid.trim() == parent.to_string())
            && field("NSpid:").is_some_and(|pids| pids.split_whitespace().nth(1) == Some("1"))
    };
    processes.into_iter().find(is_it)
}

fn collect(folder: &Path, root: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(&path, root, files)?;
        // What is gone is a character device there.
        } else if !kind.is_char_device() {
            files.push(format!("/{}", path.strip_prefix(root)?.display()));
        }
    }
    Ok(())
}

/// How long a machine with better things to do may take to boot.
const BOOT: Duration = Duration::from_secs(60);

/// Makes the disk, and becomes the machine: `$1` is a folder, `$2` a network namespace.
///
/// Where systemd rules, it lends a place in its tree of control groups; elsewhere the machine stays where it was started.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=1g,mode=755 machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay machine -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
keep=
if ! [ -d /run/systemd/system ]; then
    keep=--keep-unit
    mkdir -p /run/systemd
    mount -t tmpfs machine /run/systemd
fi
exec systemd-nspawn --quiet --directory="$1/root" --boot --network-namespace-path="$2" --register=no $keep \
    --machine="${1##*/}" --hostname=gateway --link-journal=no --timezone=off --resolv-conf=off \
    --capability=all --system-call-filter="bpf perf_event_open" \
    -- --unit=basic.target systemd.mask=timers.target systemd.mask=systemd-sysctl.service
"#;
