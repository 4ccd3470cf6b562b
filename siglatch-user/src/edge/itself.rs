//! This process: its name, and its memory. Never decides anything.

use std::ffi::CString;

use rustix::process::setpriority_process;

/// The program that runs here, also if its file was replaced meanwhile.
pub const EXECUTABLE: &str = "/proc/self/exe";

/// Takes the name under which operators and a next daemon look for this process: begun through [`EXECUTABLE`] it would be
/// called `exe`.
pub fn take_name() {
    if let Ok(name) = CString::new(env!("CARGO_PKG_NAME")) {
        // Only how it is shown depends on it.
        let _ = rustix::thread::set_name(&name);
    }
}

/// Whatever else the daemon does comes before this thread, from now on (setpriority(2), "C library/kernel differences"). All works
/// without as well.
pub fn come_last() {
    let _ = setpriority_process(None, NICE);
}

const NICE: i32 = 10;

/// Gives memory back that is free: loading the XDP program takes some 15 MB for the kernel's types, for a moment.
pub fn give_memory_back() {
    // SAFETY: it may be called at any time, by any thread (malloc_trim(3)); whatever is in use stays where it is.
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library has it, and no crate of ours")]
    unsafe {
        libc::malloc_trim(0)
    };
}
