//! What this process may still do after its start: who it is, which capabilities it keeps, which folders and system calls it
//! has. Never gives anything back.
//!
//! Two steps, both before the process has a second thread: [`step_down`] before anything of the daemon's own is opened, so
//! that root never follows what the daemon's user may have put into a folder of its own; [`Acting::confine`] when everything is
//! open. Threads that are begun afterwards have what this one has. See `docs/decisions/0012-privileges.md`.

mod account;
mod capabilities;
mod error;
mod folders;
mod memory;
mod paths;
mod syscalls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{getegid, geteuid};
use tracing::{info, warn};

use crate::admin::Privileges;
use crate::config::{Firewall, Ingress, MetricsAddress, Settings};

pub use capabilities::Capabilities;
pub use error::PrivilegeError;
pub use folders::{Folder, reachable};
pub use memory::Memory;

pub use paths::is_withheld;

pub(super) use account::{Identity, become_identity};
pub(super) use capabilities::{hand_on, keep_through_change};
pub(super) use memory::never_dump;
pub(super) use paths::{Landlock, Reach};
use syscalls::{Calls, confine_calls};

/// What the daemon will need.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Whom it becomes; nothing: it stays who it is.
    pub user: Option<String>,
    /// Folders that it writes to.
    pub own: Vec<Folder>,
    /// Folders and files that it reads when its configuration changes.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may listen on.
    pub listens: Vec<u16>,
    /// Whether it may bind ports below 1024.
    pub binds_low_ports: bool,
    /// Whether it changes the firewall.
    pub changes_firewall: bool,
}

/// A process that is the daemon's user, and has what opening everything takes.
#[derive(Debug)]
#[must_use = "it still has what opening everything takes"]
pub struct Acting {
    plan: Plan,
    user: String,
    uid: u32,
}

/// What holds from here on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The name of the user.
    pub user: String,
    /// What it may do beyond others.
    pub capabilities: Capabilities,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// The version of Landlock that holds it to its folders; nothing if the kernel has none.
    pub landlock: Option<u32>,
    /// Whether keys can get into swap.
    pub memory: Memory,
}

impl Plan {
    /// What these settings, from that file, will need.
    #[must_use]
    pub fn of(settings: &Settings, config: &Path) -> Self {
        let mut files = vec![(settings.admin.socket.as_path(), 0o755)];
        files.extend(settings.admin.observer_socket.as_deref().map(|socket| (socket, 0o755)));
        if settings.audit.enabled {
            files.push((&settings.audit.file, 0o750));
        }
        let mut listens = Vec::new();
        match &settings.metrics {
            Some(MetricsAddress::Unix(socket)) => files.push((socket, 0o755)),
            Some(MetricsAddress::Tcp(address)) => listens.push(address.port()),
            None => {}
        }
        let mut own = vec![Folder::whole(settings.state_dir.clone())];
        for (file, mode) in files {
            Folder::add(&mut own, file, mode);
        }
        if let Ingress::Xdp(xdp) = &settings.ingress {
            own.push(Folder::pins(xdp.pin_dir.clone()));
        }
        let mut read = vec![folder_of(config)];
        // Where a file is replaced by another, its folder stays.
        read.extend(settings.key_folders.iter().filter(|folder| folder.as_path() != Path::new("")).cloned());
        read.extend(settings.blacklist.iter().map(|file| folder_of(file)));
        Self {
            user: settings.daemon_user.clone(),
            own,
            read,
            listens,
            binds_low_ports: settings.ingress == Ingress::Socket,
            changes_firewall: settings.firewall != Firewall::Untouched,
        }
    }
}

/// Becomes the daemon's user, with what opening everything takes, and gives that user its folders.
///
/// A process that is not root stays who it is, with the capabilities that it was given.
///
/// # Errors
/// [`PrivilegeError`] names what is in the way, and its cure.
pub fn step_down(plan: Plan) -> Result<Acting, PrivilegeError> {
    alone()?;
    never_dump()?;
    let identity = Identity::find(plan.user.as_deref())?;
    if geteuid().is_root() {
        let other = identity.as_ref().filter(|identity| identity.uid != 0);
        folders::give(&plan.own, other)?;
        match other {
            Some(identity) => {
                keep_through_change()?;
                become_identity(identity)?;
                // The effective ones are gone with the user: what is asked here is asked of that user alone.
                folders::are_writable(&plan.own, identity)?;
            }
            None => warn!(
                "this daemon stays root, with fewer rights: run `adduser --system --group --no-create-home siglatch`, and \
                 start it again"
            ),
        }
    }
    capabilities::hold(&Capabilities::FOR_OPENING)?;
    folders::hold_pins(&plan.own);
    // A change of user makes it dumpable again where the system says so.
    never_dump()?;
    let uid = geteuid().as_raw();
    let user =
        identity.filter(|identity| identity.uid == uid).map_or_else(|| account::name_of(uid), |found| found.name);
    Ok(Acting { plan, user, uid })
}

impl Acting {
    /// Gives up everything that the daemon does not need from here on. What it cannot give up on this kernel is told in one
    /// warning each.
    ///
    /// # Errors
    /// [`PrivilegeError`] if the kernel refuses what it always has.
    pub fn confine(self) -> Result<Standing, PrivilegeError> {
        alone()?;
        let Self { plan, user, uid } = self;
        if uid != 0 {
            folders::take_left_behind(&plan.own, geteuid(), getegid());
        }
        let memory = memory::lock();
        let reach = Reach {
            own: plan.own.iter().map(|folder| folder.path.clone()).collect(),
            read: plan.read.clone(),
            execute: Vec::new(),
            listens: plan.listens.clone(),
            // Passwords are closed to everybody but root, to whom they are not.
            reads_accounts: uid != 0,
        };
        rustix::thread::set_no_new_privs(true).map_err(PrivilegeError::system("take no new rights"))?;
        let landlock = Landlock::hold_to(&reach)?;
        let capabilities = Capabilities::kept(&plan);
        capabilities::hold_for_good(&capabilities)?;
        let seccomp = confine_calls(Calls::Daemon)?;
        CONFINED.store(true, Ordering::Relaxed);
        let standing = Standing { user, capabilities, seccomp, landlock: landlock.version(), memory };
        standing.tell();
        Ok(standing)
    }
}

impl Standing {
    /// The same, as operators are told.
    #[must_use]
    pub fn told(&self) -> Privileges {
        Privileges {
            user: self.user.clone(),
            capabilities: self.capabilities.to_string(),
            seccomp: self.seccomp,
            landlock: self.landlock,
            memory: self.memory.label().to_owned(),
        }
    }

    fn tell(&self) {
        info!("privileges: {self}");
        if self.landlock.is_none() {
            warn!(
                "this kernel has no Landlock, or does not use it: the daemon is not held to its folders (CONFIG_LSM, from 5.13)"
            );
        }
        if !self.seccomp {
            warn!("this kernel filters no system calls (CONFIG_SECCOMP_FILTER)");
        }
        match self.memory {
            Memory::Locked | Memory::LockedAtStart => {}
            Memory::Unlocked => {
                warn!(
                    "memory is not locked, so keys may get into swap: set LimitMEMLOCK=infinity, or give it CAP_IPC_LOCK at its start"
                )
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told().fmt(f)
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Whether this process executes nothing any more.
pub(super) fn is_confined() -> bool {
    CONFINED.load(Ordering::Relaxed)
}

static CONFINED: AtomicBool = AtomicBool::new(false);

/// Rights are those of a thread: whoever was begun before keeps his. One that was waited for is gone in a moment.
fn alone() -> Result<(), PrivilegeError> {
    let deadline = Instant::now() + LEAVING;
    loop {
        let tasks = std::fs::read_dir("/proc/self/task")
            .map_err(|source| PrivilegeError::System { doing: "count its own threads", source })?;
        match tasks.count() {
            1 => return Ok(()),
            _ if Instant::now() < deadline => sleep(Duration::from_micros(200)),
            threads => return Err(PrivilegeError::Threads { threads }),
        }
    }
}

/// How long the kernel may take to clear a thread away that has ended.
const LEAVING: Duration = Duration::from_millis(200);
