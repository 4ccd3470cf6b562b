//! The processes below this one: makes them, finds them, ends them, and hears of their ends. Never knows what they do.
//!
//! For processes of one thread alone. Everything that a child starts stays below the nearest living process that has
//! called [`adopt`], whatever it forks and whichever session it makes for itself.
#![expect(unsafe_code, reason = "only the C library forks, and waits with what was used")]

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_child_subreaper, set_parent_process_death_signal,
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
///
/// A number that was read is still that process's when the signal is sent: the kernel hands all others out before it
/// comes to one again. False if there was nothing.
pub(super) fn kill_below(root: Pid, wanted: impl Fn(Pid) -> bool) -> bool {
    let found = below(root, wanted);
    for pid in &found {
        let _ = kill_process(*pid, Signal::KILL);
    }
    !found.is_empty()
}

/// How many processes there are below this one.
pub(super) fn count() -> usize {
    below(getpid(), |_| true).len()
}

/// Everything below a process, parents first.
fn below(root: Pid, wanted: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let parents = if Path::new("/proc/thread-self/children").exists() { None } else { Some(parents()) };
    let children = |pid: Pid| match &parents {
        None => children(pid),
        Some(parents) => parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child).collect(),
    };
    let mut found: Vec<Pid> = children(root).into_iter().filter(|pid| wanted(*pid)).collect();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children(*pid);
        found.extend(more);
        next += 1;
    }
    found
}

/// The children of all threads of a process, as the kernel lists them.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let lists = tasks.into_iter().flatten().flatten().map(|task| fs::read_to_string(task.path().join("children")));
    lists.flatten().flat_map(|list| list.split_ascii_whitespace().filter_map(number).collect::<Vec<_>>()).collect()
}

/// Every process with its parent: for kernels without `CONFIG_PROC_CHILDREN`.
fn parents() -> Vec<(Pid, Pid)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent = |entry: fs::DirEntry| {
        let pid = number(entry.file_name().to_str()?)?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        // The name stands in parentheses, and may contain anything.
        let rest = stat.rsplit(|byte| *byte == b')').next()?;
        let parent = str::from_utf8(rest).ok()?.split_ascii_whitespace().nth(1)?;
        Some((pid, number(parent)?))
    };
    processes.filter_map(parent).collect()
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

/// Between two looks at what is left.
const STEP: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_find_children_agree() {
        let mut child = std::process::Command::new("/bin/sleep").arg("30").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let by_lists = children(getpid()).contains(&pid);
        let by_parents = parents().contains(&(pid, getpid()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(by_lists && by_parents);
    }
}
