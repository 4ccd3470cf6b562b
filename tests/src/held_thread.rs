//! One thread of another process, held still while the others go on: what a thread that hangs looks like from outside.
//! Never changes anything in it.

use std::fs;
use std::io;
use std::ptr;

use anyhow::{Context as _, Result, ensure};

use crate::process::{PATIENCE, wait_until};

/// The thread, held. Let go when dropped, by the thread that held it.
#[derive(Debug)]
pub struct HeldThread {
    id: libc::pid_t,
}

impl HeldThread {
    /// Holds the thread of that name. One that has just begun gives itself its name.
    ///
    /// # Errors
    /// If there is none, or the system does not allow it.
    pub fn hold(process: u32, name: &str) -> Result<Self> {
        wait_until(PATIENCE, || find(process, name).is_some());
        let id = find(process, name).with_context(|| format!("process {process} has no thread {name}"))?;
        request(libc::PTRACE_SEIZE, id)?;
        let held = Self { id };
        request(libc::PTRACE_INTERRUPT, id)?;
        let mut status = 0;
        // SAFETY: it writes to `status` alone.
        let waited = unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
        ensure!(waited == id, "thread {name} does not stop: {}", io::Error::last_os_error());
        Ok(held)
    }
}

impl Drop for HeldThread {
    fn drop(&mut self) {
        let _ = request(libc::PTRACE_DETACH, self.id);
    }
}

fn request(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    // SAFETY: none of the requests used here reads or writes memory of this process (ptrace(2)).
    let done =
        unsafe { libc::ptrace(request, thread, ptr::null_mut::<libc::c_void>(), ptr::null_mut::<libc::c_void>()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn find(process: u32, name: &str) -> Option<libc::pid_t> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    threads.filter_map(Result::ok).find_map(|thread| {
        let is_it = fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        if is_it { thread.file_name().to_str()?.parse().ok() } else { None }
    })
}
