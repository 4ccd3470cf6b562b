//! Descriptors that a process has without knowing what for. Never touches the standard three.
#![expect(unsafe_code, reason = "closing whatever there is takes no owner's word")]

use std::fs;
use std::os::fd::RawFd;

/// Closes all that this process has inherited. Comes before it opens anything itself.
pub(in crate::edge) fn close_inherited() {
    if close_range(0) {
        return;
    }
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<RawFd> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= FIRST) {
        // SAFETY: nothing of this process's own is open yet, so nobody owns it.
        unsafe { libc::close(number) };
    }
}

/// Has `execve` close whatever is open. A kernel before 5.11 does not know how, and needs not: all that the processes
/// around programs open is closed by it anyway. Allocates nothing.
pub(super) fn close_at_exec() {
    close_range(libc::CLOSE_RANGE_CLOEXEC);
}

fn close_range(flags: libc::c_uint) -> bool {
    // SAFETY: either nothing of this process's own is open yet, or nothing is closed before `execve`.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, flags) == 0 }
}

/// The first that is not standard.
const FIRST: RawFd = 3;
