//! The processes below this one: makes them, finds them, ends them, and hears of their ends. Never knows what they do.
//!
//! For processes of one thread alone. Everything that a child starts stays below the nearest living process that has
//! called [`adopt`], whatever it forks and whichever session it makes for itself.
#![expect(unsafe_code, reason = "only the C library forks, and waits with what was used")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, getpgid, getpgrp, getpid, getppid, kill_process, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal,
};

use super::signals::Signals;

/// On which side of a fork one is.
pub(super) enum Fork {
    /// The new process.
    Child,
    /// The old one; the new one's number.
    Parent(Pid),
}

/// A child that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reaped {
    pub(super) pid: Pid,
    pub(super) exit: Exit,
    /// Of a processor; with that of its own children that it has waited for.
    pub(super) cpu: Duration,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Exit {
    Code(u8),
    Signal(i32),
}

/// Splits this process, which has one thread, in two.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: there is one thread, so no lock is held that nobody would release in the child.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => known(pid).map(Fork::Parent).ok_or_else(io::Error::last_os_error),
    }
}

/// Makes a process that runs `child` in this one's memory, and waits until it has executed a program or ended. Nothing is
/// copied, and the system's next turn is the child's: that is what makes it quicker than [`fork`].
///
/// `child` must not allocate, and keeps nothing.
pub(super) fn lend<F: Fn()>(child: &F) -> io::Result<Pid> {
    extern "C" fn enter<F: Fn()>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the closure below, which stays where it is while that waits.
        let child = unsafe { &*child.cast_const().cast::<F>() };
        child();
        leave(FAILED);
    }
    let mut stack = vec![[0_u128; 1024]; STACK / (16 * 1024)];
    let top = stack.as_mut_ptr_range().end.cast();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let child = (&raw const *child).cast_mut().cast();
    // SAFETY: the stack is the child's alone, is large enough and aligned; the closure outlives the child's use of it, for
    // this thread, the only one, goes on when the child has memory of its own or is gone.
    let pid = unsafe { libc::clone(enter::<F>, top, flags, child) };
    known(pid).ok_or_else(io::Error::last_os_error)
}

/// Ends this process, and nothing of what it shares with the one that it was forked from.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: ends the process at once; nobody is left to miss anything.
    unsafe { libc::_exit(code) }
}

/// Makes this process the parent of whatever is orphaned below it.
pub(super) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Has the kernel send this process a signal when its parent, `parent`, dies. False if that has happened already.
pub(super) fn die_with(parent: Pid, signal: Signal) -> bool {
    set_parent_process_death_signal(Some(signal)).is_ok() && getppid() == Some(parent)
}

/// The next child that has ended, if there is one; an error if there are no children at all.
pub(super) fn reap() -> Result<Option<Reaped>, Childless> {
    let mut status = 0;
    // SAFETY: a record of numbers; zeroes are such a record.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: both point to live memory of their type.
    let waited = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match waited {
        0 => Ok(None),
        pid => {
            let pid = known(pid).ok_or(Childless)?;
            let exit = if libc::WIFSIGNALED(status) {
                Exit::Signal(libc::WTERMSIG(status))
            } else {
                Exit::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
            };
            Ok(Some(Reaped { pid, exit, cpu: span(usage.ru_utime) + span(usage.ru_stime) }))
        }
    }
}

/// There is nobody to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Childless;

/// Kills everything below this process, again and again until nothing is left; nothing below it can escape that by forking.
///
/// Gives each end to `see`. False if `patience` is over before: then something does not die, and no signal can help.
pub(super) fn end_all(signals: &Signals, patience: Duration, mut see: impl FnMut(Reaped)) -> bool {
    let mut waited = Duration::ZERO;
    loop {
        kill_below(getpid(), |_| true);
        loop {
            match reap() {
                Ok(Some(reaped)) => see(reaped),
                Ok(None) => break,
                Err(Childless) => return true,
            }
        }
        if waited >= patience {
            return false;
        }
        // An end rings; the rest of the time is for what is between two parents.
        signals.wait(STEP);
        while signals.take().is_some() {}
        waited += STEP;
    }
}

/// Kills everything below a process, once. Children of its own that `wanted` does not want are spared with all below them.
/// False if there was nothing.
///
/// Kills whole process groups: the kernel does that at one stroke, so that a group cannot outrun it by forking. A group
/// that has a member below, and is not this process's own, is below as a whole: nobody joins a group of another session.
///
/// A number that was read is still that process's when the signal is sent: the kernel hands all others out before it
/// comes to one again.
pub(super) fn kill_below(root: Pid, wanted: impl Fn(Pid) -> bool) -> bool {
    let own = getpgrp();
    let mut ahead: Vec<Pid> = children(root).into_iter().filter(|pid| wanted(*pid)).collect();
    let found = !ahead.is_empty();
    while let Some(pid) = ahead.pop() {
        // Before they are somebody else's children.
        ahead.extend(children(pid));
        let _ = match getpgid(Some(pid)) {
            Ok(group) if group != own => kill_process_group(group, Signal::KILL),
            Ok(_) | Err(_) => kill_process(pid, Signal::KILL),
        };
    }
    found
}

/// How many processes there are below this one, as far as it matters: counting ends beyond `most`.
pub(super) fn count(most: usize) -> usize {
    let mut ahead = children(getpid());
    let mut found = 0;
    while let Some(pid) = ahead.pop().filter(|_| found <= most) {
        found += 1;
        ahead.extend(children(pid));
    }
    found
}

/// The children of all threads of a process, as the kernel lists them.
fn children(pid: Pid) -> Vec<Pid> {
    static HAS_LISTS: LazyLock<bool> = LazyLock::new(|| Path::new("/proc/thread-self/children").exists());
    if *HAS_LISTS { listed(pid) } else { searched(pid) }
}

fn listed(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let lists = tasks.into_iter().flatten().flatten().map(|task| fs::read_to_string(task.path().join("children")));
    lists.flatten().flat_map(|list| list.split_ascii_whitespace().filter_map(number).collect::<Vec<_>>()).collect()
}

/// The same among all processes: for kernels without `CONFIG_PROC_CHILDREN`.
fn searched(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let child = |entry: fs::DirEntry| {
        let pid = number(entry.file_name().to_str()?)?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        // The name stands in parentheses, and may contain anything.
        let rest = stat.rsplit(|byte| *byte == b')').next()?;
        let its_parent = str::from_utf8(rest).ok()?.split_ascii_whitespace().nth(1).and_then(number)?;
        (its_parent == parent).then_some(pid)
    };
    processes.filter_map(child).collect()
}

fn number(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(known)
}

/// What is below zero is no process, but an error.
fn known(pid: i32) -> Option<Pid> {
    if pid > 0 { Pid::from_raw(pid) } else { None }
}

fn span(time: libc::timeval) -> Duration {
    let micros = u32::try_from(time.tv_usec).unwrap_or(0);
    Duration::new(time.tv_sec.cast_unsigned(), micros * 1000)
}

/// The exit of a process that became no program; nobody looks at it.
const FAILED: i32 = 127;

/// Bytes of stack for a child that shares this process's memory.
const STACK: usize = 256 * 1024;

/// Between two looks at what is left.
const STEP: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_find_children_agree() {
        let mut child = std::process::Command::new("/bin/sleep").arg("30").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (by_lists, by_search) = (listed(getpid()).contains(&pid), searched(getpid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(by_lists && by_search);
    }
}
