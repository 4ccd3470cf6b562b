//! The way from a new process to the program: gives up everything that the program is not to have, then executes it.
//! Never allocates.
//!
//! Every descriptor of these processes is closed by `execve`, signals do what they do by default since the keeper
//! began, and standard input is `/dev/null` there already.
#![expect(unsafe_code, reason = "executing a program is a bare call")]

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, chdir, geteuid, setpriority_process, setrlimit, setsid, umask};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::below::die_with;
use super::descriptors::close_at_exec;
use super::signals::unblock;
use super::words::Pointers;

/// All that is needed, made by the runner, in whose memory this happens.
pub(super) struct Launch<'r> {
    pub(super) path: &'r CStr,
    pub(super) arguments: Pointers<'r>,
    pub(super) environment: Pointers<'r>,
    pub(super) folder: &'r CStr,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: &'r [Gid],
    pub(super) limits: Limits,
    /// The nice value that the daemon had.
    pub(super) nice: i32,
    pub(super) runner: Pid,
}

/// What the kernel itself holds the program to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Seconds of a processor, of each process.
    pub(super) cpu: u64,
    /// Bytes of address space of each process.
    pub(super) memory: u64,
    /// Of the user, in all.
    pub(super) processes: u64,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Giving up rights, taking limits.
    Contain,
    /// Entering the folder.
    Enter,
    /// Executing the program.
    Execute,
}

/// A launch that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stumble {
    pub(super) step: Step,
    /// An error number.
    pub(super) error: i32,
}

impl Launch<'_> {
    /// Becomes the program, which writes to `output`; leaves a word if it cannot.
    pub(super) fn launch(&self, output: BorrowedFd<'_>, stumble: &Cell<Option<Stumble>>) {
        let (step, error) = match self.contain(output) {
            Ok(()) => self.execute(),
            Err(error) => (Step::Contain, error.raw_os_error()),
        };
        stumble.set(Some(Stumble { step, error }));
    }

    fn contain(&self, output: BorrowedFd<'_>) -> Result<(), Errno> {
        setsid()?;
        dup2_stdout(output)?;
        dup2_stderr(output)?;
        close_at_exec();
        umask(Mode::from_raw_mode(0o077));
        // No program is the better for it, nor must it be where the system does not know it.
        let _ = be_first_when_memory_ends();
        let Limits { cpu, memory, processes } = self.limits;
        limit(Resource::Cpu, cpu, cpu.saturating_add(1))?;
        limit(Resource::As, memory, memory)?;
        limit(Resource::Nproc, processes, processes)?;
        limit(Resource::Core, 0, 0)?;
        limit(Resource::Nofile, FILES, FILES)?;
        self.become_user()?;
        set_no_new_privs(true)?;
        // After the user, for that undoes it.
        if !die_with(self.runner, Signal::KILL) {
            return Err(Errno::SRCH);
        }
        unblock().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    }

    /// Gives up the daemon's user, groups and capabilities. A program that runs as root keeps root's capabilities: that is
    /// all that root is.
    fn become_user(&self) -> Result<(), Errno> {
        if geteuid() != Uid::ROOT {
            // A daemon without root can start programs as itself alone.
            let itself = geteuid() == self.uid && rustix::process::getegid() == self.gid && self.groups.is_empty();
            return if itself { Ok(()) } else { Err(Errno::PERM) };
        }
        clear_ambient_capability_set()?;
        if self.uid != Uid::ROOT {
            for bit in 0..u64::BITS {
                match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
                    Ok(()) => {}
                    // Beyond the last one that this kernel knows.
                    Err(Errno::INVAL) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        set_thread_groups(self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        if self.uid != Uid::ROOT {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        }
        Ok(())
    }

    fn execute(&self) -> (Step, i32) {
        // As the user: it must be the one who may enter.
        if let Err(error) = chdir(self.folder) {
            return (Step::Enter, error.raw_os_error());
        }
        // Last, so that it is not overtaken on the way.
        let _ = setpriority_process(None, self.nice);
        // SAFETY: a text that ends with a zero, and two lists of such that end with a null pointer; all of them outlive this.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        (Step::Execute, io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

fn limit(resource: Resource, current: u64, maximum: u64) -> Result<(), Errno> {
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
}

/// When memory runs out, a program that a knock has started goes before the daemon does.
fn be_first_when_memory_ends() -> Result<(), Errno> {
    let file = openat(CWD, c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file.as_fd(), b"500")?;
    Ok(())
}

/// Open files of each process.
const FILES: u64 = 256;
