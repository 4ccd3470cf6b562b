//! Ends a process at one of its system calls, before the kernel has done it. Never knows what the call is for.
#![expect(unsafe_code, reason = "ptrace(2) is a bare system call")]

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::{io, ptr};

use anyhow::{Context as _, Result, bail, ensure};

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// At the call.
    Killed,
    /// By itself: there are fewer calls.
    Done,
}

/// Runs a process of one thread that stops itself (SIGSTOP) before and after what it is about, and kills it at the call of
/// that number in between; the first is 1.
///
/// # Errors
/// If it cannot be followed, or ends otherwise.
pub fn run_until(command: &mut Command, call: usize) -> Result<End> {
    // SAFETY: between fork and exec there is one system call, which needs no memory.
    unsafe { command.pre_exec(|| trace(libc::PTRACE_TRACEME, 0, 0)) };
    // Whoever begins it follows it: this thread, and no other.
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let pid = child.id().cast_signed();
    let end = follow(pid, call);
    if end.is_err() {
        let _ = child.kill();
    }
    // It was waited for already, unless something went wrong.
    let _ = child.wait();
    end
}

fn follow(pid: libc::pid_t, call: usize) -> Result<End> {
    ensure!(stopped(wait(pid)?) == Some(libc::SIGTRAP), "it was not executed");
    trace(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL)?;
    loop {
        trace(libc::PTRACE_CONT, pid, 0)?;
        match stopped(wait(pid)?) {
            Some(libc::SIGSTOP) => break,
            Some(_) => {}
            None => bail!("it ended before it began"),
        }
    }
    let (mut calls, mut is_entering) = (0, true);
    loop {
        trace(libc::PTRACE_SYSCALL, pid, 0)?;
        match stopped(wait(pid)?) {
            Some(CALL) => {
                calls += usize::from(is_entering);
                if is_entering && calls == call {
                    // What is killed at the gate of a call does not do it.
                    // SAFETY: a plain system call about a process of ours that was not waited for.
                    ensure!(unsafe { libc::kill(pid, libc::SIGKILL) } == 0, "it cannot be killed");
                    while stopped(wait(pid)?).is_some() {}
                    return Ok(End::Killed);
                }
                is_entering = !is_entering;
            }
            Some(libc::SIGSTOP) => break,
            Some(_) => {}
            None => bail!("it ended in the middle"),
        }
    }
    trace(libc::PTRACE_CONT, pid, 0)?;
    let status = wait(pid)?;
    ensure!(status.success(), "it failed: {status}");
    Ok(End::Done)
}

fn trace(request: libc::c_uint, pid: libc::pid_t, data: i32) -> io::Result<()> {
    // SAFETY: none of these requests takes an address; the data is a number.
    match unsafe { libc::ptrace(request, pid, ptr::null_mut::<libc::c_void>(), libc::c_long::from(data)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn wait(pid: libc::pid_t) -> io::Result<ExitStatus> {
    let mut status = 0;
    // SAFETY: the status is ours, and the kernel writes it before this returns.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(ExitStatus::from_raw(status)),
    }
}

/// The signal that it has stopped for.
fn stopped(status: ExitStatus) -> Option<i32> {
    status.stopped_signal()
}

/// A stop at a system call (`PTRACE_O_TRACESYSGOOD`).
const CALL: i32 = libc::SIGTRAP | 0x80;
