//! This process: its name, its memory, and its beginning anew. Never decides when.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

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

/// Gives memory back that is free: loading the XDP program takes some 15 MB for the kernel's types, for a moment.
pub fn give_memory_back() {
    // SAFETY: it may be called at any time, by any thread (malloc_trim(3)); whatever is in use stays where it is.
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library has it, and no crate of ours")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Begins this program anew, with the same arguments and number: everything of the process that was is gone.
///
/// Returns only if that fails, and why.
#[must_use]
pub fn begin_anew() -> io::Error {
    if let Err(error) = super::activation::hand_on() {
        return error;
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(EXECUTABLE);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).exec()
}
