//! This process: its name, and its beginning anew. Never decides when.

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

/// Begins this program anew, with the same arguments and number: everything of the process that was is gone.
///
/// Returns only if that fails, and why.
#[must_use]
pub fn begin_anew() -> io::Error {
    let mut arguments = std::env::args_os();
    let mut command = Command::new(EXECUTABLE);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).exec()
}
