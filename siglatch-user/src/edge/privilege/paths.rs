//! The folders, ports and processes that this process still reaches, held by Landlock. Never opens anything for use.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, make_bitflags, path_beneath_rules,
};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat};
use rustix::io::Errno;

use super::{PrivilegeError, is_confined};

/// What a process still reaches.
#[derive(Clone, Debug, Default)]
pub(in crate::edge) struct Reach {
    /// Folders in which it makes, changes and removes files.
    pub(in crate::edge) own: Vec<PathBuf>,
    /// Folders and files that it reads.
    pub(in crate::edge) read: Vec<PathBuf>,
    /// Files that it executes.
    pub(in crate::edge) execute: Vec<PathBuf>,
    /// TCP ports that it may listen on. It connects to none.
    pub(in crate::edge) listens: Vec<u16>,
    /// Whether it reads all that it may in `/etc`, and so finds users and groups also when some were added.
    pub(in crate::edge) reads_accounts: bool,
}

/// What the kernel made of that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::edge) struct Landlock(Option<u32>);

impl Landlock {
    /// Holds this thread, and those that it begins, to that; as far as the kernel knows how.
    pub(in crate::edge) fn hold_to(reach: &Reach) -> Result<Self, PrivilegeError> {
        let status = restrict(reach).map_err(|error| PrivilegeError::Paths(Box::new(error)))?;
        Ok(Self(match status {
            LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
            LandlockStatus::Available { effective_abi, kernel_abi } => {
                Some(kernel_abi.map_or(effective_abi as u32, i32::cast_unsigned))
            }
        }))
    }

    /// The kernel's version of it; nothing if it has none.
    pub(in crate::edge) const fn version(self) -> Option<u32> {
        self.0
    }
}

/// Whether a file, or the folder where it is to be, is kept from this process by what it gave up: its user may read it.
#[must_use]
pub fn is_withheld(path: &Path) -> bool {
    if !is_confined() {
        return false;
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let asked = if path.exists() { path } else { folder };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Access is asked of owner and mode alone.
    openat(CWD, asked, flags, Mode::empty()).is_err_and(|error| error == Errno::ACCESS)
        && accessat(CWD, asked, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

fn restrict(reach: &Reach) -> Result<LandlockStatus, RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::Signal)?;
    // A supervisor may listen where no file is (`NOTIFY_SOCKET=@…`).
    let ruleset = if is_notified_abstractly() { ruleset } else { ruleset.scope(Scope::AbstractUnixSocket)? };
    let mut created = ruleset
        .create()?
        .add_rules(path_beneath_rules(&reach.own, OWN))?
        .add_rules(path_beneath_rules(
            reach.read.iter().map(PathBuf::as_path).chain(ALWAYS_READ.map(AsRef::as_ref)),
            READ,
        ))?
        .add_rules(path_beneath_rules(&reach.execute, EXECUTE))?;
    let accounts = if reach.reads_accounts { &ACCOUNTS[..] } else { &ACCOUNT_FILES };
    created = created.add_rules(path_beneath_rules(accounts, READ))?;
    // Descriptors of a terminal or of the journal are open already; this is what is opened anew.
    if let Ok(null) = PathFd::new("/dev/null") {
        created = created.add_rule(PathBeneath::new(null, make_bitflags!(AccessFs::{ReadFile | WriteFile})))?;
    }
    for port in &reach.listens {
        created = created.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    // A rule is about the kernel's record of a file. That of a file in /proc is made anew once nobody has it open.
    for path in PROC {
        if let Ok(open) = PathFd::new(path) {
            std::mem::forget(open);
        }
    }
    created.restrict_self().map(|status| status.landlock)
}

fn is_notified_abstractly() -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| path.as_bytes().starts_with(b"@"))
}

const OWN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSock
});

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

const EXECUTE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | Execute});

/// What no secret is in: this process's own numbers, time zones, libraries that are loaded on demand.
const ALWAYS_READ: [&str; 11] = [
    PROC[0],
    PROC[1],
    // How many processors a map of theirs has values for.
    "/sys/devices/system/cpu",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/localtime",
];

/// What this process is, and which boot this is.
const PROC: [&str; 2] = ["/proc/self", "/proc/sys/kernel/random/boot_id"];

/// Where names of users and groups are. The files in it are replaced whole, so that only the folder stays.
const ACCOUNTS: [&str; 2] = ["/etc", "/run/systemd/userdb"];

/// As much of that as is nobody's secret. Once somebody adds a user, the files are others, and closed.
const ACCOUNT_FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// What is known to be right for us. What a newer kernel can withhold besides, it does not.
const KNOWN: ABI = ABI::V7;
